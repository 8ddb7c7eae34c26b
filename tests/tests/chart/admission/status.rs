//! Status, from which is read what was staged and judged.

use serde_json::json;

use super::policy::Request;
use super::{ADMINISTRATOR, CREDENTIALS, OPERATOR, OWNER, expect, in_tenant};

#[test]
fn status_is_written_by_the_operator_alone() {
    let forged = json!({"metadata": {"name": "b"}, "status": {"verdict": {"publishable": true}}});
    for kind in ["builds", "projects", "tenantsettings"] {
        for operation in ["CREATE", "UPDATE"] {
            let write = |user: &str| Request {
                object: forged.clone(),
                old: forged.clone(),
                ..in_tenant(user, operation, &format!("{kind}/status.imagefactory.dev"))
            };
            expect(&write(OPERATOR), "");
            for other in [OWNER, ADMINISTRATOR, CREDENTIALS] {
                expect(&write(other), "status is written by Image Factory's operator alone");
            }
        }
    }
    let spec = Request {
        object: forged.clone(),
        old: forged,
        ..in_tenant(OWNER, "UPDATE", "builds.imagefactory.dev")
    };
    expect(&spec, "");
}
