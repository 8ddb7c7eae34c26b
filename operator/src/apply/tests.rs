//! What is sent, and what becomes of each answer.

use imagefactory_core::partial::Pod;
use imagefactory_crds::Project;
use imagefactory_crds::project::ProjectStatus;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};

use super::*;
use crate::runner::ErrorCategory;
use crate::testing::{Server, failure, object, project, server};

fn projects() -> (Api<Project>, Server) {
    let (client, api) = server();
    (Api::namespaced(client, "tenant-acme"), api)
}

const PROJECT: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/projects/web";

fn status(generation: i64) -> ProjectStatus {
    ProjectStatus {
        observed_generation: generation,
        ..ProjectStatus::default()
    }
}

#[tokio::test]
async fn an_object_is_applied_with_force_and_the_one_field_manager() {
    let (client, mut api) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "n");
    let map: ConfigMap = object(json!({"metadata": {"name": "m"}, "data": {"a": "b"}}));
    let (applied, ()) = tokio::join!(apply(&maps, &map), async {
        let asked = api.expect("PATCH /api/v1/namespaces/n/configmaps/m").await;
        assert!(asked.query.contains("force=true"), "{}", asked.query);
        assert!(
            asked.query.contains("fieldManager=imagefactory.dev%2Foperator"),
            "{}",
            asked.query
        );
        assert_eq!(
            (&asked.body["kind"], &asked.body["apiVersion"]),
            (&json!("ConfigMap"), &json!("v1"))
        );
        asked.echo();
    });
    assert_eq!(applied.unwrap(), map);
}

#[tokio::test]
async fn a_status_that_is_right_is_not_sent() {
    let (projects, mut api) = projects();
    let project: Project = object(project("web", 7));
    let write = apply_status(&projects, &project, Some(&status(1)), &status(1))
        .await
        .unwrap();
    assert_eq!(write, Write::Unchanged);
    assert!(api.is_quiet_for(std::time::Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_status_is_applied_to_the_version_that_was_read_and_nothing_else_is() {
    let (projects, mut api) = projects();
    let web: Project = object(project("web", 7));
    let desired = status(1);
    let (write, ()) = tokio::join!(apply_status(&projects, &web, None, &desired), async {
        let asked = api.expect(&format!("PATCH {PROJECT}/status")).await;
        assert_eq!(
            asked.body,
            json!({
                "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project",
                "metadata": {"name": "web", "resourceVersion": "7"}, "status": {"observedGeneration": 1},
            })
        );
        asked.answer(200, &project("web", 8));
    });
    assert_eq!(write.unwrap(), Write::Written);
}

/// What `apply_status` makes of an answer.
async fn status_answered(code: u16, reason: &str) -> Result<Write, ApplyError> {
    let (projects, mut api) = projects();
    let web: Project = object(project("web", 7));
    let desired = status(1);
    let (write, ()) = tokio::join!(apply_status(&projects, &web, None, &desired), async {
        api.asked().await.fail(code, reason, "said so");
    });
    write
}

#[tokio::test]
async fn a_status_of_an_object_that_is_gone_or_changed_is_no_error() {
    assert_eq!(status_answered(404, "NotFound").await.unwrap(), Write::Gone);
    assert_eq!(status_answered(409, "Conflict").await.unwrap(), Write::Outdated);
    let error = status_answered(403, "Forbidden").await.unwrap_err();
    assert_eq!(
        (error.category(), error.to_string().as_str()),
        ("Forbidden", "could not apply the status of Project web")
    );
}

/// What `create_if_absent` makes of an answer.
async fn create_answered(code: u16, body: Value) -> Result<Created, ApplyError> {
    let (projects, mut api) = projects();
    let web: Project = object(project("web", 1));
    let (created, ()) = tokio::join!(create_if_absent(&projects, &web), async {
        let asked = api
            .expect("POST /apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/projects")
            .await;
        assert!(
            asked.query.contains("fieldManager=imagefactory.dev%2Foperator"),
            "{}",
            asked.query
        );
        asked.answer(code, &body);
    });
    created
}

#[tokio::test]
async fn creating_twice_is_creating_once() {
    let created = create_answered(201, project("web", 1)).await.unwrap();
    assert_eq!(created, Created::New);
    assert_eq!(
        create_answered(409, failure(409, "AlreadyExists", "is there"))
            .await
            .unwrap(),
        Created::Existing
    );
    // A conflict is not an existing object.
    assert_eq!(
        create_answered(409, failure(409, "Conflict", "try again"))
            .await
            .unwrap_err()
            .category(),
        "Conflict"
    );
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_lost_a_race_for_the_quota_is_tried_again_at_once_and_not_for_ever() {
    let lost = || {
        let mut body = failure(
            409,
            "Conflict",
            "Operation cannot be fulfilled on resourcequotas \"q\": modified",
        );
        body["details"] = json!({"name": "q", "kind": "resourcequotas"});
        body
    };
    for (races, becomes) in [(1, Ok(Created::New)), (5, Ok(Created::New)), (6, Err("Conflict"))] {
        let (projects, mut api) = projects();
        let web: Project = object(project("web", 1));
        let (created, ()) = tokio::join!(create_if_absent(&projects, &web), async {
            for _ in 0..races {
                api.asked().await.answer(409, &lost());
            }
            if becomes.is_ok() {
                api.asked().await.answer(201, &project("web", 1));
            }
        });
        assert_eq!(created.map_err(|error| error.category()), becomes, "{races}");
    }
}

#[tokio::test]
async fn what_a_controller_waits_for_is_told_apart() {
    let terminating = json!({
        "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no new content",
        "details": {"causes": [{"reason": "NamespaceTerminating", "message": "is being terminated"}]},
    });
    for (body, category) in [
        (
            failure(
                403,
                "Forbidden",
                "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1",
            ),
            "QuotaExceeded",
        ),
        (failure(403, "Forbidden", "User cannot create resource"), "Forbidden"),
        (terminating, "NamespaceTerminating"),
        (failure(404, "NotFound", "namespaces \"n\" not found"), "NotFound"),
        (failure(422, "Invalid", "spec is wrong"), "Invalid"),
        (failure(500, "InternalError", "broken"), "ApiServerError"),
    ] {
        let code = u16::try_from(body["code"].as_u64().unwrap()).unwrap();
        assert_eq!(
            create_answered(code, body.clone()).await.unwrap_err().category(),
            category,
            "{body}"
        );
    }
}

#[tokio::test]
async fn only_this_very_object_is_deleted() {
    for (code, body, becomes) in [
        (200, project("web", 9), Write::Written),
        (404, failure(404, "NotFound", "gone"), Write::Gone),
        (
            409,
            failure(409, "Conflict", "the UID in the precondition does not match"),
            Write::Gone,
        ),
    ] {
        let (projects, mut api) = projects();
        let web: Project = object(project("web", 1));
        let (deleted, ()) = tokio::join!(delete_if_present(&projects, &web), async {
            let asked = api.expect(&format!("DELETE {PROJECT}")).await;
            assert_eq!(asked.body["preconditions"]["uid"], "uid-web");
            assert_eq!(asked.body["propagationPolicy"], "Background");
            asked.answer(code, &body);
        });
        assert_eq!(deleted.unwrap(), becomes);
    }
}

fn pod(deadline: Option<i64>) -> Pod {
    object(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "3"},
        "spec": {"containers": [], "activeDeadlineSeconds": deadline},
    }))
}

#[tokio::test]
async fn a_deadline_is_lowered_on_the_pod_that_was_read() {
    for (code, reason, becomes) in [
        (200, "", Write::Written),
        (404, "NotFound", Write::Gone),
        (409, "Conflict", Write::Outdated),
    ] {
        let (client, mut api) = server();
        let (pods, running) = (Api::<Pod>::namespaced(client, "n"), pod(Some(600)));
        let (patched, ()) = tokio::join!(patch_deadline(&pods, &running, 1), async {
            let asked = api.expect("PATCH /api/v1/namespaces/n/pods/p").await;
            assert_eq!(
                asked.body,
                json!({
                    "metadata": {"uid": "u", "resourceVersion": "3"}, "spec": {"activeDeadlineSeconds": 1},
                })
            );
            if code == 200 {
                asked.echo();
            } else {
                asked.fail(code, reason, "so");
            }
        });
        assert_eq!(patched.unwrap(), becomes);
    }
}

#[tokio::test]
async fn a_deadline_that_is_as_low_already_is_not_sent() {
    let (client, _api) = server();
    let pods = Api::<Pod>::namespaced(client, "n");
    assert_eq!(patch_deadline(&pods, &pod(Some(1)), 1).await.unwrap(), Write::Unchanged);
}
