//! Destructive acts want to be confirmed.

use imagefactory_crds::admission::{Requester, Subject, confirmation_lists};
use serde_json::json;

use crate::support::door::{Door, acme, confirm, delete, platform, project, update, user};

const CLEANERS: [&str; 3] = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:image-factory:operator",
];

#[test]
fn a_tenant_and_a_project_go_only_with_their_name_in_the_annotation() {
    let door = acme();
    for (named, says) in [
        (None, "confirmation_required"),
        (Some("other"), "confirmation_required"),
        (Some("yes"), "confirmation_required"),
        (Some("shop"), "let in"),
        (Some("web, shop"), "let in"),
    ] {
        let mut object = project("shop", json!({}));
        named.into_iter().for_each(|named| confirm(&mut object, named));
        assert_eq!(
            door.says(&user("olga"), Subject::Project(delete(object))),
            says,
            "{named:?}"
        );
        let mut tenant = door.tenant().clone();
        named
            .into_iter()
            .for_each(|named| confirm(&mut tenant, &named.replace("shop", "acme")));
        assert_eq!(
            door.says(&platform(), Subject::Tenant(delete(tenant))),
            says,
            "{named:?}"
        );
    }
}

#[test]
fn what_cleans_up_is_not_asked() {
    let mut door = acme();
    for cleaner in CLEANERS {
        let gone = Subject::Project(delete(project("shop", json!({}))));
        assert_eq!(door.says(&user(cleaner), gone), "let in", "{cleaner}");
        assert_eq!(
            door.says(&user(cleaner), Subject::TenantSettings(delete(door.settings.clone()))),
            "let in"
        );
    }
    let gone = || Subject::Project(delete(project("shop", json!({}))));
    assert_eq!(door.says(&user("olga"), gone()), "confirmation_required");
    door.namespace_is_leaving = true;
    assert_eq!(door.says(&user("olga"), gone()), "let in");
    assert_eq!(
        door.says(&user("mia"), gone()),
        "permission_denied",
        "a right is needed all the same"
    );
}

#[test]
fn what_is_being_deleted_already_is_not_asked_for_again() {
    let door = acme();
    let mut object = project("shop", json!({}));
    object.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert_eq!(door.says(&user("olga"), Subject::Project(delete(object))), "let in");
}

fn leave(door: &Door, by: &Requester, before: Option<&str>, after: Option<&str>) -> &'static str {
    let mut old = door.settings.clone();
    before.into_iter().for_each(|names| confirm(&mut old, names));
    let write = update(&old, |new| {
        new.spec
            .members
            .retain(|member| !["mia", "vic"].contains(&member.subject.name.as_str()));
        new.metadata.annotations = None;
        after.into_iter().for_each(|names| confirm(new, names));
    });
    door.says(by, Subject::TenantSettings(write))
}

#[test]
fn members_go_only_with_all_their_names_in_the_same_update() {
    let door = acme();
    let says = |before, after| leave(&door, &user("adam"), before, after);
    assert_eq!(says(None, Some("mia,vic")), "let in");
    assert_eq!(says(None, Some(" vic , mia ")), "let in");
    assert_eq!(says(Some("adam"), Some("adam,mia,vic")), "let in");
    assert_eq!(says(None, None), "confirmation_required");
    assert_eq!(says(None, Some("mia")), "confirmation_required");
    assert_eq!(says(None, Some("settings")), "confirmation_required");
    assert_eq!(
        says(Some("mia"), Some("mia,vic")),
        "confirmation_required",
        "mia stands there from earlier"
    );
    assert_eq!(says(Some("mia,vic"), None), "confirmation_required");
    assert_eq!(
        leave(&door, &platform(), None, None),
        "confirmation_required",
        "the platform confirms too"
    );
}

#[test]
fn who_stays_by_another_entry_is_not_taken_out() {
    let mut door = acme();
    let mut again = door.settings.spec.members[1].clone();
    again.role = "Viewer".into();
    door.settings.spec.members.push(again);
    let less = update(&door.settings, |new| drop(new.spec.members.remove(1)));
    assert_eq!(door.says(&user("adam"), Subject::TenantSettings(less)), "let in");
}

#[test]
fn a_name_with_commas_is_confirmed_as_a_whole() {
    for (listed, name, confirmed) in [
        ("CN=eve,O=acme", "CN=eve,O=acme", true),
        ("bob, CN=eve, O=acme ,mia", "CN=eve,O=acme", true),
        ("CN=eve,bob,O=acme", "CN=eve,O=acme", false),
        ("CN=eve", "CN=eve,O=acme", false),
        ("", "mia", false),
        ("mi a", "mia", false),
    ] {
        assert_eq!(confirmation_lists(Some(listed), name), confirmed, "{listed:?} {name:?}");
    }
    assert!(!confirmation_lists(None, "mia"));
}
