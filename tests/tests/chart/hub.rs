//! What the chart says of itself: the list of images to mirror, and the annotations that Artifact Hub shows. What can be
//! derived is generated, and drift fails.

use std::collections::BTreeSet;

use crate::support::render;
use imagefactory_tests::chart::images::{images, with_everything_on};
use imagefactory_tests::chart::object::{kind, list, name, text};
use imagefactory_tests::chart::{Chart, folder, read, repository};
use serde::Deserialize;
use serde_json::Value;

const BEGIN: &str = "  # generated: written by UPDATE_CHART=1 cargo test -p imagefactory-tests --test chart hub::\n";
const END: &str = "  # end of generated\n";
/// One example for each kind, from `examples/`.
const EXAMPLES: [(&str, &str); 8] = [
    ("00-policies.yaml", "ImagePolicy"),
    ("10-tenant.yaml", "Tenant"),
    ("20-settings.yaml", "TenantSettings"),
    ("30-project.yaml", "Project"),
    ("40-inline.yaml", "Build"),
    ("25-record.yaml", "SorRecord"),
    ("50-quarantine.yaml", "QuarantineRequest"),
    ("scan/scan.yaml", "ImageScan"),
];

fn needed() -> BTreeSet<String> {
    images(&render(&with_everything_on().unwrap()))
}

fn is_updating() -> bool {
    std::env::var_os("UPDATE_CHART").is_some()
}

#[test]
fn the_list_for_mirroring_has_every_image_that_any_value_can_bring_in() {
    let file = folder().join("images.txt");
    let wanted: String = needed().iter().map(|image| format!("{image}\n")).collect();
    if is_updating() {
        std::fs::write(&file, &wanted).unwrap();
    }
    assert_eq!(
        read(&file).unwrap(),
        wanted,
        "bring it up to date with UPDATE_CHART=1 cargo test -p imagefactory-tests --test chart hub::"
    );
}

#[test]
fn every_image_of_the_values_is_in_the_list_and_nothing_else() {
    let values: Value = serde_yaml::from_str(&read(&folder().join("values.yaml")).unwrap()).unwrap();
    let app: Value = serde_yaml::from_str(&read(&folder().join("Chart.yaml")).unwrap()).unwrap();
    let described = values["images"].as_object().unwrap().values();
    let of_values: BTreeSet<String> = described
        .filter(|image| image.get("repository").is_some())
        .map(|image| {
            let tag = Some(text(image, "/tag")).filter(|tag| !tag.is_empty());
            let (registry, repository) = (text(image, "/registry"), text(image, "/repository"));
            format!("{registry}/{repository}:{}", tag.unwrap_or(text(&app, "/appVersion")))
        })
        .collect();
    assert_eq!(
        needed(),
        of_values,
        "an image that no value names can't be moved, one that no pod has is no image"
    );
}

#[test]
fn the_list_holds_for_a_release_with_defaults_too() {
    assert!(images(&render(&Chart::minimal())).is_subset(&needed()));
    for image in needed() {
        let (name, tag) = image.rsplit_once(':').unwrap();
        assert!(
            name.split('/').next().unwrap().contains('.') && name.matches('/').count() >= 2,
            "{image} names its registry"
        );
        assert!(
            tag.starts_with(|first: char| first.is_ascii_digit() || first == 'v'),
            "{image} has a version"
        );
    }
}

/// The block of annotations that follows from other files.
fn generated() -> String {
    let mut text = String::from("  artifacthub.io/images: |\n");
    for image in needed() {
        let name = image.rsplit('/').next().unwrap().split(':').next().unwrap();
        text.push_str(&format!("    - name: {name}\n      image: {image}\n"));
    }
    let examples: Vec<Value> = EXAMPLES.iter().map(|(file, kind)| example(file, kind)).collect();
    text.push_str("  artifacthub.io/crdsExamples: |\n");
    for line in serde_yaml::to_string(&examples).unwrap().lines() {
        text.push_str(format!("    {line}").trim_end());
        text.push('\n');
    }
    text
}

fn example(file: &str, wanted: &str) -> Value {
    let content = read(&repository().join("examples").join(file)).unwrap();
    serde_yaml::Deserializer::from_str(&content)
        .map(|document| Value::deserialize(document).unwrap())
        .find(|document| kind(document) == wanted)
        .unwrap_or_else(|| panic!("{file} has no {wanted}"))
}

#[test]
fn the_annotations_name_the_images_and_show_an_example_of_every_kind() {
    let file = folder().join("Chart.yaml");
    let chart = read(&file).unwrap();
    let (before, rest) = chart.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    let wanted = generated();
    if is_updating() {
        std::fs::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(
            there, wanted,
            "bring it up to date with UPDATE_CHART=1 cargo test -p imagefactory-tests --test chart hub::"
        );
    }
}

fn annotation(named: &str) -> Value {
    let chart: Value = serde_yaml::from_str(&read(&folder().join("Chart.yaml")).unwrap()).unwrap();
    let text = text(&chart, &format!("/annotations/artifacthub.io~1{named}")).to_owned();
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{named}: {error}"))
}

#[test]
fn every_definition_is_described_and_has_an_example() {
    let objects = render(&Chart::minimal());
    let installed: BTreeSet<(String, String, String)> = objects
        .iter()
        .filter(|object| kind(object) == "CustomResourceDefinition")
        .map(|object| {
            let version = text(object, "/spec/versions/0/name");
            (
                name(object).to_owned(),
                text(object, "/spec/names/kind").to_owned(),
                version.to_owned(),
            )
        })
        .collect();
    let described = annotation("crds");
    let described: BTreeSet<(String, String, String)> = list(&described, "")
        .iter()
        .map(|entry| {
            assert!(
                text(entry, "/description").ends_with('.') && !text(entry, "/displayName").is_empty(),
                "{entry}"
            );
            ["/name", "/kind", "/version"].map(|pointer| text(entry, pointer).to_owned())
        })
        .map(|[name, kind, version]| (name, kind, version))
        .collect();
    assert_eq!(described, installed);
    let examples = annotation("crdsExamples");
    let shown: BTreeSet<&str> = list(&examples, "").iter().map(kind).collect();
    assert_eq!(shown, installed.iter().map(|(_, kind, _)| kind.as_str()).collect());
}

#[test]
fn the_chart_names_its_licence_its_links_and_the_oldest_kubernetes() {
    let chart: Value = serde_yaml::from_str(&read(&folder().join("Chart.yaml")).unwrap()).unwrap();
    let annotations = &chart["annotations"];
    assert_eq!(annotations["artifacthub.io/license"], "Apache-2.0");
    assert_eq!(annotations["artifacthub.io/operator"], "true");
    assert!(text(&chart, "/kubeVersion").starts_with(">=1.33.0"));
    for link in list(&annotation("links"), "") {
        assert!(
            text(link, "/url").starts_with("https://") && !text(link, "/name").is_empty(),
            "{link}"
        );
    }
}
