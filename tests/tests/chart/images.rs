//! Every image can come from elsewhere, and the list of them for mirroring is complete.

use crate::support::render;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::images::images;
use imagefactory_tests::chart::object::{containers, list, pod_specs, text};

#[test]
fn every_image_can_be_named_by_registry_repository_tag_and_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for image in ["operator", "worker", "webhook", "kaniko", "buildkit", "trivy"] {
        let chart = Chart::minimal()
            .set(&format!("images.{image}.registry=r.example.com:5000"))
            .set(&format!("images.{image}.repository=some/where"))
            .set(&format!("images.{image}.tag=v1"));
        assert!(
            images(&render(&chart)).contains("r.example.com:5000/some/where:v1"),
            "{image}"
        );
        let chart = chart.set(&format!("images.{image}.digest={digest}"));
        let found = images(&render(&chart));
        assert!(
            found.contains(&format!("r.example.com:5000/some/where@{digest}")),
            "{image}: {found:?}"
        );
        assert!(
            !found.contains("r.example.com:5000/some/where:v1"),
            "a digest wins over a tag"
        );
    }
}

#[test]
fn one_value_moves_all_images_to_another_registry() {
    let images = images(&render(
        &Chart::minimal()
            .set("global.imageRegistry=mirror.example.com:5000")
            .set("scan.javaDatabase.enabled=true"),
    ));
    assert_eq!(images.len(), 6, "{images:?}");
    assert!(
        images.iter().all(|image| image.starts_with("mirror.example.com:5000/")),
        "{images:?}"
    );
}

#[test]
fn pull_secrets_and_pull_policy_reach_every_pod() {
    let objects = render(&Chart::full());
    for (owner, pod) in pod_specs(&objects) {
        assert_eq!(list(pod, "/imagePullSecrets").len(), 2, "{owner}");
        assert!(
            containers(pod)
                .iter()
                .all(|container| text(container, "/imagePullPolicy") == "Always"),
            "{owner}"
        );
    }
}
