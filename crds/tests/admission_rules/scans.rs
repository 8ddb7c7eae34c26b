//! ImageScans at the door: the capability, whose image it is, and who may stop one.

use imagefactory_crds::admission::Subject;
use serde_json::json;

use crate::support::door::{Door, acme, annotate, create, delete, platform, project, scan, update, user};

const OWN: &str = "registry.example.com/images/acme/shop:1";

fn entitled() -> Door {
    let mut door = acme();
    door.tenant_mut()
        .spec
        .capabilities
        .as_mut()
        .unwrap()
        .on_demand_image_scanning = Some(true);
    door
}

fn new(image: &str) -> Subject {
    Subject::ImageScan(create(scan(image)))
}

#[test]
fn owners_admins_and_members_may_ask_for_a_scan_and_nobody_else() {
    let door = entitled();
    for (name, answer) in [
        ("olga", "let in"),
        ("adam", "let in"),
        ("mia", "let in"),
        ("vic", "permission_denied"),
        ("rex", "permission_denied"),
        ("eve", "permission_denied"),
    ] {
        assert_eq!(door.says(&user(name), new(OWN)), answer, "{name}");
    }
}

#[test]
fn the_right_to_build_is_not_the_right_to_scan_and_administrators_have_no_other() {
    let door = acme();
    assert_eq!(door.says(&user("mia"), new(OWN)), "tenant_capability_not_entitled");
    assert_eq!(door.says(&platform(), new(OWN)), "tenant_capability_not_entitled");
    let denial = door.asks(&user("mia"), new(OWN)).denial.unwrap();
    assert_eq!(
        denial.message,
        "On-demand image scanning is not enabled for this tenant. Contact your administrator to request access."
    );
    let mut scans_alone = entitled();
    scans_alone.tenant_mut().spec.capabilities.as_mut().unwrap().build = Some(false);
    assert_eq!(scans_alone.says(&user("mia"), new(OWN)), "let in");
}

#[test]
fn only_images_are_scanned_that_the_platform_s_credentials_serve() {
    let mut door = entitled();
    let foreign = "quay.io/acme/shop:1";
    assert_eq!(door.says(&user("olga"), new(foreign)), "invalid_object");
    door.tenant_mut().spec.registries = vec!["quay.io/acme".into()];
    assert_eq!(door.says(&user("olga"), new(foreign)), "let in");
    let staged = "registry.example.com/staging/acme/builds/shop/u:1";
    assert_eq!(door.says(&user("olga"), new(staged)), "let in");
    for others in [
        "registry.example.com/staging/other/a:1",
        "registry.example.com/images/other/a:1",
    ] {
        let denial = door.asks(&user("olga"), new(others)).denial.unwrap();
        assert_eq!(denial.causes[0].field, "spec.image", "{others}");
    }
}

#[test]
fn nothing_new_starts_in_an_archived_project() {
    let mut door = entitled();
    door.project = Some(project("shop", json!({"archived": true})));
    assert_eq!(door.says(&user("mia"), new(OWN)), "project_archived");
}

#[test]
fn who_may_cancel_builds_may_stop_scans_whatever_the_tenant_may() {
    let mut door = entitled();
    door.tenant_mut().spec.suspended = true;
    door.tenant_mut().spec.capabilities = None;
    let cancel = || Subject::ImageScan(update(&scan(OWN), |new| new.spec.cancelled = true));
    let gone = || Subject::ImageScan(delete(scan(OWN)));
    for (name, answer) in [("olga", "let in"), ("rex", "let in"), ("mia", "permission_denied")] {
        assert_eq!(door.says(&user(name), cancel()), answer, "{name}");
        assert_eq!(door.says(&user(name), gone()), answer, "{name}");
    }
    let mut cancelled = scan(OWN);
    cancelled.spec.cancelled = true;
    let resumed = Subject::ImageScan(update(&cancelled, |new| new.spec.cancelled = false));
    assert_eq!(door.says(&user("olga"), resumed), "field_immutable");
}

#[test]
fn who_asked_for_a_scan_is_told_once_and_for_all() {
    let door = entitled();
    let stamped = |name: &str| {
        let mut object = scan(OWN);
        annotate(&mut object, "imagefactory.dev/requested-by", name);
        object
    };
    assert_eq!(
        door.says(&user("mia"), Subject::ImageScan(create(stamped("mia")))),
        "let in"
    );
    let forged = Subject::ImageScan(create(stamped("olga")));
    assert_eq!(door.says(&user("mia"), forged), "field_immutable");
}
