//! Credentials that a tenant brings itself: to pull its bases, to publish its images.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{output_of, status_of};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::{inline, quick};
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_private_base_is_pulled_with_the_pull_secret_that_the_build_names() {
    let tenant = TestTenant::create("pull").await;
    let environment = &tenant.cluster.environment;
    let (host, user) = (environment.get("REGISTRY"), environment.get("REGISTRY_USER"));
    tenant
        .registry_secret("pull", host, user, environment.get("REGISTRY_PASSWORD"))
        .await;
    tenant.registry_secret("wrong", host, user, "not-the-password").await;
    let base = tenant.succeeds("base", json!({"source": quick()})).await;
    let source = inline(&format!(
        "FROM {}\nRUN echo derived > /derived\n",
        output_of(&base).image
    ));
    let derived = |secret: &str| json!({"source": source, "pullSecrets": [{"name": secret}]});
    tenant.start("derived", derived("pull")).await;
    for (name, spec) in [("wrong", derived("wrong")), ("without", json!({"source": source}))] {
        let failure = tenant.fails(name, FailureClass::Pull, spec).await;
        let told = serde_json::to_string(&failure).unwrap();
        assert!(!told.contains("not-the-password"), "{told}");
    }
    let build = tenant.has_succeeded("derived").await;
    let bases = &status_of(&build).source.as_ref().expect("the source is known").bases;
    assert_eq!(bases.first().map(|found| &found.digest), Some(&output_of(&base).digest));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_is_published_with_the_tenants_own_credential_from_the_tenants_own_namespace() {
    let environment = imagefactory_tests::environment::Environment::load();
    let own = format!("{}/{}", environment.get("REGISTRY"), unique("own"));
    let tenant = TestTenant::create_with("own", json!({"registries": [own]})).await;
    let (host, user) = (environment.get("REGISTRY"), environment.get("REGISTRY_USER"));
    tenant
        .registry_secret("push", host, user, environment.get("REGISTRY_PASSWORD"))
        .await;
    tenant.registry_secret("wrong", host, user, "not-the-password").await;
    let spec = |tag: &str, secret: &str| {
        let output = json!({"image": format!("{own}/app:{tag}"), "pushSecretRef": {"name": secret}});
        json!({"source": quick(), "output": output})
    };
    tenant.start("good", spec("good", "push")).await;
    for (name, secret) in [("wrong", "wrong"), ("missing", "no-such-secret")] {
        let failure = tenant.fails(name, FailureClass::Publish, spec(name, secret)).await;
        assert_eq!(failure.container.as_deref(), Some("publish"), "{failure:?}");
        let found = tenant.cluster.registry().manifest(&format!("{own}/app"), name).await;
        assert!(found.is_none(), "{name} was published");
    }
    let build = tenant.has_succeeded("good").await;
    let found = tenant.cluster.registry().manifest(&format!("{own}/app"), "good").await;
    assert_eq!(
        found.map(|found| found.digest),
        Some(output_of(&build).digest.0.clone())
    );
    let publishers: Vec<_> = tenant
        .jobs_of(&build)
        .await
        .into_iter()
        .filter(|job| {
            job.metadata
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("publish-"))
        })
        .filter_map(|job| job.metadata.namespace)
        .collect();
    assert_eq!(publishers, std::slice::from_ref(&tenant.namespace));
}
