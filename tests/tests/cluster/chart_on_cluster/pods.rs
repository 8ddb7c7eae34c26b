//! What runs in a tenant's namespace, and that nobody gets into it.

use imagefactory_tests::access::{create, refusal};
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::fenced::Fenced;
use super::refused;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn pods_in_a_tenants_namespace_have_their_own_users_no_token_and_no_other_maker() {
    let fenced = Fenced::new("wall-pods").await;
    let pod = fenced.pod(&json!({}));
    assert_eq!(fenced.try_as_operator(&pod).await, Ok(()));
    refused(fenced.try_as_administrator(&pod).await, "only Image Factory makes pods");
    for (changes, words) in [
        (json!({"hostUsers": null}), "spec.hostUsers must be false"),
        (json!({"hostUsers": true}), "spec.hostUsers must be false"),
        (
            json!({"automountServiceAccountToken": null}),
            "spec.automountServiceAccountToken must be false",
        ),
        (
            json!({"automountServiceAccountToken": true}),
            "spec.automountServiceAccountToken must be false",
        ),
        (
            json!({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]}),
            "no service account token",
        ),
    ] {
        refused(fenced.try_as_operator(&fenced.pod(&changes)).await, words);
    }
    let template =
        json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.com/none:1"}]}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "walled"}, "spec": {"template": template}});
    assert_eq!(fenced.try_as_operator(&job).await, Ok(()));
    refused(
        fenced.try_as_administrator(&job).await,
        "only Image Factory makes pods and jobs",
    );
    fenced.gone().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_job_controller_makes_pods_of_the_operators_jobs_and_is_held_to_the_same_rules() {
    let fenced = Fenced::new("wall-jobs").await;
    let job = |name: &str, host_users: Value| {
        let mut spec = fenced.pod(&json!({"restartPolicy": "Never"}))["spec"].clone();
        spec["hostUsers"] = host_users;
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": spec}}})
    };
    create(&fenced.operator, Some(&fenced.name), &job("good", json!(false)))
        .await
        .unwrap();
    create(&fenced.operator, Some(&fenced.name), &job("bad", json!(true)))
        .await
        .unwrap();
    let pods = Api::<Pod>::namespaced(fenced.cluster.client.clone(), &fenced.name);
    let count = async |job: &str| {
        let label = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        pods.list(&label).await.expect("listing pods").items.len()
    };
    until("the good job has its pod", 30, async || {
        (count("good").await == 1).then_some(())
    })
    .await;
    let answer = until("the bad job's pod is refused", 30, async || {
        let events = fenced.cluster.kubectl().run(&[
            "get",
            "events",
            "-n",
            &fenced.name,
            "--field-selector",
            "reason=FailedCreate",
        ]);
        events.stdout.contains("job/bad").then_some(events.stdout)
    })
    .await;
    assert!(answer.contains("spec.hostUsers must be false"), "{answer}");
    assert_eq!(count("bad").await, 0);
    fenced.gone().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nobody_enters_a_pod_of_a_tenant() {
    let fenced = Fenced::new("wall-exec").await;
    create(&fenced.operator, Some(&fenced.name), &fenced.pod(&json!({})))
        .await
        .unwrap();
    for way in [
        "exec?command=id&stdout=true&container=main",
        "attach?stdout=true&container=main",
        "portforward",
        "proxy/",
    ] {
        let path = format!("/api/v1/namespaces/{}/pods/walled/{way}", fenced.name);
        let request = http::Request::post(path).body(Vec::new()).unwrap();
        let answer = fenced
            .cluster
            .client
            .request_text(request)
            .await
            .map(|_| ())
            .map_err(|error| refusal(&error));
        refused(answer, "nobody enters a pod");
    }
    let api = Api::<Pod>::namespaced(fenced.cluster.client.clone(), &fenced.name);
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "example.com/none:1"}]}});
    let answer = api
        .patch_ephemeral_containers("walled", &PatchParams::default(), &Patch::Strategic(debugger))
        .await;
    refused(
        answer.map(|_| ()).map_err(|error| refusal(&error)),
        "ephemeral containers are refused",
    );
    let deadline = json!({"spec": {"activeDeadlineSeconds": 5}});
    patch_as_operator(&fenced, "walled", &deadline)
        .await
        .expect("the operator ends a pod by its deadline");
    fenced.gone().await;
}

async fn patch_as_operator(fenced: &Fenced, pod: &str, patch: &Value) -> kube::Result<Pod> {
    Api::<Pod>::namespaced(fenced.operator.clone(), &fenced.name)
        .patch(pod, &PatchParams::default(), &Patch::Merge(patch))
        .await
}
