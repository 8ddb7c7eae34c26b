//! A Tenant is deleted in order: not while builds run, nothing new meanwhile, and its namespace before it.

use imagefactory_crds::{Build, Tenant, TenantSettings, conditions};
use imagefactory_tests::dockerfile::{quick, slow};
use imagefactory_tests::wait::{stays, until};
use imagefactory_tests::{TestTenant, is_settled, phase_of, reason_of};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;

fn delete(tenant: &TestTenant, cascade: &str) -> imagefactory_tests::kubectl::Answer {
    let cascade = format!("--cascade={cascade}");
    let kubectl = tenant.cluster.kubectl();
    kubectl.run(&["delete", "tenant", &tenant.name, "--wait=false", &cascade])
}

async fn says(tenant: &TestTenant, reason: &str) -> String {
    until(&format!("the Tenant says {reason}"), 60, async || {
        let status = tenant.read().await.status?;
        let ready = conditions::find(&status.conditions, "Ready")?;
        let is_it =
            ready.status == "False" && ready.reason == reason && conditions::is_true(&status.conditions, "Reconciling");
        is_it.then(|| ready.message.clone())
    })
    .await
}

async fn is_gone(tenant: &TestTenant) {
    let tenants = Api::<Tenant>::all(tenant.client());
    until("the Tenant is gone", 180, async || {
        let found = tenants.get_opt(&tenant.name).await.unwrap();
        if found.is_none() {
            assert!(
                tenant.read_namespace().await.is_none(),
                "the Tenant went before its namespace"
            );
        }
        found.is_none().then_some(())
    })
    .await;
}

async fn runs(tenant: &TestTenant, name: &str, seconds: u32) {
    tenant.start(name, json!({"source": slow(seconds)})).await;
    tenant.reaches(name, "Building").await;
}

async fn until_usage_says(tenant: &TestTenant, running: u32) {
    until(&format!("the Tenant counts {running} running"), 45, async || {
        let usage = tenant.read().await.status?.usage?;
        (usage.builds.running == running).then_some(())
    })
    .await;
}

/// Deletes the Tenant although its status says that builds run: as if that had not been counted yet.
async fn delete_before_it_is_counted(tenant: &TestTenant, policy: PropagationPolicy) {
    let tenants = Api::<Tenant>::all(tenant.client());
    let how = DeleteParams {
        propagation_policy: Some(policy),
        ..DeleteParams::default()
    };
    tenants
        .delete(&tenant.name, &how)
        .await
        .expect("nothing is counted yet");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn deleting_a_tenant_is_refused_while_its_status_says_that_builds_run() {
    let tenant = TestTenant::create("refused").await;
    runs(&tenant, "running", 600).await;
    until_usage_says(&tenant, 1).await;
    for cascade in ["background", "foreground", "orphan"] {
        let answer = delete(&tenant, cascade);
        assert!(
            !answer.ok && answer.stderr.contains("builds run in this tenant"),
            "{cascade}: {}",
            answer.stderr
        );
        assert!(
            answer.stderr.contains("spec.cancelled"),
            "says what to do: {}",
            answer.stderr
        );
    }
    assert!(tenant.read().await.metadata.deletion_timestamp.is_none());
    tenant.cancel("running").await;
    tenant.settled("running").await;
    until_usage_says(&tenant, 0).await;
    let answer = delete(&tenant, "background");
    assert!(answer.ok, "{}", answer.stderr);
    is_gone(&tenant).await;
}

/// In the foreground garbage collection would take what the Tenant owns at once.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_deletion_that_came_too_early_waits_for_builds_and_starts_nothing_new() {
    let tenant = TestTenant::create("early").await;
    // Within ten seconds of the count before.
    until_usage_says(&tenant, 0).await;
    tenant.start("running", json!({"source": slow(90)})).await;
    until("the build has its slot", 10, async || {
        tenant.build("running").await.status?.start_time
    })
    .await;
    if tenant
        .read()
        .await
        .status
        .and_then(|status| status.usage)
        .is_some_and(|usage| usage.builds.running > 0)
    {
        // Counted already: let the Tenant go on as the operator's finalizer would have it.
        let forget = json!({"status": {"usage": null}});
        let operator = tenant.cluster.installation.operator_user();
        let client = tenant.cluster.client_as(&operator, &["system:authenticated"]).await;
        let tenants = Api::<Tenant>::all(client);
        tenants
            .patch_status(&tenant.name, &PatchParams::default(), &Patch::Merge(&forget))
            .await
            .unwrap();
    }
    delete_before_it_is_counted(&tenant, PropagationPolicy::Foreground).await;
    let message = says(&tenant, "BuildsRunning").await;
    assert!(
        message.contains("1 build runs") && message.contains("cancelled"),
        "{message}"
    );
    tenant.start("late", json!({"source": quick()})).await;
    until("the late build says why it waits", 30, async || {
        Some(tenant.build("late").await).filter(|build| reason_of(build) == "TenantTerminating")
    })
    .await;
    stays("the namespace stays and nothing new runs", 10, async || {
        let namespace = tenant.read_namespace().await.expect("the namespace stays");
        namespace.metadata.deletion_timestamp.is_none() && tenant.pods().await.len() == 1
    })
    .await;
    let last = until("the build ends by itself", 240, async || {
        let found = tenant.api::<Build>().get_opt("running").await.unwrap();
        found.as_ref().is_none_or(is_settled).then_some(found)
    })
    .await;
    // None where its namespace was quicker than this look.
    if let Some(build) = last {
        assert_eq!(phase_of(&build), "Succeeded", "{}", reason_of(&build));
    }
    is_gone(&tenant).await;
    let work = Api::<Job>::namespaced(tenant.client(), tenant.cluster.installation.work_namespace());
    let of_tenant = format!("imagefactory.dev/tenant={},imagefactory.dev/build-uid", tenant.name);
    assert!(
        work.list(&ListParams::default().labels(&of_tenant))
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_namespace_that_was_deleted_by_hand_holds_up_nobody() {
    let tenant = TestTenant::create("by-hand").await;
    let namespaces = Api::<Namespace>::all(tenant.client());
    let before = tenant.read_namespace().await.unwrap().metadata.uid;
    namespaces
        .delete(&tenant.namespace, &DeleteParams::default())
        .await
        .unwrap();
    until("the Tenant has a new namespace", 120, async || {
        let uid = tenant.read_namespace().await?.metadata.uid;
        (uid != before).then_some(())
    })
    .await;
    tenant.until_ready().await;
    namespaces
        .delete(&tenant.namespace, &DeleteParams::default())
        .await
        .unwrap();
    assert!(delete(&tenant, "background").ok);
    is_gone(&tenant).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenant_and_its_settings_tell_the_same_numbers() {
    let tenant = TestTenant::create_with("usage", json!({"quota": {"concurrentBuilds": 1}})).await;
    tenant.succeeds("good", json!({"source": quick()})).await;
    runs(&tenant, "running", 600).await;
    tenant.start("waiting", json!({"source": quick()})).await;
    let usage = until("the Tenant has counted", 45, async || {
        let usage = tenant.read().await.status?.usage?;
        let builds = usage.builds;
        ((builds.total, builds.running, builds.queued, builds.succeeded) == (3, 1, 1, 1)).then_some(usage)
    })
    .await;
    assert_eq!((usage.slots.taken, usage.slots.limit), (1, Some(1)));
    assert_eq!((usage.members, usage.projects), (1, 1));
    let settings = tenant.api::<TenantSettings>();
    until("the settings tell the same", 30, async || {
        let told = settings.get("settings").await.unwrap().status?.usage?;
        (told.builds == usage.builds && told.slots == usage.slots).then_some(())
    })
    .await;
    let shown = tenant
        .cluster
        .kubectl()
        .run(&["get", "tenant", &tenant.name])
        .expect_ok();
    assert!(shown.contains("RUNNING") && shown.contains("QUEUED"), "{shown}");
}
