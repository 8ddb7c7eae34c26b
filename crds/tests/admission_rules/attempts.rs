//! What is audited of changes that are let in.

use imagefactory_crds::admission::{Attempt, MAX_SIDE_BYTES, Subject};
use imagefactory_crds::{ImagePolicy, Tenant};
use serde_json::{Value, json};

use crate::support::door::{acme, build, create, platform, project, typed, update, user};
use crate::support::object;

fn of_tenant(change: impl FnOnce(&mut Tenant)) -> Option<Attempt> {
    let door = acme();
    let decision = door.asks(&platform(), Subject::Tenant(update(door.tenant(), change)));
    assert_eq!(decision.denial, None);
    decision.attempt
}

fn sides(attempt: Attempt) -> (Value, Value) {
    (attempt.before.unwrap_or_default(), attempt.after.unwrap_or_default())
}

#[test]
fn a_change_of_a_tenant_is_told_by_the_fields_that_change() {
    let attempt = of_tenant(|new| new.spec.suspended = true).unwrap();
    assert_eq!(
        attempt.reason, None,
        "the reason that stands there is for something else"
    );
    assert_eq!(
        sides(attempt),
        (json!({"suspended": false}), json!({"suspended": true}))
    );
    let reason = of_tenant(|new| {
        let written = new.spec.capabilities.as_mut().unwrap();
        written.build = Some(false);
        written.change_reason = "ticket 8".into();
    });
    let reason = reason.unwrap();
    assert_eq!(reason.reason.as_deref(), Some("ticket 8"));
    assert_eq!(reason.after.unwrap()["capabilities"]["build"], false);
    assert_eq!(of_tenant(|new| new.metadata.labels = None), None);
}

#[test]
fn making_and_removing_is_an_attempt_and_a_build_is_none() {
    let door = acme();
    let made = door
        .asks(&platform(), Subject::Tenant(create(door.tenant().clone())))
        .attempt
        .unwrap();
    assert_eq!(made.reason.as_deref(), Some("onboarding"));
    assert!(made.before.is_none() && made.after.unwrap()["owners"][0]["name"] == "olga");
    let policy: ImagePolicy = typed(object("ImagePolicy", "open", json!({"maxCvss": "7"})));
    let removed = door
        .asks(&platform(), Subject::ImagePolicy(crate::support::door::delete(policy)))
        .attempt
        .unwrap();
    assert!(removed.after.is_none() && removed.before.unwrap()["maxCvss"] == "7");
    assert_eq!(
        door.asks(&user("mia"), Subject::Build(create(build(json!({})))))
            .attempt,
        None
    );
}

#[test]
fn of_a_project_archiving_and_capabilities_are_told_alone() {
    let door = acme();
    let attempt = |change: fn(&mut imagefactory_crds::Project)| {
        let write = update(&project("shop", json!({})), change);
        door.asks(&user("adam"), Subject::Project(write)).attempt
    };
    assert_eq!(attempt(|new| new.spec.description = Some("x".into())), None);
    let (before, after) = sides(attempt(|new| new.spec.archived = true).unwrap());
    assert_eq!((before, after), (json!({"archived": false}), json!({"archived": true})));
}

#[test]
fn of_members_those_that_come_or_go_are_told() {
    let door = acme();
    let write = update(&door.settings, |new| {
        new.spec.members[2].role = "Member".into();
        new.spec.display_name = Some("Acme".into());
    });
    let (before, after) = sides(
        door.asks(&user("adam"), Subject::TenantSettings(write))
            .attempt
            .unwrap(),
    );
    let vic = |role: &str| json!({"members": [{"subject": {"kind": "User", "name": "vic"}, "role": role}]});
    assert_eq!((before, after), (vic("Viewer"), vic("Member")));
}

#[test]
fn what_is_told_is_bounded_and_says_where_it_was_cut() {
    let door = acme();
    let members: Vec<_> = (0..200)
        .map(|number| json!({"subject": {"kind": "User", "name": format!("{number}{}", "\"".repeat(200))}, "role": "Viewer"}))
        .collect();
    let write = update(&door.settings, |new| {
        new.spec.members.extend(typed::<Vec<_>>(json!(members)));
    });
    let attempt = door.asks(&platform(), Subject::TenantSettings(write)).attempt.unwrap();
    let after = attempt.after.unwrap();
    assert!(after.to_string().len() <= MAX_SIDE_BYTES, "{}", after.to_string().len());
    assert_eq!(after["members"]["truncated"], true);
    assert!(after["members"]["begins"].as_str().unwrap().len() > 1000);
}
