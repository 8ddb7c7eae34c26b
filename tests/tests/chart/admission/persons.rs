//! Rules about persons that hold while the webhook is gone: who changes the team, and who withdraws another's request.

use imagefactory_tests::chart::Chart;
use serde_json::{Value, json};

use super::policy::Request;
use super::{ADMINISTRATOR, CREDENTIALS, OPERATOR, OWNER, expect, in_tenant, judge};
use crate::support::render;

const TEAM: &str = "To change members and roles you need the permission ManageTeam";
const WITHDRAWAL: &str = "To withdraw another's quarantine request you need the permission CancelBuilds";

/// What `EditSettings` gives, and what `ManageTeam` gives.
const EDITS: &[&str] = &["update", "patch"];
const MANAGES: &[&str] = &["update", "patch", "manageteam"];

fn settings(spec: &Value) -> Value {
    json!({"metadata": {"name": "settings", "namespace": "tenant-acme"}, "spec": spec})
}

fn change(user: &str, verbs: &'static [&'static str], old: &Value, new: &Value) -> Request {
    Request {
        verbs,
        object: settings(new),
        old: settings(old),
        ..in_tenant(user, "UPDATE", "tenantsettings.imagefactory.dev")
    }
}

fn member(role: &str) -> Value {
    json!({"subject": {"kind": "User", "name": OWNER}, "role": role})
}

#[test]
fn members_and_roles_are_changed_by_those_alone_who_manage_the_team() {
    let role = json!({"name": "r", "permissions": ["ManageTeam"]});
    let some = json!({"members": [member("Viewer")], "roles": [role]});
    let more = json!({"name": "r", "permissions": ["ManageTeam", "CancelBuilds"]});
    for (old, new) in [
        (json!({}), json!({"members": [member("Admin")]})),
        (json!({}), json!({"roles": [role]})),
        (some.clone(), json!({"members": [member("Admin")], "roles": [role]})),
        (some.clone(), json!({"members": [member("Viewer")], "roles": [more]})),
        (some.clone(), json!({"members": [member("Viewer")]})),
        (some.clone(), json!({})),
    ] {
        expect(&change(OWNER, EDITS, &old, &new), TEAM);
        expect(&change(OWNER, MANAGES, &old, &new), "");
    }
    let made = Request {
        operation: "CREATE",
        old: Value::Null,
        ..change(OWNER, EDITS, &json!({}), &some)
    };
    expect(&made, TEAM);
    let named = json!({"members": some["members"], "roles": some["roles"], "displayName": "Acme"});
    expect(&change(OWNER, EDITS, &some, &named), "");
}

#[test]
fn the_operator_makes_settings_and_platform_and_gitops_write_them_whatever_rbac_says_of_our_verb() {
    let empty = Request {
        operation: "CREATE",
        object: settings(&json!({})),
        old: Value::Null,
        ..in_tenant(OPERATOR, "CREATE", "tenantsettings.imagefactory.dev")
    };
    expect(&empty, "");
    let team = json!({"members": [member("Admin")]});
    let of_gitops = change("system:serviceaccount:flux:apply", EDITS, &json!({}), &team);
    let mut of_platform = change("paul", EDITS, &json!({}), &team);
    of_platform.groups.push("platform".to_owned());
    expect(&of_gitops, TEAM);
    expect(&of_platform, TEAM);
    let chart = Chart::minimal()
        .set("gitops.accounts={system:serviceaccount:flux:apply}")
        .set("platformAdmins.groups={platform}");
    let objects = render(&chart);
    judge(&objects, &of_gitops, "");
    judge(&objects, &of_platform, "");
    judge(&objects, &change(OWNER, EDITS, &json!({}), &team), TEAM);
    // RBAC says yes to whatever system:masters asks.
    expect(&change(ADMINISTRATOR, MANAGES, &json!({}), &team), "");
}

fn withdrawal(user: &str, verbs: &'static [&'static str], requester: Option<&str>) -> Request {
    let mut metadata = json!({"name": "q", "namespace": "tenant-acme"});
    if let Some(requester) = requester {
        metadata["annotations"] = json!({"imagefactory.dev/requested-by": requester});
    }
    Request {
        verbs,
        object: json!({"metadata": metadata, "spec": {"withdrawn": true}}),
        old: json!({"metadata": metadata, "spec": {}}),
        ..in_tenant(user, "UPDATE", "quarantinerequests.imagefactory.dev")
    }
}

#[test]
fn a_request_is_withdrawn_by_who_asked_for_it_and_by_those_who_may_delete_it() {
    const STOPS: &[&str] = &["update", "patch", "delete"];
    expect(&withdrawal(OWNER, EDITS, Some(OWNER)), "");
    for requester in [Some("bob@acme.example"), None] {
        expect(&withdrawal(OWNER, EDITS, requester), WITHDRAWAL);
        expect(&withdrawal(CREDENTIALS, EDITS, requester), "");
        expect(&withdrawal(OWNER, STOPS, requester), "");
    }
    let mut stolen = withdrawal(OWNER, EDITS, None);
    stolen.object["metadata"]["annotations"] = json!({"imagefactory.dev/requested-by": OWNER});
    expect(&stolen, WITHDRAWAL);
    let mut labelled = withdrawal(OWNER, EDITS, Some("bob@acme.example"));
    labelled.object["spec"] = json!({});
    labelled.object["metadata"]["labels"] = json!({"team": "a"});
    expect(&labelled, "");
}
