//! What the platform pulls its own images with lies in every tenant's namespace, and reaches no container that runs tenant
//! code: asked of the operator, which has to refuse it where nobody at the door did.
//!
//! Runs alone: it gives the operator other settings.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::status_of;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

const PLATFORMS: &str = "mirror-pull";

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_platform_pulls_its_own_images_with_is_handed_to_no_build() {
    let _alone = crate::ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let _restored = cluster.with_settings(|settings| settings["images"]["pullSecrets"] = json!([PLATFORMS]));
    let tenant = TestTenant::create("platforms").await;
    let environment = &cluster.environment;
    let (host, user) = (environment.get("REGISTRY"), environment.get("REGISTRY_USER"));
    tenant
        .registry_secret(PLATFORMS, host, user, environment.get("REGISTRY_PASSWORD"))
        .await;
    let git = json!({"git": {"url": "https://git.example.com/a", "secretRef": {"name": PLATFORMS}}});
    let step = json!([{"id": "a", "secretRef": {"name": PLATFORMS, "key": "config"}}]);
    let template = json!({"name": "t", "source": quick(), "pullSecrets": [{"name": PLATFORMS}]});
    tenant.project("with", json!({"templates": [template]})).await;
    for (name, field, spec) in [
        (
            "pulls",
            "spec.pullSecrets[0].name",
            json!({"source": quick(), "pullSecrets": [{"name": PLATFORMS}]}),
        ),
        (
            "mounts",
            "spec.secrets[0].secretRef.name",
            json!({"source": quick(), "method": "docker", "secrets": step}),
        ),
        ("fetches", "spec.source.git.secretRef.name", json!({"source": git})),
        (
            "publishes",
            "spec.output.pushSecretRef.name",
            json!({"source": quick(), "output": {"pushSecretRef": {"name": PLATFORMS}}}),
        ),
        (
            "by-template",
            "spec.pullSecrets[0].name",
            json!({"projectRef": {"name": "with"}, "templateRef": {"name": "t"}}),
        ),
    ] {
        let failure = tenant.fails(name, FailureClass::Source, spec).await;
        assert_eq!(failure.reason, "ReservedName", "{failure:?}");
        assert!(
            failure.message.starts_with(&format!("{field} names {PLATFORMS}")),
            "{failure:?}"
        );
        let pod = status_of(&tenant.build(name).await).pod_name.clone();
        assert_eq!(pod, None, "{name} has a pod");
    }
    tenant.succeeds("good", json!({"source": quick()})).await;
}
