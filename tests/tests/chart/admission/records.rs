//! SorRecords: the factory's own accounts write those alone that they fetched.

use serde_json::{Value, json};

use super::policy::Request;
use super::{ADMINISTRATOR, CREDENTIALS, OPERATOR, expect, request};

fn record(fetched: bool) -> Value {
    let labels = if fetched {
        json!({"imagefactory.dev/sor-source": "http"})
    } else {
        json!({"team": "a"})
    };
    json!({"metadata": {"name": "app-1", "labels": labels}, "spec": {"recordId": "APP-1"}})
}

fn write(user: &str, operation: &'static str, old: Value, new: Value) -> Request {
    Request {
        object: new,
        old,
        ..request(user, operation, "sorrecords.imagefactory.dev")
    }
}

#[test]
fn the_factorys_accounts_write_only_records_that_they_fetched() {
    let bare = json!({"metadata": {"name": "app-1"}, "spec": {"recordId": "APP-1"}});
    for user in [OPERATOR, CREDENTIALS] {
        for (operation, old, new) in [
            ("CREATE", Value::Null, record(true)),
            ("UPDATE", record(true), record(true)),
            ("DELETE", record(true), Value::Null),
        ] {
            expect(&write(user, operation, old, new), "");
        }
        for (operation, old, new) in [
            ("CREATE", Value::Null, record(false)),
            ("CREATE", Value::Null, bare.clone()),
            ("UPDATE", record(false), record(true)),
            ("UPDATE", record(true), record(false)),
            ("UPDATE", bare.clone(), record(true)),
            ("DELETE", record(false), Value::Null),
        ] {
            expect(&write(user, operation, old, new), "alone that they fetched");
        }
    }
    expect(&write(ADMINISTRATOR, "UPDATE", record(false), record(true)), "");
}
