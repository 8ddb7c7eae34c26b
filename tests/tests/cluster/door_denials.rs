//! The table of denials (product.md), row by row for each kind there is, by requests as they go over the wire: status
//! line, code, reason, causes, the message behind the API server's prefix; that nothing is left behind; that a dry run is
//! judged in the same way and neither audited nor counted; and that all else is on record once. Here what a tenant is
//! entitled to; what is written in fields is in `door_fields`, who asks in `door_persons`.
#![allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]

use imagefactory_crds::SorRecord;
use imagefactory_crds::names::LABEL_SOR_SOURCE;
use imagefactory_crds::usage::Usage;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::denials::{Expected, Table};
use imagefactory_tests::door::{Raw, heard};
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::wait::until;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ASK: &str = "Contact your administrator to request access.";
const REGISTER: &str = "Enterprise EPR registration is required before requesting quarantine.";
/// Where images lie that the tenant may have scanned.
const LISTED: &str = "quay.io/team/";

/// What a Tenant says where all capabilities that there are kinds for are on, or off.
pub(crate) fn capabilities(all: bool) -> Value {
    json!({"build": all, "quarantineRequest": all, "onDemandImageScanning": all, "changeReason": "a test"})
}

/// A tenant that may do everything, whose builds and scans don't run.
pub(crate) fn entitled() -> Value {
    json!({"quota": {"pods": 0, "concurrentBuilds": 0}, "registries": [LISTED], "capabilities": capabilities(true)})
}

/// A record that lists the tenant, of which `rest` says more. Its name is its id.
pub(crate) async fn record(table: &Table, name: &str, rest: Value) -> ClusterObject {
    labelled(table, name, rest, json!({})).await
}

async fn labelled(table: &Table, name: &str, rest: Value, labels: Value) -> ClusterObject {
    let mut spec = json!({"recordId": name, "tenants": [table.tenant.name]});
    spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": name, "labels": labels},
        "spec": spec,
    });
    ClusterObject::create::<SorRecord>(&table.tenant.cluster, "sorrecord", object).await
}

/// The creation of a Build, a request and a scan in that project.
fn work(table: &Table, project: &str, record: &str) -> [(Raw, &'static str, &'static str); 3] {
    let there = json!({"projectRef": {"name": project}});
    let asking = json!({"projectRef": {"name": project}, "sorRecordId": record});
    [
        (table.build("never", &there), "build", "Image build is"),
        (
            table.request("never", &asking),
            "quarantine_request",
            "Quarantine request is",
        ),
        (
            table.scan("never", &there),
            "ondemand_image_scanning",
            "On-demand image scanning is",
        ),
    ]
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_capability_that_is_off_refuses_what_needs_it() {
    let mut table = Table::create("d-off", json!({"capabilities": capabilities(false)})).await;
    let name = table.tenant.name.clone();
    for (what, key, begin) in work(&table, "app", "APP-1") {
        let expected = Expected {
            http: 403,
            code: "tenant_capability_not_entitled",
            words: &[&format!("{begin} not enabled for this tenant. {ASK}")],
            causes: &[("Capability", key), ("Tenant", &name)],
            field: "",
        };
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_capability_that_the_project_turned_off_refuses_it_there_alone() {
    let mut table = Table::create("d-narrow", entitled()).await;
    let off = json!({"build": false, "quarantineRequest": false, "onDemandImageScanning": false});
    table.tenant.project("narrow", json!({ "capabilities": off })).await;
    let id = unique("narrow");
    let _record = record(&table, &id, json!({})).await;
    heard().await;
    let name = table.tenant.name.clone();
    for (what, key, begin) in work(&table, "narrow", &id) {
        let expected = Expected {
            http: 403,
            code: "tenant_capability_not_entitled",
            words: &[&format!("{begin} turned off for this project."), "spec.capabilities"],
            causes: &[("Capability", key), ("Tenant", &name), ("Project", "narrow")],
            field: "",
        };
        table.refuses(&what, &expected).await;
    }
    let client = table.tenant.client();
    for (what, ..) in work(&table, "app", &id) {
        let elsewhere = what.send(&client, true).await;
        assert_eq!(elsewhere.http, 201, "{}", elsewhere.body);
    }
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_request_without_a_record_that_counts_is_a_failed_precondition() {
    let mut table = Table::create("d-sor", json!({"capabilities": capabilities(true)})).await;
    let ids = ["good", "off", "over", "others", "fetched"].map(unique);
    let [good, off, over, others, fetched] = &ids;
    let past = Timestamp::now() + SignedDuration::from_secs(2);
    let past = Timestamp::from_second(past.as_second()).unwrap().to_string();
    let _records = [
        record(&table, good, json!({})).await,
        record(&table, off, json!({"suspended": true})).await,
        record(&table, over, json!({"expiresAt": past})).await,
        record(&table, others, json!({"tenants": ["somebody-else"]})).await,
        // As the operator fetches them, from a system of record that nobody asks here.
        labelled(&table, fetched, json!({}), json!({LABEL_SOR_SOURCE: "nowhere"})).await,
    ];
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let how = "Register the product for this tenant in the enterprise's system of record";
    let name = table.tenant.name.clone();
    for (id, words) in [
        (off.as_str(), format!("Record {off} is suspended.")),
        (over, format!("Record {over} has expired.")),
        (others, format!("Record {others} is unknown.")),
        ("APP-404", "Record APP-404 is unknown.".to_owned()),
        (
            fetched,
            format!("Record {fetched} could not be verified with the system of record for too long."),
        ),
    ] {
        let expected = Expected {
            http: 412,
            code: "sor_registration_required",
            words: &[&format!("{REGISTER} {words} {how}")],
            causes: &[("SorRecord", id), ("Tenant", &name)],
            field: "spec.sorRecordId",
        };
        table
            .refuses(&table.request("never", &json!({"sorRecordId": id})), &expected)
            .await;
    }
    let expected = Expected {
        http: 412,
        code: "sor_registration_required",
        words: &[&format!("{REGISTER} No record is named in spec.sorRecordId. {how}")],
        causes: &[("Tenant", &name)],
        field: "spec.sorRecordId",
    };
    table.refuses(&table.request("never", &json!({})), &expected).await;
    let client = table.tenant.client();
    let counts = table.request("counts", &json!({"sorRecordId": good}));
    let counts = counts.send(&client, true).await;
    assert_eq!(counts.http, 201, "{}", counts.body);
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_suspended_tenant_and_an_archived_project_take_on_nothing_new() {
    let mut table = Table::create("d-halt", entitled()).await;
    let id = unique("halt");
    let _record = record(&table, &id, json!({})).await;
    table.tenant.project("old", json!({"archived": true})).await;
    heard().await;
    let name = table.tenant.name.clone();
    for (what, ..) in work(&table, "old", &id) {
        let expected = Expected {
            http: 409,
            code: "project_archived",
            words: &["Project old is archived", "spec.archived"],
            causes: &[("Project", "old"), ("Tenant", &name)],
            field: "spec.projectRef.name",
        };
        table.refuses(&what, &expected).await;
    }
    table.tenant.patch(json!({"spec": {"suspended": true}})).await;
    heard().await;
    for (what, ..) in work(&table, "app", &id) {
        let words = format!("Tenant {name} is suspended");
        let expected = Expected {
            http: 403,
            code: "tenant_suspended",
            words: &[&words, "A platform administrator can lift it"],
            causes: &[("Tenant", &name)],
            field: "",
        };
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

/// What is over the quota is told with its limit and its use.
async fn refuses_one_more(table: &mut Table, what: &Raw, field: &str, words: &str) {
    let name = table.tenant.name.clone();
    let (begin, path) = (format!("Tenant {name} may have {words}"), format!("spec.quota.{field}"));
    let expected = Expected {
        http: 403,
        code: "quota_exceeded",
        words: &[&begin, &path],
        causes: &[("Tenant", &name), ("Quota", field)],
        field: "",
    };
    table.refuses(what, &expected).await;
}

/// Waits until the door has heard of the tenant's use.
async fn until_used(table: &Table, is_told: impl Fn(&Usage) -> bool) {
    until("the Tenant tells its use", 30, async || {
        let usage = table.tenant.read().await.status?.usage?;
        is_told(&usage).then_some(())
    })
    .await;
    heard().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn one_more_than_a_quota_of_count_or_rate_is_refused_with_limit_and_use() {
    let mut whole = entitled();
    whole["quota"]["projects"] = json!(1);
    let mut table = Table::create("d-quota", whole).await;
    let id = unique("quota");
    let _record = record(&table, &id, json!({})).await;
    let project = table.create_of("Project", "projects", "never", &json!({}));
    refuses_one_more(&mut table, &project, "projects", "1 projects and has 1.").await;

    table.make(&table.build("there", &json!({}))).await;
    table.make(&table.request("there", &json!({"sorRecordId": id}))).await;
    let limits = json!({"builds": 1, "openQuarantineRequests": 1});
    table.tenant.patch(json!({"spec": {"quota": limits}})).await;
    until_used(&table, |usage| {
        usage.builds.total == 1 && usage.open_quarantine_requests == Some(1)
    })
    .await;
    let build = table.build("never", &json!({}));
    let words = "1 builds, those that have ended included, and has 1.";
    refuses_one_more(&mut table, &build, "builds", words).await;
    let request = table.request("never", &json!({"sorRecordId": id}));
    let words = "1 quarantine requests open at a time and has 1.";
    refuses_one_more(&mut table, &request, "openQuarantineRequests", words).await;

    let limits = json!({"builds": null, "buildsPerHour": 1});
    table.tenant.patch(json!({"spec": {"quota": limits}})).await;
    until_used(&table, |usage| usage.builds_last_hour == Some(1)).await;
    // Of another name: the same again within ten seconds would be one write asked for again.
    let build = table.build("never-now", &json!({}));
    let words = "1 builds within 60 minutes and has 1.";
    refuses_one_more(&mut table, &build, "buildsPerHour", words).await;
    table.is_on_record().await;
}
