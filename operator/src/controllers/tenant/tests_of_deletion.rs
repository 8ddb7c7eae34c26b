//! What the tenant controller asks of the API server when a Tenant is being deleted, and what it makes of the answers.

use imagefactory_core::partial::Pod;
use imagefactory_core::tenant::objects::namespace;
use imagefactory_crds::{Build, Tenant};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::mock::{Mock, Server, now, show};
use super::*;
use crate::runner::ErrorCategory;

const TENANT: &str = "/apis/imagefactory.dev/v1alpha1/tenants/acme";
const NAMESPACE: &str = "/api/v1/namespaces/tenant-acme";
const WORK: &str = "image-factory-work";

fn tenant() -> Tenant {
    serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "uid": "tenant-uid", "resourceVersion": "7", "generation": 2,
                     "deletionTimestamp": Time(now()), "finalizers": ["a.example/other", "imagefactory.dev/tenant"]},
        "spec": {"owners": [{"kind": "User", "name": "alice"}]},
    }))
    .unwrap()
}

fn home() -> Namespace {
    let mut found = namespace::namespace(&tenant());
    found.metadata.uid = Some("namespace-uid".to_owned());
    found
}

/// A pod or a job as the API server has it.
fn made(name: &str, namespace: &str, stage: &str, status: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": {
            "imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web", "imagefactory.dev/build": "b",
            "imagefactory.dev/build-uid": "build-uid", "imagefactory.dev/stage": stage,
            "imagefactory.dev/attempt": "1", "job-name": name}},
        "spec": {"containers": [{"name": "c"}], "template": {"spec": {"containers": [{"name": "c"}]}}},
        "status": status,
    })
}

fn list(items: &[Value]) -> Value {
    json!({"metadata": {}, "items": items})
}

/// An API server with these pods and jobs, and the namespace as told.
fn holding(home: Option<&Namespace>, pods: &[Value], jobs: &[Value]) -> Mock {
    let mock = Mock::default()
        .holds(TENANT, &tenant())
        .holds(&format!("{NAMESPACE}/pods"), &list(pods))
        .holds(&format!("/api/v1/namespaces/{WORK}/pods"), &list(&[]))
        .holds("/apis/batch/v1/namespaces/tenant-acme/jobs", &list(&[]))
        .holds(&format!("/apis/batch/v1/namespaces/{WORK}/jobs"), &list(jobs));
    match home {
        Some(home) => mock.holds(NAMESPACE, home),
        None => mock,
    }
}

async fn run(server: &Server) -> Result<Outcome, TenantError> {
    reconcile(Arc::new(tenant()), server.context.clone()).await
}

fn opened(mock: Mock, hubs: &Hubs) -> Server {
    let server = mock.start(hubs);
    server.context.dispatcher.open_empty();
    server
}

fn reason(server: &Server) -> String {
    server.status()["conditions"][0]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn while_it_is_not_known_what_runs_nothing_is_taken_away() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, home());
    let server = holding(Some(&home()), &[], &[]).start(&hubs);
    run(&server).await.unwrap();
    assert_eq!(server.requests(), [format!("PATCH {TENANT}/status")]);
    assert_eq!(reason(&server), "Deleting");
}

#[tokio::test]
async fn a_build_that_runs_is_told_of_without_asking_anybody() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, home());
    let build: Build = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": "b", "namespace": "tenant-acme", "uid": "build-uid"},
        "spec": {"projectRef": {"name": "web"}},
        "status": {"observedGeneration": 1, "startTime": Time(now())},
    }))
    .unwrap();
    show(&hubs.builds, build);
    let server = opened(holding(Some(&home()), &[], &[]), &hubs);
    run(&server).await.unwrap();
    assert_eq!(server.requests(), [format!("PATCH {TENANT}/status")]);
    assert_eq!(reason(&server), "BuildsRunning");
    assert_eq!(server.status()["conditions"][0]["status"], "False");
    assert_eq!(server.status()["conditions"][1]["type"], "Reconciling");
}

#[tokio::test]
async fn a_pod_or_a_job_that_only_the_api_server_knows_of_runs_too() {
    let live = made("b-build-1", "tenant-acme", "build", &json!({"phase": "Running"}));
    let scan = made("scan-build-uid-1", WORK, "scan", &json!({}));
    for (pods, jobs) in [(vec![live], vec![]), (vec![], vec![scan])] {
        let hubs = Hubs::default();
        show(&hubs.namespaces, home());
        let server = opened(holding(Some(&home()), &pods, &jobs), &hubs);
        run(&server).await.unwrap();
        assert_eq!(server.writes(), [format!("PATCH {TENANT}/status")]);
        assert_eq!(reason(&server), "BuildsRunning");
    }
}

#[tokio::test]
async fn jobs_go_first_and_then_the_namespace_that_was_seen() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, home());
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    let scan = made("scan-build-uid-1", WORK, "scan", &done);
    let server = opened(holding(Some(&home()), &[], &[scan]), &hubs);
    let deleted = format!("/apis/batch/v1/namespaces/{WORK}/jobs/scan-build-uid-1");
    run(&server).await.unwrap();
    let expected = [
        format!("DELETE {deleted}"),
        format!("DELETE {NAMESPACE}"),
        format!("PATCH {TENANT}/status"),
    ];
    assert_eq!(server.writes(), expected);
    assert_eq!(reason(&server), "NamespaceTerminating");
    let bodies = server.bodies();
    let of_namespace = server.requests().iter().position(|line| *line == expected[1]).unwrap();
    assert_eq!(bodies[of_namespace]["preconditions"]["uid"], "namespace-uid");
}

#[tokio::test]
async fn a_pod_whose_log_is_not_kept_holds_everything_up() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, home());
    let ended = json!({"phase": "Succeeded", "containerStatuses": [{
        "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "containerID": "containerd://1",
        "state": {"terminated": {"exitCode": 0, "containerID": "containerd://1", "finishedAt": Time(now())}}}]});
    let pod = made("b-build-1", "tenant-acme", "build", &ended);
    let server = opened(holding(Some(&home()), std::slice::from_ref(&pod), &[]), &hubs);
    run(&server).await.unwrap();
    assert_eq!(server.writes(), [format!("PATCH {TENANT}/status")]);
    assert_eq!(reason(&server), "LogsNotKept");
    let pod: Pod = serde_json::from_value(pod).unwrap();
    server.context.keeper.keep_now(&pod);
    run(&server).await.unwrap();
    assert!(
        server.writes().contains(&format!("DELETE {NAMESPACE}")),
        "{:?}",
        server.writes()
    );
}

#[tokio::test]
async fn the_finalizer_goes_when_the_namespace_is_gone_and_others_stay() {
    let server = opened(holding(None, &[], &[]), &Hubs::default());
    run(&server).await.unwrap();
    assert_eq!(server.writes(), [format!("PATCH {TENANT}")]);
    let body = server.bodies().pop().unwrap();
    let metadata = json!({"uid": "tenant-uid", "resourceVersion": "7", "finalizers": ["a.example/other"]});
    assert_eq!(body, json!({"metadata": metadata}));
}

/// The store still shows it: the API server's word counts.
#[tokio::test]
async fn a_namespace_that_somebody_deleted_by_hand_holds_nobody_up() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, home());
    let server = opened(holding(None, &[], &[]), &hubs);
    run(&server).await.unwrap();
    assert_eq!(server.writes(), [format!("PATCH {TENANT}")]);
}

#[tokio::test]
async fn a_strangers_namespace_is_not_deleted() {
    let mut stranger = home();
    stranger.metadata.labels = None;
    let server = opened(holding(Some(&stranger), &[], &[]), &Hubs::default());
    run(&server).await.unwrap();
    assert_eq!(server.writes(), [format!("PATCH {TENANT}")]);
}

#[tokio::test]
async fn what_was_overtaken_is_looked_at_again_and_what_can_not_be_asked_is_an_error() {
    let overtaken = holding(None, &[], &[]).refuses(&format!("PATCH {TENANT}"), 409);
    let server = opened(overtaken, &Hubs::default());
    let again = Outcome::waiting().again_after(std::time::Duration::from_secs(1));
    assert_eq!(run(&server).await.unwrap(), again);
    run(&server).await.unwrap();
    assert_eq!(server.writes().len(), 2, "and it is tried again");
    let blind = holding(None, &[], &[]).refuses(&format!("GET {NAMESPACE}/pods"), 500);
    let server = opened(blind, &Hubs::default());
    assert_eq!(run(&server).await.unwrap_err().category(), "ObserveFailed");
    assert_eq!(server.writes(), [] as [&str; 0]);
}
