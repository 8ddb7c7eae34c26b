//! A Tenant's life: a namespace that is never adopted and goes with it, settings made once, quota, capabilities, counts.

use imagefactory_crds::{Tenant, TenantSettings, conditions};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::wait::{stays, until};
use imagefactory_tests::{Cluster, TestTenant, phase_of, reason_of};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_namespace_that_is_there_already_is_refused_and_never_adopted() {
    let cluster = Cluster::connect().await;
    let name = unique("foreign");
    let object = json!({"metadata": {"name": format!("tenant-{name}"), "labels": {"whose": "somebody-elses"}}});
    let namespace = ClusterObject::create::<Namespace>(&cluster, "namespace", object).await;
    let tenants = Api::<Tenant>::all(cluster.client.clone());
    let object = json!({"metadata": {"name": name}, "spec": {"owners": [{"kind": "User", "name": "somebody"}]}});
    let tenant = ClusterObject::create::<Tenant>(&cluster, "tenant", object).await;
    let ready = until("the Tenant says why", 30, async || {
        let status = tenants.get(&tenant.name).await.unwrap().status?;
        conditions::find(&status.conditions, "Ready")
            .filter(|ready| ready.status == "False")
            .cloned()
    })
    .await;
    assert_eq!(ready.reason, "NamespaceNotOurs");
    assert!(ready.message.contains(&namespace.name), "{}", ready.message);
    stays("the namespace stays as it was", 5, async || {
        let found = Api::<Namespace>::all(cluster.client.clone())
            .get(&namespace.name)
            .await
            .unwrap();
        let bindings = Api::<RoleBinding>::namespaced(cluster.client.clone(), &namespace.name);
        let labels = found.metadata.labels.unwrap_or_default();
        !labels.contains_key("imagefactory.dev/tenant")
            && bindings.list(&ListParams::default()).await.unwrap().items.is_empty()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn settings_are_made_once_and_never_written_again() {
    let tenant = TestTenant::create("settings").await;
    let settings = tenant.api::<TenantSettings>();
    let kubectl = tenant.cluster.kubectl();
    let ours = json!({"displayName": "Ours", "timeZone": "Europe/Zurich"});
    let _ = tenant.patch_settings(&ours).expect_ok();
    let generation = settings.get("settings").await.unwrap().metadata.generation;
    tenant.patch(json!({"spec": {"suspended": true}})).await;
    stays("the settings keep what their owners wrote", 15, async || {
        let found = settings.get("settings").await.unwrap();
        found.metadata.generation == generation && found.spec.display_name.is_some_and(|name| name.as_str() == "Ours")
    })
    .await;
    let _ = kubectl
        .run(&["delete", "tset", "settings", "-n", &tenant.namespace])
        .expect_ok();
    until("the settings are made anew", 45, async || {
        settings.get_opt("settings").await.unwrap()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenant_takes_its_namespace_with_it_and_may_come_again() {
    let tenant = TestTenant::create("again").await;
    let before = tenant
        .read_namespace()
        .await
        .and_then(|namespace| namespace.metadata.uid);
    let _ = tenant
        .cluster
        .kubectl()
        .run(&["delete", "tenant", &tenant.name])
        .expect_ok();
    let object = json!({"metadata": {"name": tenant.name}, "spec": {"owners": [{"kind": "User", "name": "somebody"}]}});
    let tenants = Api::<Tenant>::all(tenant.client());
    tenants
        .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap();
    until("the Tenant is Ready again", 120, async || {
        let status = tenants.get(&tenant.name).await.unwrap().status?;
        conditions::is_true(&status.conditions, "Ready").then_some(())
    })
    .await;
    let after = tenant
        .read_namespace()
        .await
        .and_then(|namespace| namespace.metadata.uid);
    assert!(
        before.is_some() && after.is_some() && before != after,
        "{before:?} {after:?}"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_waits_for_room_in_the_quota() {
    let tenant = TestTenant::create_with("quota", json!({"quota": {"pods": 0}})).await;
    tenant.start("waits", json!({"source": quick()})).await;
    let build = until("the build waits", 30, async || {
        Some(tenant.build("waits").await).filter(|build| reason_of(build) == "QuotaLimit")
    })
    .await;
    assert_eq!(phase_of(&build), "Queued");
    tenant.patch(json!({"spec": {"quota": {"pods": 3}}})).await;
    tenant.has_succeeded("waits").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn capabilities_change_only_with_a_new_reason() {
    let tenant = TestTenant::create("reason").await;
    let patch = |change: &str| {
        tenant
            .cluster
            .kubectl()
            .run(&["patch", "tenant", &tenant.name, "--type=merge", "-p", change])
    };
    let answer = patch(r#"{"spec":{"capabilities":{"build":false}}}"#);
    assert!(
        !answer.ok && answer.stderr.contains("must carry a new changeReason"),
        "{}",
        answer.stderr
    );
    let answer = patch(r#"{"spec":{"capabilities":null}}"#);
    assert!(
        !answer.ok && answer.stderr.contains("can't be removed"),
        "{}",
        answer.stderr
    );
    let answer = patch(r#"{"spec":{"capabilities":{"build":false,"changeReason":"another"}}}"#);
    assert!(answer.ok, "{}", answer.stderr);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_project_counts_its_builds_and_names_the_last() {
    let tenant = TestTenant::create("counts").await;
    tenant.project("counted", json!({})).await;
    let spec = |source: serde_json::Value| json!({"projectRef": {"name": "counted"}, "source": source});
    tenant.start("good", spec(quick())).await;
    tenant.has_succeeded("good").await;
    tenant
        .start("bad", spec(imagefactory_tests::dockerfile::inline("RUN no base\n")))
        .await;
    tenant.settled("bad").await;
    let projects = tenant.api::<imagefactory_crds::Project>();
    let status = until("the Project has counted", 45, async || {
        let status = projects.get("counted").await.unwrap().status?;
        status
            .builds
            .filter(|builds| builds.total == 2 && builds.running + builds.queued == 0)?;
        Some(status)
    })
    .await;
    let builds = status.builds.unwrap();
    assert_eq!((builds.succeeded, builds.failed), (1, 1));
    let last = status.last_build.unwrap();
    assert_eq!((last.name.as_str(), last.phase.as_str()), ("bad", "Failed"));
    assert!(conditions::is_true(&status.conditions, "Ready"));
}
