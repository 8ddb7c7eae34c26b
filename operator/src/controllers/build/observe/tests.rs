//! What is asked of the API server because the stores may lag.

use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::testing::{context, object, server};
use crate::watches::Guarded;
use crate::watches::{Hub, Hubs, Watched};

fn show<K: Watched + DeserializeOwned>(hub: &Hub<K>, value: Value) {
    let _ = hub.take(Event::Apply(Guarded(Ok(object(value)))));
}

fn build() -> Build {
    object(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": "b", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "1"},
        "spec": {"projectRef": {"name": "web"}, "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}}},
        "status": {
            "attempts": 1, "startTime": "2026-01-01T00:00:00Z", "stageAttempts": {"scan": 1},
            "staged": {"repository": "r/acme", "digest": "sha256:aa", "size": 1},
        },
    }))
}

fn job(condition: &str) -> Value {
    json!({
        "metadata": {"name": "scan-u-1", "namespace": "image-factory-work", "labels": labels()},
        "status": {"conditions": [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded"}]},
    })
}

fn labels() -> Value {
    json!({"imagefactory.dev/build-uid": "u", "imagefactory.dev/stage": "scan", "job-name": "scan-u-1"})
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "scan-u-1-x", "namespace": "image-factory-work", "labels": labels()},
        "status": {"phase": "Failed", "reason": "Evicted"},
    })
}

#[tokio::test]
async fn a_pod_that_was_just_made_is_waited_for_until_the_store_shows_it() {
    let (client, _server) = server();
    let hubs = Hubs::default();
    let context = context(client, &hubs);
    let (build, unseen) = (build(), Unseen::default());
    assert!(
        !awaits_what_it_made(&build, &context, &unseen),
        "another process may have made it"
    );
    unseen.made(&build, "b-build-1".to_owned());
    assert!(awaits_what_it_made(&build, &context, &unseen));
    let made = json!({"metadata": {"name": "b-build-1", "namespace": "tenant-acme", "labels": {"imagefactory.dev/build-uid": "u"}}});
    show(&hubs.pods, made);
    assert!(!awaits_what_it_made(&build, &context, &unseen));
}

#[tokio::test]
async fn a_job_that_was_just_made_is_waited_for_and_not_asked_for() {
    for stage in ["scan", "publish"] {
        let (client, _server) = server();
        let hubs = Hubs::default();
        let context = context(client, &hubs);
        let (build, unseen) = (build(), Unseen::default());
        let name = format!("{stage}-u-1");
        unseen.made(&build, name.clone());
        assert!(awaits_what_it_made(&build, &context, &unseen), "{stage}");
        show(
            &hubs.jobs,
            json!({"metadata": {"name": name, "namespace": "image-factory-work"}}),
        );
        assert!(!awaits_what_it_made(&build, &context, &unseen), "{stage}");
    }
}

/// A pod of the builder, of the Build with that uid.
fn builder(name: &str, uid: &str) -> Value {
    let labels = json!({"imagefactory.dev/build-uid": uid});
    json!({"metadata": {"name": name, "namespace": "tenant-acme", "uid": format!("pod-of-{uid}"), "labels": labels}})
}

#[tokio::test]
async fn a_pod_is_asked_for_while_the_store_shows_that_of_an_earlier_build_of_the_same_name() {
    for next_attempt_at in [None, Some("1970-01-01T00:00:00Z")] {
        let mut begun = build();
        let status = begun.status.as_mut().unwrap();
        (status.staged, status.stage_attempts) = (None, None);
        status.next_attempt_at = serde_json::from_value(json!(next_attempt_at)).unwrap();
        let (client, mut server) = server();
        let hubs = Hubs::default();
        show(&hubs.pods, builder("b-build-1", "another"));
        let context = context(client, &hubs);
        let observing = tokio::spawn(async move { observe(&begun, &context).await });
        let asked = server.expect("GET /api/v1/namespaces/tenant-acme/pods/b-build-1").await;
        asked.answer(200, &builder("b-build-1", "u"));
        let observed = observing.await.unwrap().unwrap();
        let of_this = |pod: PodView| pod.build_uid.as_deref() == Some("u");
        assert_eq!(observed.pod.is_some_and(of_this), next_attempt_at.is_none());
        assert_eq!(observed.earlier.is_some(), next_attempt_at.is_some());
    }
}

#[tokio::test]
async fn a_build_that_has_not_begun_sees_the_pod_that_has_its_pods_name() {
    let mut new = build();
    new.status = None;
    let (client, mut server) = server();
    let hubs = Hubs::default();
    show(&hubs.pods, builder("b-build-1", "another"));
    let context = context(client, &hubs);
    let observed = observe(&new, &context).await.unwrap();
    assert_eq!(observed.pod.unwrap().build_uid.as_deref(), Some("another"));
    assert!(server.is_quiet_for(std::time::Duration::from_millis(20)).await);
}

#[tokio::test]
async fn why_a_job_failed_is_asked_of_the_api_server_while_the_store_does_not_show_its_pod() {
    let (client, mut server) = server();
    let hubs = Hubs::default();
    show(&hubs.jobs, job("Failed"));
    let context = context(client, &hubs);
    let observing = tokio::spawn(async move { observe(&build(), &context).await });
    let asked = server.expect("GET /api/v1/namespaces/image-factory-work/pods").await;
    assert!(asked.query.contains("job-name%3Dscan-u-1"), "{}", asked.query);
    asked.answer(200, &json!({"metadata": {}, "items": [pod()]}));
    let scan = observing.await.unwrap().unwrap().scan.unwrap();
    assert_eq!(scan.pod.unwrap().reason.as_deref(), Some("Evicted"));
}

#[tokio::test]
async fn a_publish_job_that_may_have_been_made_is_asked_for_while_the_store_does_not_show_it() {
    let mut publishing = build();
    let status = publishing.status.as_mut().unwrap();
    let verdict = json!({"result": "Pass", "publishable": true, "policies": []});
    status.verdict = serde_json::from_value(verdict).unwrap();
    status.stage_attempts.as_mut().unwrap().publish = Some(1);
    let (client, mut server) = server();
    let hubs = Hubs::default();
    show(&hubs.jobs, job("Complete"));
    let context = context(client, &hubs);
    let observing = tokio::spawn(async move { observe(&publishing, &context).await });
    let of_work = "GET /apis/batch/v1/namespaces/image-factory-work/jobs/publish-u-1";
    server
        .expect(of_work)
        .await
        .answer(404, &json!({"kind": "Status", "code": 404, "reason": "NotFound"}));
    let mut made = job("Complete");
    made["metadata"]["name"] = json!("publish-u-1");
    made["metadata"]["namespace"] = json!("tenant-acme");
    let of_tenant = "GET /apis/batch/v1/namespaces/tenant-acme/jobs/publish-u-1";
    server.expect(of_tenant).await.answer(200, &made);
    let pods = server.expect("GET /api/v1/namespaces/tenant-acme/pods").await;
    pods.answer(200, &json!({"metadata": {}, "items": []}));
    let publish = observing.await.unwrap().unwrap().publish.unwrap();
    assert!(publish.ended.is_some() && publish.pod.is_none());
}

#[tokio::test]
async fn nothing_is_asked_about_a_job_whose_pod_is_shown_or_that_did_not_fail() {
    for (condition, with_pod) in [("Failed", true), ("Complete", false), ("Suspended", false)] {
        let (client, mut server) = server();
        let hubs = Hubs::default();
        show(&hubs.jobs, job(condition));
        if with_pod {
            show(&hubs.pods, pod());
        }
        let context = context(client, &hubs);
        let observed = observe(&build(), &context).await.unwrap();
        assert_eq!(observed.scan.unwrap().pod.is_some(), with_pod);
        assert!(server.is_quiet_for(std::time::Duration::from_millis(20)).await);
    }
}

#[tokio::test]
async fn whether_the_pod_of_a_job_that_is_to_be_ended_has_begun_is_asked_of_the_api_server() {
    let (client, mut server) = server();
    let hubs = Hubs::default();
    show(&hubs.jobs, job("Suspended"));
    let context = context(client, &hubs);
    let mut build = build();
    build.spec.cancelled = true;
    let observing = tokio::spawn(async move { observe(&build, &context).await });
    let asked = server.expect("GET /api/v1/namespaces/image-factory-work/pods").await;
    let mut bound = pod();
    bound["spec"] = json!({"nodeName": "n", "containers": []});
    bound["status"] = json!({"phase": "Pending"});
    asked.answer(200, &json!({"metadata": {}, "items": [bound]}));
    let scan = observing.await.unwrap().unwrap().scan.unwrap();
    assert!(
        scan.pod.unwrap().has_node,
        "it is ended by its pod, which keeps the log"
    );
}

#[tokio::test]
async fn what_a_pod_was_made_for_is_asked_for_only_where_the_status_does_not_say_it() {
    let made = json!({"metadata": {
        "name": "b-build-1", "namespace": "tenant-acme", "labels": {"imagefactory.dev/build-uid": "u"},
        "annotations": {"imagefactory.dev/resolved-spec": r#"{"template": "t", "timeout": "7m"}"#},
    }});
    let (client, mut server) = server();
    let hubs = Hubs::default();
    let context = context(client, &hubs);
    let mut new = build();
    new.status = None;
    let mut found = references(&new, &context);
    read_inputs(&mut found, &new, &context).await.unwrap();
    assert_eq!(found.begun_with, None, "no pod, and nobody is asked");
    show(&hubs.pods, made.clone());
    let (read, ()) = tokio::join!(read_inputs(&mut found, &new, &context), async {
        let asked = server.expect("GET /api/v1/namespaces/tenant-acme/pods/b-build-1").await;
        asked.answer(200, &made);
    });
    read.unwrap();
    let begun_with = found.begun_with.unwrap();
    assert_eq!(begun_with.inputs.timeout, Some("7m".into()));
    let mut told = build();
    told.status.as_mut().unwrap().resolved_spec = Some(Box::new(begun_with));
    let mut found = references(&told, &context);
    read_inputs(&mut found, &told, &context).await.unwrap();
    assert_eq!(found.begun_with, None, "the status says it");
}
