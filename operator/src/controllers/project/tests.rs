//! What the project controller asks of the API server, and how often.

use futures::{FutureExt, StreamExt};
use imagefactory_core::tenant::objects::namespace;
use imagefactory_crds::common::LocalRef;
use imagefactory_crds::project::{BuildCounts, ProjectStatus};
use imagefactory_crds::{Build, BuildSpec, ProjectSpec, Tenant, TenantSpec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use super::*;
use crate::controllers::tenant::mock::{self, Mock, Server, show};
use crate::watches::Guarded;

const PROJECT: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/projects/web";

fn project() -> Project {
    let mut project = Project::new("web", ProjectSpec::default());
    project.metadata.namespace = Some("tenant-acme".to_owned());
    project
}

fn add_build(hubs: &Hubs, name: &str, project: &str) {
    let mut build = Build::new(
        name,
        BuildSpec {
            project_ref: LocalRef::to(project),
            ..Default::default()
        },
    );
    build.metadata.namespace = Some("tenant-acme".to_owned());
    show(&hubs.builds, build);
}

fn cluster() -> (Server, Hubs) {
    let hubs = Hubs::default();
    let mut tenant = Tenant::new("acme", TenantSpec::default());
    tenant.metadata.uid = Some("tenant-uid".to_owned());
    show(&hubs.namespaces, namespace::namespace(&tenant));
    show(&hubs.tenants, tenant);
    (Mock::default().holds(PROJECT, &project()).start(&hubs), hubs)
}

fn in_four_seconds() -> Timestamp {
    mock::now() + SignedDuration::from_secs(4)
}

fn in_ten_seconds() -> Timestamp {
    mock::now() + SignedDuration::from_secs(10)
}

fn at(context: &Context, clock: fn() -> Timestamp) -> Arc<Context> {
    Arc::new(Context {
        clock,
        ..context.clone()
    })
}

#[tokio::test]
async fn counts_are_written_at_once_and_then_after_ten_seconds_while_conditions_do_not_wait() {
    let (server, hubs) = cluster();
    let ledger = Arc::new(Ledger::default());
    add_build(&hubs, "one", "web");
    add_build(&hubs, "other", "another");
    reconcile(Arc::new(project()), server.context.clone(), ledger.clone())
        .await
        .unwrap();
    assert_eq!(server.status()["builds"]["total"], 1);

    let mut known = project();
    known.status = serde_json::from_value(server.status()).unwrap();
    add_build(&hubs, "two", "web");
    let outcome = reconcile(
        Arc::new(known.clone()),
        at(&server.context, in_four_seconds),
        ledger.clone(),
    )
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::unchanged().again_after(Duration::from_secs(6)));
    assert_eq!(server.writes().len(), 1, "too early");

    known.spec.archived = true;
    reconcile(
        Arc::new(known.clone()),
        at(&server.context, in_four_seconds),
        ledger.clone(),
    )
    .await
    .unwrap();
    assert_eq!(server.status()["conditions"][0]["reason"], "Archived");
    assert_eq!(server.status()["builds"]["total"], 1, "as it was");

    reconcile(Arc::new(known), at(&server.context, in_ten_seconds), ledger)
        .await
        .unwrap();
    assert_eq!(server.status()["builds"]["total"], 2);
    assert_eq!(server.status()["lastBuild"]["name"], "two");
    assert_eq!(server.writes(), vec![format!("PATCH {PROJECT}/status"); 3]);
}

#[tokio::test]
async fn a_project_in_no_tenants_namespace_says_so_and_counts_nothing() {
    let hubs = Hubs::default();
    let server = Mock::default().holds(PROJECT, &project()).start(&hubs);
    add_build(&hubs, "one", "web");
    reconcile(Arc::new(project()), server.context.clone(), Arc::new(Ledger::default()))
        .await
        .unwrap();
    assert_eq!(server.status()["conditions"][0]["reason"], "NotATenantNamespace");
    assert_eq!(server.status()["builds"], serde_json::Value::Null);
}

/// Admission confines the operator to namespaces of tenants.
#[tokio::test]
async fn where_the_operator_may_not_write_a_project_is_left_alone_without_an_error() {
    let request = format!("PATCH {PROJECT}/status");
    let server = Mock::default()
        .holds(PROJECT, &project())
        .refuses(&request, 403)
        .start(&Hubs::default());
    let outcome = reconcile(Arc::new(project()), server.context.clone(), Arc::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::waiting());
}

#[tokio::test]
async fn a_project_that_was_overtaken_is_looked_at_again_although_its_builds_were_counted() {
    let hubs = Hubs::default();
    let (_, of_tenant) = cluster();
    of_tenant
        .tenants
        .store()
        .state()
        .iter()
        .for_each(|tenant| show(&hubs.tenants, (**tenant).clone()));
    of_tenant
        .namespaces
        .store()
        .state()
        .iter()
        .for_each(|namespace| show(&hubs.namespaces, (**namespace).clone()));
    let server = Mock::default()
        .refuses(&format!("PATCH {PROJECT}/status"), 409)
        .start(&hubs);
    let outcome = reconcile(Arc::new(project()), server.context.clone(), Arc::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::unchanged().again_after(SOON));
}

#[tokio::test]
async fn a_project_beyond_the_quota_says_so_once_and_is_ready_when_another_is_gone() {
    let (_, of_tenant) = cluster();
    let hubs = Hubs::default();
    for namespace in of_tenant.namespaces.store().state() {
        show(&hubs.namespaces, (*namespace).clone());
    }
    let quota = imagefactory_crds::tenant::Quota {
        projects: Some(1),
        ..Default::default()
    };
    let spec = TenantSpec {
        quota: Some(quota),
        ..TenantSpec::default()
    };
    let mut tenant = Tenant::new("acme", spec);
    let known = of_tenant.tenants.store().get(&ObjectRef::new("acme")).unwrap();
    tenant.metadata.uid.clone_from(&known.metadata.uid);
    show(&hubs.tenants, tenant);
    let mut earlier = project();
    earlier.metadata.name = Some("earlier".to_owned());
    show(&hubs.projects, earlier.clone());
    show(&hubs.projects, project());
    let server = Mock::default().holds(PROJECT, &project()).start(&hubs);
    let look = async |project: &Project| {
        let outcome = reconcile(Arc::new(project.clone()), server.context.clone(), Arc::default()).await;
        outcome.unwrap();
        server.status()["conditions"][0].clone()
    };
    let ready = look(&project()).await;
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&"False".into(), &"quota_exceeded".into())
    );
    let mut known = project();
    known.status = serde_json::from_value(server.status()).unwrap();
    let written = server.writes();
    look(&known).await;
    assert_eq!(server.writes(), written, "nothing is written that does not change");
    hubs.projects.take(Event::Delete(Guarded(Ok(earlier))));
    assert_eq!(look(&known).await["reason"], "Active");
}

/// Projects that are woken by what is done to the hubs.
async fn woken(hubs: &Hubs, does: impl FnOnce(&Hubs)) -> std::collections::BTreeSet<String> {
    let mut wakes = watches::quota_wakes(hubs);
    does(hubs);
    let mut woken = std::collections::BTreeSet::new();
    while let Some(Some(project)) = wakes.next().now_or_never() {
        woken.insert(project.name);
    }
    woken
}

#[tokio::test]
async fn projects_are_looked_at_again_when_another_goes_or_the_quota_changes_and_not_otherwise() {
    let hubs = Hubs::default();
    let tenant = |projects: Option<u32>| {
        let quota = imagefactory_crds::tenant::Quota {
            projects,
            ..Default::default()
        };
        let spec = TenantSpec {
            quota: Some(quota),
            ..TenantSpec::default()
        };
        let mut tenant = Tenant::new("acme", spec);
        tenant.metadata.uid = Some("acme".to_owned());
        tenant
    };
    let named = |name: &str| {
        let mut project = project();
        project.metadata.name = Some(name.to_owned());
        project.metadata.uid = Some(name.to_owned());
        project
    };
    for name in ["a", "b"] {
        show(&hubs.projects, named(name));
    }
    let both = ["a", "b"].map(str::to_owned).into();
    let told = woken(&hubs, |hubs| show(&hubs.tenants, tenant(Some(1)))).await;
    assert_eq!(told, both, "the quota changes");
    let goes = |hubs: &Hubs| {
        hubs.projects.take(Event::Delete(Guarded(Ok(named("c")))));
    };
    assert_eq!(woken(&hubs, goes).await, both, "another goes");
    let twice = |hubs: &Hubs| {
        show(&hubs.tenants, tenant(None));
        show(&hubs.projects, named("a"));
    };
    assert_eq!(woken(&hubs, twice).await, both, "the quota is gone");
    show(&hubs.tenants, tenant(None));
    assert!(woken(&hubs, goes).await.is_empty(), "nothing is limited");
}

#[test]
fn how_its_builds_fare_is_no_news_of_a_project() {
    let change = |change: fn(&mut Project)| {
        let mut changed = project();
        changed.metadata.generation = Some(1);
        changed.status = Some(ProjectStatus::default());
        let before = digest(&changed);
        change(&mut changed);
        digest(&changed) != before
    };
    let ready = || {
        serde_json::from_value(serde_json::json!({
            "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    };
    assert!(!change(
        |project| project.status.as_mut().unwrap().builds = Some(BuildCounts::default())
    ));
    assert!(change(|project| project.metadata.generation = Some(2)));
    assert!(change(
        |project| project.metadata.deletion_timestamp = Some(Time(mock::now()))
    ));
    let mut shown = project();
    shown.status = Some(ProjectStatus::default());
    let before = digest(&shown);
    shown.status.as_mut().unwrap().conditions = vec![ready()];
    assert_ne!(digest(&shown), before, "whether it may have builds, its builds read");
}
