//! What subscribers hear, and what the store holds, whatever the API server sends.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use imagefactory_core::partial::{Job, Pod};
use imagefactory_crds::{Build, Project};
use imagefactory_serving::Guarded;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::{Hub, Selection, trim, watch};
use crate::metrics::Metrics;
use crate::testing::{object, project, server};

fn good(name: &str, version: u32) -> Guarded<Project> {
    object(project(name, version))
}

fn bad(name: &str, generation: u32) -> Guarded<Project> {
    let mut value = project(name, 1);
    value["metadata"]["generation"] = generation.into();
    value["spec"]["archived"] = "per\nhaps".into();
    object(value)
}

/// Names that were told so far, sorted.
fn told(stream: &mut BoxStream<'static, Arc<Project>>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(Some(object)) = stream.next().now_or_never() {
        names.push(object.name_any());
    }
    names.sort();
    names
}

fn list(hub: &Hub<Project>, objects: Vec<Guarded<Project>>) -> usize {
    let events = objects.into_iter().map(Event::InitApply);
    let events = std::iter::once(Event::Init).chain(events).chain([Event::InitDone]);
    events.filter_map(|event| hub.take(event)).count()
}

fn stored(hub: &Hub<Project>) -> Vec<String> {
    let mut names: Vec<_> = hub.store().state().iter().map(|object| object.name_any()).collect();
    names.sort();
    names
}

#[test]
fn who_comes_late_hears_first_what_is_there() {
    let hub = Hub::default();
    list(&hub, vec![good("a", 1), good("b", 1)]);
    let (mut all, mut changes) = (hub.subscribe(), hub.changes());
    assert_eq!(
        (told(&mut all), told(&mut changes)),
        (vec!["a".to_owned(), "b".to_owned()], vec![])
    );
    hub.take(Event::Apply(good("b", 2)));
    assert_eq!(
        (told(&mut all), told(&mut changes)),
        (vec!["b".to_owned()], vec!["b".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn very_many_objects_are_handed_out_page_by_page_as_they_are_by_then_and_hold_up_no_news() {
    let hub = Hub::default();
    let names: Vec<String> = (0..1000).map(|number| format!("p{number:04}")).collect();
    list(&hub, names.iter().map(|name| good(name, 1)).collect());
    let mut all = hub.subscribe();
    let first = told(&mut all);
    assert!(!first.is_empty() && first.len() < 500, "{}", first.len());
    let gone = names.iter().find(|name| !first.contains(name)).unwrap();
    hub.take(Event::Delete(good(gone, 2)));
    hub.take(Event::Apply(good("new", 1)));
    assert_eq!(told(&mut all), ["new", gone], "what changes waits for no page");
    let mut rest = Vec::new();
    while first.len() + rest.len() < 999 {
        rest.push(all.next().await.unwrap().name_any());
    }
    let mut heard = [first, rest, vec![gone.clone()]].concat();
    heard.sort();
    assert_eq!(heard, names, "each once, and what is gone not again");
    assert!(all.next().now_or_never().is_none());
}

#[test]
fn a_deletion_is_told_with_the_object() {
    let hub = Hub::default();
    list(&hub, vec![good("a", 1)]);
    let mut changes = hub.changes();
    hub.take(Event::Delete(good("a", 2)));
    assert_eq!(told(&mut changes), ["a"]);
    assert!(hub.store().is_empty());
}

#[test]
fn a_second_list_tells_what_came_changed_and_went_and_nothing_else() {
    let hub = Hub::default();
    list(&hub, vec![good("same", 1), good("changed", 1), good("gone", 1)]);
    let mut changes = hub.changes();
    list(&hub, vec![good("same", 1), good("changed", 2), good("new", 1)]);
    assert_eq!(told(&mut changes), ["changed", "gone", "new"]);
    assert_eq!(stored(&hub), ["changed", "new", "same"]);
}

#[test]
fn one_that_another_has_the_name_of_is_told_as_gone_too() {
    let of_uid = |uid: &str| {
        let mut value = project("p", 1);
        value["metadata"]["uid"] = uid.into();
        object::<Guarded<Project>>(value)
    };
    let hub = Hub::default();
    list(&hub, vec![of_uid("old")]);
    let mut changes = hub.changes();
    let mut uids = || {
        let mut uids = Vec::new();
        while let Some(Some(object)) = changes.next().now_or_never() {
            uids.extend(object.uid());
        }
        uids.sort();
        uids
    };
    list(&hub, vec![of_uid("new")]);
    assert_eq!(uids(), ["new", "old"]);
    assert_eq!(hub.take(Event::Apply(of_uid("newest"))), None);
    assert_eq!(uids(), ["new", "newest"]);
}

#[test]
fn a_hub_is_synced_after_its_first_list_and_not_before() {
    let hub = Hub::<Project>::default();
    hub.take(Event::Init);
    hub.take(Event::InitApply(good("a", 1)));
    assert!(!hub.is_synced() && hub.store().is_empty());
    hub.take(Event::InitDone);
    assert!(hub.is_synced());
    hub.take(Event::Init);
    assert!(
        hub.is_synced() && stored(&hub) == ["a"],
        "a list that is being read takes nothing away"
    );
}

#[test]
fn who_is_woken_by_the_first_list_finds_the_hub_synced() {
    let hub = Hub::<Project>::default();
    let (mut touched, looked) = (hub.subscribe(), hub.clone());
    let woken = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(touched.next());
        looked.is_synced()
    });
    list(&hub, vec![good("a", 1)]);
    assert!(woken.join().unwrap());
}

#[test]
fn an_object_that_does_not_parse_leaves_the_store_and_comes_back_when_it_does() {
    let hub = Hub::default();
    list(&hub, vec![good("a", 1), good("b", 1)]);
    let mut changes = hub.changes();
    let malformed = hub.take(Event::Apply(bad("a", 2))).unwrap();
    assert_eq!(malformed.reference.name.as_deref(), Some("a"));
    assert_eq!(
        (malformed.generation, malformed.reference.kind.as_deref()),
        (2, Some("Project"))
    );
    assert_eq!(
        (stored(&hub), told(&mut changes)),
        (vec!["b".to_owned()], vec!["a".to_owned()])
    );
    assert_eq!(hub.malformed().len(), 1);
    hub.take(Event::Apply(good("a", 3)));
    assert_eq!((stored(&hub).len(), hub.malformed().len()), (2, 0));
}

#[test]
fn a_malformed_object_is_news_once_for_each_generation() {
    let hub = Hub::default();
    let mut objects = hub.malformed_objects();
    assert_eq!(list(&hub, vec![good("a", 1), bad("b", 1)]), 1);
    assert_eq!(list(&hub, vec![good("a", 1), bad("b", 1)]), 0);
    assert!(hub.take(Event::Apply(bad("b", 1))).is_none());
    assert!(hub.take(Event::Apply(bad("b", 2))).is_some());
    let mut told = Vec::new();
    while let Some(Some(malformed)) = objects.next().now_or_never() {
        told.push(malformed.generation);
    }
    assert_eq!((told, stored(&hub)), (vec![1, 2], vec!["a".to_owned()]));
}

#[test]
fn a_malformed_object_that_is_deleted_is_forgotten() {
    let hub = Hub::default();
    list(&hub, vec![bad("a", 1)]);
    assert!(hub.take(Event::Delete(bad("a", 1))).is_none());
    assert!(hub.malformed().is_empty());
}

#[test]
fn a_subscriber_that_went_away_hinders_nobody() {
    let hub = Hub::default();
    drop(hub.changes());
    let mut changes = hub.changes();
    hub.take(Event::Apply(good("a", 1)));
    assert_eq!(told(&mut changes), ["a"]);
}

#[test]
fn touched_objects_lead_to_others() {
    let hub = Hub::<Project>::default();
    let mut tenants = hub.leads_to(|project| vec![ObjectRef::<Project>::new(&format!("of-{}", project.name_any()))]);
    hub.take(Event::Apply(good("a", 1)));
    assert_eq!(tenants.next().now_or_never().flatten().unwrap().name, "of-a");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_in_a_page_does_not_stop_the_watch() {
    let (client, mut api) = server();
    let (hub, metrics) = (Hub::<Project>::default(), Arc::new(Metrics::default()));
    tokio::spawn(watch(
        &client,
        hub.clone(),
        Selection::all(trim::object),
        metrics.clone(),
    ));
    let mut broken = project("broken", 1);
    broken["spec"]["archived"] = json!({"not": "a boolean"});
    let page = |items: Vec<Value>, next: &str| {
        json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ProjectList",
            "metadata": {"resourceVersion": "5", "continue": next}, "items": items,
        })
    };
    let first = api.expect("GET /apis/imagefactory.dev/v1alpha1/projects").await;
    assert!(first.query.contains("limit=100"), "{}", first.query);
    first.answer(200, &page(vec![project("a", 1), broken], "more"));
    let second = api.asked().await;
    assert!(second.query.contains("continue=more"), "{}", second.query);
    second.answer(200, &page(vec![project("b", 2)], ""));
    let watch = api.asked().await;
    assert!(
        watch.query.contains("watch=true") && watch.query.contains("allowWatchBookmarks=true"),
        "{}",
        watch.query
    );
    assert_eq!(
        (stored(&hub), hub.malformed().len()),
        (vec!["a".to_owned(), "b".to_owned()], 1)
    );
    assert!(
        metrics
            .encode()
            .unwrap()
            .contains("imagefactory_malformed_objects_total{kind=\"projects\"} 1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_definition_is_missing_is_asked_for_again() {
    let (client, mut api) = server();
    let hub = Hub::<Project>::default();
    tokio::spawn(watch(
        &client,
        hub.clone(),
        Selection::labelled("a=b", trim::object),
        Arc::default(),
    ));
    for _ in 0..3 {
        let asked = api.asked().await;
        assert!(asked.query.contains("labelSelector=a%3Db"), "{}", asked.query);
        asked.fail(404, "NotFound", "the server could not find the requested resource");
    }
    assert!(!hub.is_synced());
    assert!(!api.is_quiet_for(Duration::from_secs(60)).await);
}

#[test]
fn what_nobody_reads_of_a_pod_is_not_kept() {
    let mut pod: Pod = object(json!({
        "metadata": {
            "name": "p", "labels": {"imagefactory.dev/build": "b", "job-name": "j", "controller-uid": "c"},
            "managedFields": [{"manager": "x"}], "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "u"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "imagefactory.dev/resolved-spec": "{}"},
        },
        "spec": {
            "nodeName": "n", "activeDeadlineSeconds": 9, "hostUsers": false, "volumes": [{"name": "v"}],
            "initContainers": [{"name": "i", "env": [{"name": "SECRET", "value": "x"}]}],
            "containers": [{"name": "c", "image": "img", "args": ["x"], "env": [{"name": "A", "value": "B"}]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": "c", "image": "img", "imageID": "sha256:1", "ready": true, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "containerID": "containerd://1", "message": "report"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }],
        },
    }));
    trim::pod(&mut pod);
    let kept: Pod = object(json!({
        "metadata": {
            "name": "p", "labels": {"imagefactory.dev/build": "b", "job-name": "j"},
        },
        "spec": {"nodeName": "n", "activeDeadlineSeconds": 9},
        "status": {
            "phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{
                "name": "c",
                "state": {"terminated": {"exitCode": 0, "containerID": "containerd://1", "message": "report"}},
            }],
        },
    }));
    assert_eq!(pod, kept);
}

#[test]
fn of_a_job_is_kept_how_it_ended() {
    let mut job: Job = object(json!({
        "metadata": {"name": "j", "managedFields": [{"manager": "x"}]},
        "spec": {
            "activeDeadlineSeconds": 60, "backoffLimit": 0,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}], "volumes": [{"name": "v"}]}},
        },
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }));
    trim::job(&mut job);
    let kept: Job = object(json!({
        "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    }));
    assert_eq!(job, kept);
}

fn build(succeeded: &str) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {
            "name": "b", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "7", "generation": 1,
            "annotations": {"a": "b"}, "labels": {"c": "d"},
        },
        "spec": {"projectRef": {"name": "web"}, "source": {"git": {"url": "https://git.example.com/a"}}, "cancelled": false},
        "status": {
            "observedGeneration": 1, "phase": "Succeeded",
            "conditions": [{
                "type": "Succeeded", "status": succeeded, "reason": "Published", "message": "Published x.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "staged": {"repository": "r/acme", "digest": "sha256:aa", "size": 1},
            "verdict": {"result": "Pass", "publishable": true},
        },
    })
}

#[test]
fn a_build_stays_whole_until_it_has_ended() {
    let mut going_on: Build = object(build("Unknown"));
    trim::build(&mut going_on);
    assert_eq!(going_on, object(build("Unknown")), "it is not trimmed");
}

#[test]
fn of_an_ended_build_is_kept_whose_it_is_and_how_it_ended() {
    let mut ended: Build = object(build("True"));
    trim::build(&mut ended);
    let kept = serde_json::to_value(ended).unwrap();
    assert_eq!(
        kept["metadata"],
        json!({"name": "b", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "7", "generation": 1})
    );
    assert_eq!(kept["spec"], json!({"projectRef": {"name": "web"}, "cancelled": false}));
    assert_eq!(
        kept["status"],
        json!({
            "observedGeneration": 1, "phase": "Succeeded",
            "conditions": [{
                "type": "Succeeded", "status": "True", "reason": "Published", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "staged": {"repository": "r/acme", "digest": "sha256:aa", "size": 1},
        })
    );
}
