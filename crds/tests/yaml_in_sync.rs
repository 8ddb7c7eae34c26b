//! The definitions in the chart are those that the types give.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use imagefactory_crds::crd;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/image-factory/files/crds")
}

#[test]
fn the_charts_definitions_are_generated_from_the_types() {
    for (name, crd) in crd::all().unwrap() {
        let expected = format!("{}{}", crd::HEADER, serde_yaml::to_string(&crd).unwrap());
        let committed = fs::read_to_string(directory().join(&name)).unwrap_or_default();
        assert!(
            committed == expected,
            "{name} is not what the types give: run `make generate`"
        );
    }
}

#[test]
fn the_chart_has_no_other_definitions() {
    let expected: BTreeSet<String> = crd::all().unwrap().into_iter().map(|(name, _)| name).collect();
    let committed: BTreeSet<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(committed, expected);
}
