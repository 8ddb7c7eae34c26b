//! The job made for a scan, as text: a change of behaviour is a change of these files.

use super::fixtures::World;
use crate::build::objects::image_scan_job;

fn job(image: &str, registries: &[&str]) -> k8s_openapi::api::batch::v1::Job {
    let mut world = World::new();
    world.scan.spec.image = image.into();
    let tenant = world.of.tenant.as_mut().unwrap();
    tenant.spec.registries = registries.iter().map(|prefix| (*prefix).into()).collect();
    image_scan_job(&world.validated().unwrap(), &world.of.settings)
}

#[test]
fn the_job_of_a_scan() {
    insta::assert_yaml_snapshot!(job("registry.example.com/output/acme/web:1", &[]));
}

#[test]
fn an_image_is_read_with_the_credential_of_its_place_and_nothing_else() {
    let digest = format!("@sha256:{}", "d".repeat(64));
    for (image, secret, prefix, optional) in [
        (
            "registry.example.com/staging/acme/builds/web/u",
            "staging",
            "registry.example.com/staging/acme",
            false,
        ),
        (
            "registry.example.com/output/acme/web",
            "output",
            "registry.example.com/output/acme",
            false,
        ),
        ("quay.io/acme/web", "output", "quay.io/acme", true),
    ] {
        let text = serde_json::to_string(&job(&format!("{image}:1{digest}"), &["quay.io/acme/"])).unwrap();
        assert!(text.contains(&format!("\"secretName\":\"{secret}\"")), "{text}");
        let other = if secret == "staging" { "output" } else { "staging" };
        assert!(!text.contains(&format!("\"secretName\":\"{other}\"")), "{image}");
        assert!(
            text.contains(&format!("credentialPrefix\\\":\\\"{prefix}\\\"")),
            "{text}"
        );
        // Whose registry is not ours.
        assert_eq!(text.contains("mayLackReferrers"), optional, "{image}");
        assert_eq!(text.contains("keptApart\\\":\\\"acme"), optional, "{image}");
        assert!(
            !text.contains("\\\"tag\\\""),
            "the digest counts, and the tag is not asked for"
        );
    }
}
