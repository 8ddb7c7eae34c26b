//! What a tenant's namespace holds, and that it is put right when somebody changes it.

use imagefactory_crds::TenantSettings;
use imagefactory_tests::TestTenant;
use imagefactory_tests::tenant::owner_of;
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

/// How long drift may last here, in seconds: the local cluster looks every ten.
const SOON: u64 = 45;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenants_namespace_carries_our_label_enforces_baseline_and_names_its_tenant() {
    let tenant = TestTenant::create("labels").await;
    let namespace = tenant.read_namespace().await.expect("the namespace is there");
    let labels = namespace.metadata.labels.unwrap_or_default();
    for (label, value) in [
        ("imagefactory.dev/tenant", tenant.name.as_str()),
        ("pod-security.kubernetes.io/enforce", "baseline"),
        ("pod-security.kubernetes.io/warn", "restricted"),
    ] {
        assert_eq!(labels.get(label).map(String::as_str), Some(value), "{label}");
    }
    // No owner: garbage collection would take the namespace away under builds that run.
    assert!(namespace.metadata.owner_references.is_none());
    let annotations = namespace.metadata.annotations.unwrap_or_default();
    assert_eq!(
        annotations.get("imagefactory.dev/tenant-uid"),
        tenant.read().await.metadata.uid.as_ref()
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenants_namespace_is_bounded_in_resources_and_in_whom_its_pods_reach() {
    let tenant = TestTenant::create_with("bounds", json!({"quota": {"cpu": "3", "pods": 7}})).await;
    let quota = tenant.api::<ResourceQuota>().get("imagefactory-quota").await.unwrap();
    let hard = quota.spec.and_then(|spec| spec.hard).unwrap();
    assert_eq!(hard["requests.cpu"], Quantity("3".to_owned()));
    assert_eq!(hard["pods"], Quantity("7".to_owned()));
    assert!(hard.contains_key("requests.memory"), "the chart's default: {hard:?}");
    let range = tenant.api::<LimitRange>().get("imagefactory-limits").await.unwrap();
    let most = range.spec.unwrap().limits.remove(0).max.unwrap();
    assert_eq!(
        most["memory"],
        Quantity("64Gi".to_owned()),
        "tenants.maxLimits: {most:?}"
    );
    let policies = tenant.api::<NetworkPolicy>();
    let ingress = policies.get("imagefactory-deny-ingress").await.unwrap().spec.unwrap();
    assert!(ingress.ingress.unwrap_or_default().is_empty());
    let egress = policies.get("imagefactory-egress").await.unwrap().spec;
    let egress = serde_json::to_string(&egress).unwrap();
    for closed in ["169.254.0.0/16", "10.0.0.0/8", "fc00::/7"] {
        assert!(egress.contains(closed), "{egress}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenants_namespace_has_what_its_builds_and_its_people_need() {
    let tenant = TestTenant::create("needs").await;
    let account = tenant.api::<ServiceAccount>().get("imagefactory-build").await.unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    let authority = std::fs::read_to_string(tenant.cluster.environment.get("REGISTRY_CA")).unwrap();
    let authorities = tenant.api::<ConfigMap>().get("imagefactory-ca").await.unwrap();
    assert!(authorities.data.unwrap()["ca.crt"].contains(authority.trim()));
    let owners = tenant.api::<RoleBinding>().get("imagefactory-owner").await.unwrap();
    let names: Vec<_> = owners
        .subjects
        .unwrap()
        .into_iter()
        .map(|subject| subject.name)
        .collect();
    assert_eq!(names, [owner_of(&tenant.name)]);
    tenant.api::<TenantSettings>().get("settings").await.unwrap();
    let kubectl = tenant.cluster.kubectl();
    let read = [
        "get",
        "secret",
        "imagefactory-staging",
        "-n",
        &tenant.namespace,
        "-o",
        "jsonpath={.type}",
    ];
    let placed = until("the staging credential is placed", 30, async || {
        Some(kubectl.run(&read)).filter(|answer| answer.ok)
    })
    .await;
    assert_eq!(placed.stdout, "kubernetes.io/dockerconfigjson");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_somebody_takes_away_comes_again() {
    let tenant = TestTenant::create("taken").await;
    let kubectl = tenant.cluster.kubectl();
    let taken = [
        ("rolebinding", "imagefactory-owner"),
        ("rolebinding", "imagefactory-operator"),
        ("networkpolicy", "imagefactory-egress"),
        ("networkpolicy", "imagefactory-deny-ingress"),
        ("resourcequota", "imagefactory-quota"),
        ("limitrange", "imagefactory-limits"),
    ];
    for (kind, name) in taken {
        let _ = kubectl
            .run(&["delete", kind, name, "-n", &tenant.namespace])
            .expect_ok();
    }
    for (kind, name) in taken {
        until(&format!("{kind} {name} is there again"), SOON, async || {
            kubectl
                .run(&["get", kind, name, "-n", &tenant.namespace])
                .ok
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_somebody_changes_is_put_right() {
    let tenant = TestTenant::create("changed").await;
    let kubectl = tenant.cluster.kubectl();
    let namespace = tenant.namespace.as_str();
    let privileged = "pod-security.kubernetes.io/enforce=privileged";
    let patch = |kind: &str, name: &str, change: &str| {
        let _ = kubectl
            .run(&["patch", kind, name, "-n", namespace, "--type=merge", "-p", change])
            .expect_ok();
    };
    let _ = kubectl
        .run(&["label", "--overwrite", "namespace", namespace, privileged])
        .expect_ok();
    patch(
        "networkpolicy",
        "imagefactory-deny-ingress",
        r#"{"spec":{"ingress":[{}]}}"#,
    );
    patch(
        "resourcequota",
        "imagefactory-quota",
        r#"{"spec":{"hard":{"pods":"999"}}}"#,
    );

    until("the namespace enforces baseline again", SOON, async || {
        let labels = tenant.read_namespace().await?.metadata.labels?;
        (labels.get("pod-security.kubernetes.io/enforce")? == "baseline").then_some(())
    })
    .await;
    until("ingress is closed again", SOON, async || {
        let policy = tenant
            .api::<NetworkPolicy>()
            .get("imagefactory-deny-ingress")
            .await
            .unwrap();
        policy.spec?.ingress.unwrap_or_default().is_empty().then_some(())
    })
    .await;
    until("the quota is the old one", SOON, async || {
        let hard = tenant
            .api::<ResourceQuota>()
            .get("imagefactory-quota")
            .await
            .unwrap()
            .spec?
            .hard?;
        (hard["pods"] != Quantity("999".to_owned())).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn whoever_puts_himself_into_a_binding_is_taken_out_again() {
    let tenant = TestTenant::create("bindings").await;
    let kubectl = tenant.cluster.kubectl();
    let patch = |name: &str, change: &str| {
        let arguments = [
            "patch",
            "rolebinding",
            name,
            "-n",
            &tenant.namespace,
            "--type=merge",
            "-p",
            change,
        ];
        let _ = kubectl.run(&arguments).expect_ok();
    };
    patch("imagefactory-credentials", r#"{"subjects":[]}"#);
    let intruder = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}]);
    patch("imagefactory-owner", &json!({"subjects": intruder}).to_string());

    for (binding, expected) in [
        (
            "imagefactory-credentials",
            tenant
                .cluster
                .installation
                .text("/credentialsServiceAccount")
                .to_owned(),
        ),
        ("imagefactory-owner", owner_of(&tenant.name)),
    ] {
        until(&format!("{binding} binds who it should"), SOON, async || {
            let subjects = tenant.api::<RoleBinding>().get(binding).await.unwrap().subjects?;
            (subjects.len() == 1 && subjects[0].name == expected).then_some(())
        })
        .await;
    }
}
