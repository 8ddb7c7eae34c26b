//! Every row of the table of denials as a client reads it: code, HTTP status, message and causes. The file beside it is
//! for people to review.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use std::fmt::Write as _;

use imagefactory_crds::Tenant;
use imagefactory_crds::admission::{Requester, Subject};
use imagefactory_crds::denial::{Code, Denial};
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::tenant_settings::Permission;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use support::door::{
    Door, acme, annotate, build, create, delete, in_groups, platform, project, quarantine, record, scan, settings,
    typed, update, user,
};
use support::object;

/// A row: what is tried, by whom, in which world.
type Row = (&'static str, Door, Requester, Subject);

fn with(change: impl FnOnce(&mut Door)) -> Door {
    let mut door = acme();
    change(&mut door);
    door
}

fn new_build() -> Subject {
    Subject::Build(create(build(json!({}))))
}

fn entitlement() -> Vec<Row> {
    let off = with(|door| door.tenant_mut().spec.capabilities.as_mut().unwrap().build = Some(false));
    let narrowed = with(|door| door.project = Some(project("shop", json!({"capabilities": {"build": false}}))));
    let suspended = with(|door| door.tenant_mut().spec.suspended = true);
    let archived = with(|door| door.project = Some(project("shop", json!({"archived": true}))));
    let full = with(|door| door.projects = 3);
    let one_more = Subject::Project(create(project("more", json!({}))));
    let multi = build(json!({"method": "docker", "platforms": ["linux/amd64", "linux/arm64"]}));
    let placed = build(json!({"placement": {"runtimeClassName": "gvisor"}}));
    vec![
        ("a build where the tenant may not build", off, user("mia"), new_build()),
        ("a build where the project may not", narrowed, user("mia"), new_build()),
        ("a build of a suspended tenant", suspended, user("mia"), new_build()),
        ("a build in an archived project", archived, user("mia"), new_build()),
        ("a project more than the quota", full, user("olga"), one_more),
        (
            "a field that the method can't honour",
            acme(),
            user("mia"),
            Subject::Build(create(multi)),
        ),
        (
            "a placement that nobody allows",
            acme(),
            user("mia"),
            Subject::Build(create(placed)),
        ),
    ]
}

const OWN_IMAGE: &str = "registry.example.com/images/acme/shop:1";

/// A tenant that may scan.
fn scanning(change: fn(&mut Door)) -> Door {
    with(|door| {
        door.tenant_mut()
            .spec
            .capabilities
            .as_mut()
            .unwrap()
            .on_demand_image_scanning = Some(true);
        change(door);
    })
}

fn scans() -> Vec<Row> {
    let on = scanning;
    let asks = |image: &str| Subject::ImageScan(create(scan(image)));
    let narrowed = on(|door| {
        let off = json!({"capabilities": {"onDemandImageScanning": false}});
        door.project = Some(project("shop", off));
    });
    let cancel = Subject::ImageScan(update(&scan(OWN_IMAGE), |new| new.spec.cancelled = true));
    let other = Subject::ImageScan(update(&scan(OWN_IMAGE), |new| new.spec.image = "quay.io/a/b:1".into()));
    vec![
        (
            "a scan where the tenant may not scan",
            acme(),
            user("mia"),
            asks(OWN_IMAGE),
        ),
        (
            "a scan where the project may not",
            narrowed,
            user("mia"),
            asks(OWN_IMAGE),
        ),
        (
            "a scan of a suspended tenant",
            on(|door| door.tenant_mut().spec.suspended = true),
            user("mia"),
            asks(OWN_IMAGE),
        ),
        ("a scan of a viewer", on(|_| ()), user("vic"), asks(OWN_IMAGE)),
        (
            "a scan of another tenant's image",
            on(|_| ()),
            user("mia"),
            asks("registry.example.com/images/other/shop:1"),
        ),
        (
            "a scan of an image without a tag",
            on(|_| ()),
            user("mia"),
            asks("quay.io/acme/shop"),
        ),
        ("a member cancels a scan", on(|_| ()), user("mia"), cancel),
        ("a scan turns to another image", on(|_| ()), user("adam"), other),
        (
            "a member deletes a scan",
            on(|_| ()),
            user("mia"),
            Subject::ImageScan(delete(scan(OWN_IMAGE))),
        ),
    ]
}

fn registration() -> Vec<Row> {
    let on = |change: fn(&mut Door)| {
        with(|door| {
            door.tenant_mut().spec.capabilities.as_mut().unwrap().quarantine_request = Some(true);
            change(door);
        })
    };
    let asks = |record: &str| Subject::QuarantineRequest(create(quarantine(record)));
    let suspended = on(|door| door.records[0].spec.suspended = true);
    let expired = on(|door| door.records[0].spec.expires_at = Some(typed(json!("1969-12-31T00:00:00Z"))));
    let mut nameless = quarantine("APP-1");
    nameless.spec.sor_record_id = None;
    let nameless = Subject::QuarantineRequest(create(nameless));
    let mut withdrawn = quarantine("APP-1");
    annotate(&mut withdrawn, "imagefactory.dev/requested-by", "adam");
    let withdrawn = Subject::QuarantineRequest(update(&withdrawn, |new| new.spec.withdrawn = true));
    let open = Subject::SorRecord(create(record("APP-3", "acme")));
    vec![
        (
            "a request where the tenant may not ask",
            acme(),
            user("mia"),
            asks("APP-1"),
        ),
        ("a request of a viewer", on(|_| ()), user("vic"), asks("APP-1")),
        ("a request that names no record", on(|_| ()), user("mia"), nameless),
        (
            "a request for a record that nobody knows",
            on(|_| ()),
            user("mia"),
            asks("APP-9"),
        ),
        (
            "a request for another tenant's record",
            on(|_| ()),
            user("mia"),
            asks("APP-2"),
        ),
        (
            "a request for a suspended record",
            suspended,
            user("mia"),
            asks("APP-1"),
        ),
        ("a request for an expired record", expired, user("mia"), asks("APP-1")),
        (
            "a member withdraws another's request",
            on(|_| ()),
            user("mia"),
            withdrawn,
        ),
        ("an owner writes a record", acme(), user("olga"), open),
    ]
}

fn roles() -> Vec<Row> {
    let cancel = |name: &str| {
        let mut old = build(json!({}));
        old.spec.project_ref.name = name.into();
        Subject::Build(update(&old, |new| new.spec.cancelled = true))
    };
    let door = acme();
    let settings = door.settings.clone();
    let rename = Subject::TenantSettings(update(&settings, |new| new.spec.display_name = Some("Acme".into())));
    let join = Subject::TenantSettings(update(&settings, |new| {
        let mut eve = new.spec.members[0].clone();
        eve.subject.name = "eve".into();
        new.spec.members.push(eve);
    }));
    let approve = Subject::TenantSettings(update(&settings, |new| {
        new.spec.roles[0].permissions.push(Permission::ApproveQuarantine);
    }));
    let stranger = Subject::TenantSettings(update(&settings, |new| {
        new.spec.members[0].subject.name = "system:admin".into();
    }));
    let policy = typed(object("ImagePolicy", "open", json!({})));
    let tenant = Subject::Tenant(create(door.tenant().clone()));
    vec![
        ("a viewer starts a build", acme(), user("vic"), new_build()),
        ("somebody unknown starts a build", acme(), user("eve"), new_build()),
        ("a member cancels a build", acme(), user("mia"), cancel("shop")),
        (
            "an admin of one project cancels another's build",
            acme(),
            user("lisa"),
            cancel("web"),
        ),
        (
            "an admin creates a project",
            acme(),
            user("adam"),
            Subject::Project(create(project("x", json!({})))),
        ),
        ("who manages the team edits settings", acme(), user("tess"), rename),
        ("who manages the team alone makes an admin", acme(), user("tess"), join),
        (
            "a role may approve that the Tenant does not delegate",
            acme(),
            platform(),
            approve,
        ),
        ("a member of a kind that can't be one", acme(), user("olga"), stranger),
        ("an owner writes a Tenant", acme(), user("olga"), tenant),
        (
            "a cluster administrator whom the platform does not know writes a policy",
            acme(),
            in_groups("root", &["admins"]),
            Subject::ImagePolicy(create(policy)),
        ),
    ]
}

fn changes() -> Vec<Row> {
    let old = build(json!({}));
    let target = Subject::Build(update(&old, |new| new.spec.priority = Some(5)));
    let mut cancelled = build(json!({}));
    cancelled.spec.cancelled = true;
    let resumed = Subject::Build(update(&cancelled, |new| new.spec.cancelled = false));
    let mut stamped = build(json!({}));
    annotate(&mut stamped, "imagefactory.dev/requested-by", "mia");
    let forged = Subject::Build(update(&stamped, |new| {
        annotate(new, "imagefactory.dev/requested-by", "olga");
    }));
    let door = acme();
    let ownerless = Subject::Tenant(update(door.tenant(), |new| {
        new.spec.owners[0].name = "system:masters".into();
    }));
    let unreasoned = Subject::Tenant(update(door.tenant(), |new| {
        new.spec.capabilities.as_mut().unwrap().quarantine_request = Some(true);
    }));
    vec![
        ("the priority of a build changes", acme(), user("adam"), target),
        ("a cancelled build is to go on", acme(), user("adam"), resumed),
        ("another is said to have asked", acme(), user("adam"), forged),
        ("the last owner goes", acme(), platform(), ownerless),
        ("a capability without a new reason", acme(), platform(), unreasoned),
    ]
}

fn lifetimes() -> Vec<Row> {
    let held = Subject::Build(update(&build(json!({})), |new| {
        new.metadata.finalizers = Some(vec!["example.com/keep".into()]);
    }));
    let orphaned = |meta: &mut ObjectMeta| {
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]);
        meta.owner_references = Some(typed(owner));
    };
    let asked = Subject::QuarantineRequest(update(&quarantine("APP-1"), |new| orphaned(&mut new.metadata)));
    let mut owned = project("shop", json!({}));
    orphaned(&mut owned.metadata);
    let owned = Subject::Project(create(owned));
    vec![
        ("a build is to stay for ever", acme(), user("mia"), held),
        (
            "a request gets an owner that does not exist",
            acme(),
            user("mia"),
            asked,
        ),
        ("a project is made with an owner", acme(), user("olga"), owned),
    ]
}

fn confirmations() -> Vec<Row> {
    let door = acme();
    let mut used: Tenant = door.tenant().clone();
    used.status = Some(typed(json!({
        "usage": {
            "builds": {"total": 40, "queued": 2, "running": 1, "succeeded": 30, "failed": 7},
            "slots": {"taken": 1}, "members": 9, "projects": 2,
        },
    })));
    let mut counted = project("shop", json!({}));
    counted.status = Some(typed(
        json!({"builds": {"total": 12, "queued": 0, "running": 1, "succeeded": 10, "failed": 1}}),
    ));
    let leave = Subject::TenantSettings(update(&door.settings, |new| drop(new.spec.members.drain(1..3))));
    let settings = settings(json!({"members": [{"subject": {"kind": "User", "name": "mia"}, "role": "Member"}]}));
    vec![
        ("a Tenant is deleted", acme(), platform(), Subject::Tenant(delete(used))),
        (
            "a Project is deleted",
            acme(),
            user("olga"),
            Subject::Project(delete(counted)),
        ),
        ("members are taken out", acme(), user("adam"), leave),
        (
            "settings with members are deleted",
            acme(),
            platform(),
            Subject::TenantSettings(delete(settings)),
        ),
    ]
}

fn told(denial: &Denial) -> String {
    let mut text = format!("{} {}\n  {}\n", denial.code.http(), denial.code, denial.message);
    for cause in &denial.causes {
        let _ = write!(text, "  - {}: {}", cause.reason, cause.message);
        let _ = if cause.field.is_empty() {
            writeln!(text)
        } else {
            writeln!(text, " ({})", cause.field)
        };
    }
    text
}

#[test]
fn every_denial_reads_as_it_was_reviewed() {
    let mut table = String::new();
    for (what, door, user, subject) in [
        entitlement(),
        scans(),
        registration(),
        roles(),
        changes(),
        lifetimes(),
        confirmations(),
    ]
    .into_iter()
    .flatten()
    {
        let denial = door
            .asks(&user, subject)
            .denial
            .unwrap_or_else(|| panic!("{what} is let in"));
        assert!(denial.message.chars().count() < 600, "{what}: {}", denial.message);
        assert!(!denial.causes.is_empty(), "{what}");
        let _ = writeln!(table, "{what}\n  {}", told(&denial));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_words_of_the_contract_are_told_to_the_letter() {
    let off = with(|door| door.tenant_mut().spec.capabilities = None);
    let denial = off.asks(&user("mia"), new_build()).denial.unwrap();
    assert_eq!(
        denial.message,
        "Image build is not enabled for this tenant. Contact your administrator to request access."
    );
    assert_eq!(denial.code.http(), 403);
}

#[test]
fn a_request_without_registration_is_told_what_is_required_and_another_tenant_s_record_is_unknown() {
    let rows = registration().into_iter();
    let messages: Vec<_> = rows
        .map(|(_, door, user, subject)| door.asks(&user, subject).denial.unwrap())
        .collect();
    for denial in &messages[2..7] {
        assert_eq!(
            (denial.code.as_str(), denial.code.http()),
            ("sor_registration_required", 412)
        );
        let begins = "Enterprise EPR registration is required before requesting quarantine. ";
        assert!(denial.message.starts_with(begins), "{}", denial.message);
    }
    assert_eq!(messages[3].message.replace("APP-9", "APP-2"), messages[4].message);
}

#[test]
fn a_project_that_turned_requests_off_gets_none_whatever_else_it_has() {
    let narrowed = |capabilities: serde_json::Value| {
        with(|door| {
            door.tenant_mut().spec.capabilities.as_mut().unwrap().quarantine_request = Some(true);
            door.project = Some(project("shop", json!({"capabilities": capabilities})));
        })
    };
    let asks = || Subject::QuarantineRequest(create(quarantine("APP-1")));
    let off = narrowed(json!({"quarantineRequest": false}));
    let denial = off.asks(&user("mia"), asks()).denial.unwrap();
    assert_eq!(denial.code, Code::TenantCapabilityNotEntitled);
    assert_eq!(denial.capability, Some(Capability::QuarantineRequest));
    assert!(
        denial
            .message
            .starts_with("Quarantine request is turned off for this project. "),
        "{denial:?}"
    );
    for other in [
        json!({"build": false, "onDemandImageScanning": false}),
        json!({"quarantineRequest": true}),
    ] {
        assert_eq!(narrowed(other).says(&user("mia"), asks()), "let in");
    }
    let mut tenant_off = narrowed(json!({"quarantineRequest": true}));
    tenant_off
        .tenant_mut()
        .spec
        .capabilities
        .as_mut()
        .unwrap()
        .quarantine_request = Some(false);
    let denial = tenant_off.asks(&user("mia"), asks()).denial.unwrap();
    assert!(
        denial
            .message
            .starts_with("Quarantine request is not enabled for this tenant. "),
        "{denial:?}"
    );
}

#[test]
fn a_request_for_a_registered_product_is_let_in_and_its_author_may_withdraw_it() {
    let door = with(|door| door.tenant_mut().spec.capabilities.as_mut().unwrap().quarantine_request = Some(true));
    let mut request = quarantine("APP-1");
    assert_eq!(
        door.says(&user("mia"), Subject::QuarantineRequest(create(request.clone()))),
        "let in"
    );
    annotate(&mut request, "imagefactory.dev/requested-by", "mia");
    let withdraw = || Subject::QuarantineRequest(update(&request, |new| new.spec.withdrawn = true));
    assert_eq!(door.says(&user("mia"), withdraw()), "let in");
    assert_eq!(door.says(&user("adam"), withdraw()), "let in", "an admin may, too");
}

#[test]
fn without_a_tenant_nothing_is_enabled() {
    let nowhere = with(|door| door.tenant = None);
    assert_eq!(nowhere.says(&platform(), new_build()), "tenant_capability_not_entitled");
    assert_eq!(nowhere.says(&user("mia"), new_build()), "permission_denied");
}

#[test]
fn a_denial_leaves_no_attempt_and_no_warning() {
    for (what, door, user, subject) in [
        entitlement(),
        scans(),
        registration(),
        roles(),
        changes(),
        lifetimes(),
        confirmations(),
    ]
    .into_iter()
    .flatten()
    {
        let decision = door.asks(&user, subject);
        assert!(decision.attempt.is_none() && decision.warnings.is_empty(), "{what}");
    }
}
