//! What is counted, and that it reads well.

use bytes::Bytes;
use futures::StreamExt;
use http::Method;
use imagefactory_crds::{Build, Project};
use kube::client::{Body, ClientBuilder};
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use serde_json::json;

use super::requests::CountRequests;
use crate::watches::Guarded;
use std::sync::Arc;

use super::*;
use crate::testing::{failure, object};
use crate::watches::Hub;
use imagefactory_serving::Gates;

fn counted(method: Method, uri: &str, content: &str) -> Request {
    Request::of(
        &http::Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", content)
            .body(())
            .unwrap(),
    )
}

/// Method, path, content type, and what it is counted as.
const REQUESTS: &str = "
GET    /apis/imagefactory.dev/v1alpha1/builds?limit=500              -                            list   builds
GET    /apis/imagefactory.dev/v1alpha1/builds?watch=true&limit=1     -                            watch  builds
GET    /apis/imagefactory.dev/v1alpha1/namespaces/n/builds/b         -                            get    builds
PATCH  /apis/imagefactory.dev/v1alpha1/namespaces/n/builds/b/status  application/apply-patch+yaml apply  builds
GET    /apis/imagefactory.dev/v1alpha1/tenants/acme                  -                            get    tenants
POST   /api/v1/namespaces/n/pods                                     application/json             create pods
PATCH  /api/v1/namespaces/n/pods/p                                   application/merge-patch+json patch  pods
GET    /api/v1/namespaces/n/pods/p/log                               -                            get    pods
GET    /api/v1/namespaces                                            -                            list   namespaces
GET    /api/v1/namespaces/pods                                       -                            get    namespaces
DELETE /apis/batch/v1/namespaces/w/jobs/j                            -                            delete jobs
PUT    /apis/coordination.k8s.io/v1/namespaces/n/leases/l            application/json             update leases
GET    /apis/evil.example.com/v1/namespaces/n/whatever/x             -                            get    other
GET    /version                                                      -                            get    other
";

#[test]
fn a_request_is_counted_by_kubernetes_verb_and_a_known_resource() {
    for line in REQUESTS.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [method, uri, content, verb, resource] = words[..] else {
            panic!("{line}")
        };
        let request = counted(method.parse().unwrap(), uri, content);
        assert_eq!((request.verb, request.resource), (verb, resource), "{uri}");
    }
}

/// A client that counts, and whose every request is answered with this.
fn client(metrics: &Arc<Metrics>, code: u16, body: &serde_json::Value) -> Client {
    let body = Bytes::from(serde_json::to_vec(body).unwrap());
    let service = tower::service_fn(move |_: http::Request<Body>| {
        let body = body.clone();
        async move { Ok::<_, tower::BoxError>(http::Response::builder().status(code).body(Body::from(body))?) }
    });
    ClientBuilder::new(service, "default")
        .with_layer(&CountRequests::new(metrics.clone()))
        .build()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_counted_by_its_class_and_a_list_shows_that_its_watch_lives() {
    let metrics = Arc::new(Metrics::default());
    let list = json!({"metadata": {"resourceVersion": "1"}, "items": []});
    let projects: Api<Project> = Api::all(client(&metrics, 200, &list));
    assert_eq!(metrics.heartbeats().silence("projects"), None);
    projects.list(&Default::default()).await.unwrap();
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(metrics.heartbeats().silence("projects"), Some(Duration::from_secs(7)));

    let refused: Api<Build> = Api::all(client(&metrics, 403, &failure(403, "Forbidden", "no")));
    refused.list(&Default::default()).await.unwrap_err();
    assert_eq!(
        metrics.heartbeats().silence("builds"),
        None,
        "a refusal is no sign of life"
    );
    let text = metrics.encode().unwrap();
    for line in [
        "imagefactory_api_requests_total{verb=\"list\",resource=\"projects\",code=\"2xx\"} 1",
        "imagefactory_api_requests_total{verb=\"list\",resource=\"builds\",code=\"4xx\"} 1",
        "imagefactory_watch_last_event_seconds{resource=\"projects\"} 7.0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_shows_that_a_watch_lives() {
    let metrics = Arc::new(Metrics::default());
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Project", "apiVersion": "imagefactory.dev/v1alpha1", "metadata": {"resourceVersion": "9"}}});
    let projects: Api<Project> = Api::all(client(&metrics, 200, &bookmark));
    let mut events = projects.watch(&Default::default(), "1").await.unwrap().boxed();
    assert_eq!(metrics.heartbeats().silence("projects"), None);
    events.next().await;
    assert_eq!(metrics.heartbeats().silence("projects"), Some(Duration::ZERO));
}

#[test]
fn builds_are_counted_once_and_by_bounded_labels() {
    let metrics = Metrics::default();
    let build = SettledBuild {
        tenant: "acme",
        project: "web",
        method: "kaniko",
        result: "Succeeded",
    };
    metrics.build_settled(build, Some(Duration::from_secs(50)));
    metrics.build_settled(
        SettledBuild {
            result: "Cancelled",
            ..build
        },
        None,
    );
    let text = metrics.encode().unwrap();
    for line in [
        "imagefactory_builds_total{tenant=\"acme\",project=\"web\",method=\"kaniko\",result=\"Succeeded\"} 1",
        "imagefactory_builds_total{tenant=\"acme\",project=\"web\",method=\"kaniko\",result=\"Cancelled\"} 1",
        "imagefactory_build_duration_seconds_bucket{le=\"60.0\",method=\"kaniko\",result=\"Succeeded\"} 1",
        "imagefactory_build_duration_seconds_bucket{le=\"45.0\",method=\"kaniko\",result=\"Succeeded\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("imagefactory_build_duration_seconds_count{method=\"kaniko\",result=\"Cancelled\"}"));
}

fn build(namespace: &str, name: &str, phase: Option<&str>) -> Event<Guarded<Build>> {
    let mut value = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
        "spec": {"projectRef": {"name": "web"}},
    });
    if let Some(phase) = phase {
        value["status"] = json!({"observedGeneration": 1, "phase": phase});
    }
    Event::Apply(object(value))
}

#[test]
fn builds_that_exist_are_counted_on_scrape() {
    let (metrics, hub) = (Metrics::default(), Hub::<Build>::default());
    metrics.add_builds(hub.store());
    let builds = [
        ("tenant-a", "1", Some("Building")),
        ("tenant-a", "2", Some("Building")),
        ("tenant-b", "3", None),
        ("elsewhere", "4", None),
    ];
    for (namespace, name, phase) in builds {
        hub.take(build(namespace, name, phase));
    }
    let text = metrics.encode().unwrap();
    assert!(
        !text.contains("builds_current"),
        "one that waits says nothing, or a sum would count twice: {text}"
    );
    metrics.set_leader(true);
    let text = metrics.encode().unwrap();
    assert!(
        text.contains("imagefactory_builds_current{tenant=\"a\",phase=\"Building\"} 2"),
        "{text}"
    );
    assert!(
        text.contains("imagefactory_builds_current{tenant=\"b\",phase=\"New\"} 1"),
        "{text}"
    );
    assert!(!text.contains("elsewhere"), "{text}");
    metrics.set_leader(false);
    assert!(!metrics.encode().unwrap().contains("builds_current"));
}

/// Text with a member of every family: a family says nothing of itself before it has one.
pub(super) fn every_family() -> String {
    let (metrics, hub, gates) = (Metrics::default(), Hub::<Build>::default(), Gates::default());
    gates.add("api", || None);
    hub.take(build("tenant-acme", "1", None));
    metrics.add_builds(hub.store());
    metrics.set_leader(true);
    metrics.add_collector(Health(gates));
    metrics.heartbeats().beat("builds");
    metrics.reconciled("build", "changed", Duration::ZERO);
    metrics.requested(&counted(Method::GET, "/api/v1/pods", ""), "2xx");
    metrics.malformed_object("builds");
    let build = SettledBuild {
        tenant: "acme",
        project: "web",
        method: "kaniko",
        result: "Succeeded",
    };
    metrics.build_settled(build, Some(Duration::ZERO));
    metrics.judged("acme", &verdicts::tests::status("Pass", Some([0; 5])));
    metrics.scan_settled("acme", "Succeeded", &imagefactory_crds::ImageScanStatus::default());
    metrics.build_dispatched("acme", Duration::ZERO);
    metrics.build_retried("acme", "Pull");
    metrics.build_used("acme", "kaniko", 3);
    metrics.log_decided(super::LogOutcome::Whole, 1);
    metrics.log_failed("store");
    super::quarantine::tests::fill(&metrics);
    metrics.add_collector(OfQueue);
    metrics.add_collector(OfLogs);
    let telling = Telling::default();
    telling.told("told", 1);
    metrics.add_collector(telling);
    metrics.encode().unwrap()
}

/// What the dispatcher tells, without one.
#[derive(Debug)]
struct OfQueue;

impl Collector for OfQueue {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        super::scrape::encode_queue(&[("acme".to_owned(), 1, 1)], encoder)
    }
}

/// What the keeper of logs tells, without one.
#[derive(Debug)]
struct OfLogs;

impl Collector for OfLogs {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        super::archive::encode_waiting(1, encoder)
    }
}

#[test]
fn every_family_has_our_prefix_a_help_text_and_its_unit() {
    let text = every_family();
    let families: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(families.len() == 30, "{families:?}");
    for family in families {
        assert!(family.starts_with("imagefactory_"), "{family}");
        let help = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# HELP {family} ")))
            .unwrap();
        assert!(
            help.len() > 10 && help.ends_with('.') && !help.ends_with(".."),
            "{family}: {help}"
        );
        let unit = text.lines().any(|line| line == format!("# UNIT {family} seconds"));
        assert_eq!(unit, family.ends_with("_seconds"), "{family}");
    }
}

#[test]
fn a_component_that_waits_is_not_healthy() {
    let (metrics, gates) = (Metrics::default(), Gates::default());
    gates.add("api", || None);
    gates.add("builds", || Some("a list".to_owned()));
    metrics.add_collector(Health(gates));
    let text = metrics.encode().unwrap();
    assert!(
        text.contains("imagefactory_component_healthy{component=\"api\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("imagefactory_component_healthy{component=\"builds\"} 0"),
        "{text}"
    );
}
