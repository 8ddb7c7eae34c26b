//! Every file in `examples/` is what the schemas admit, and those that `make demo` applies can be applied in order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imagefactory_crds::names;
use serde::Deserialize;
use serde_json::Value;

/// An object and the file it stands in.
struct Example {
    file: PathBuf,
    object: Value,
}

impl Example {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer).and_then(Value::as_str)
    }

    fn kind(&self) -> &str {
        self.text("/kind").unwrap()
    }

    fn is_ours(&self) -> bool {
        self.text("/apiVersion") == Some(&names::api_version())
    }

    /// Kind, namespace and name.
    fn id(&self) -> (String, String, String) {
        let text = |pointer| self.text(pointer).unwrap_or_default().to_owned();
        (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
    }

    /// What has to be there before this is.
    fn needs(&self) -> BTreeSet<(String, String, String)> {
        let namespace = self.text("/metadata/namespace").unwrap_or_default();
        let tenant = names::tenant_of_namespace(namespace);
        let in_namespace = |kind: &str, name: &str| (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let of_cluster = |kind: &str, name: &str| (kind.to_owned(), String::new(), name.to_owned());
        [
            tenant.map(|name| of_cluster("Tenant", name)),
            self.text("/spec/projectRef/name")
                .map(|name| in_namespace("Project", name)),
            self.text("/spec/policyRef/name")
                .map(|name| of_cluster("ImagePolicy", name)),
            self.text("/spec/sorRecordId")
                .map(|id| of_cluster("SorRecord", &id.to_lowercase())),
            self.text("/spec/source/configMap/name")
                .map(|name| in_namespace("ConfigMap", name)),
            self.text("/spec/source/git/secretRef/name")
                .map(|name| in_namespace("Secret", name)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.into_iter().partition(|path| path.is_dir());
    files
        .into_iter()
        .chain(directories.iter().flat_map(|path| self::files(path)))
        .collect()
}

/// Every object in files with YAML, those of the top level first and in order.
fn examples() -> Vec<Example> {
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "yaml");
    let mut found = Vec::new();
    for file in files(&directory()).into_iter().filter(is_yaml) {
        let text = fs::read_to_string(&file).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            if !object.is_null() {
                found.push(Example {
                    file: file.clone(),
                    object,
                });
            }
        }
    }
    found
}

fn is_on_top(example: &Example) -> bool {
    example.file.parent() == Some(&directory())
}

#[test]
fn every_object_of_ours_is_admitted() {
    let mut kinds = BTreeSet::new();
    for example in examples().iter().filter(|example| example.is_ours()) {
        let problems = support::problems(&example.object);
        assert_eq!(
            problems,
            Vec::<String>::new(),
            "{}: {:?}",
            example.file.display(),
            example.id()
        );
        kinds.insert(example.kind().to_owned());
    }
    assert_eq!(
        kinds,
        support::KINDS.map(str::to_owned).into(),
        "there is an example of every kind"
    );
}

#[test]
fn every_other_object_is_named_and_of_a_known_group() {
    let groups = [
        "v1",
        "argoproj.io/v1alpha1",
        "kustomize.toolkit.fluxcd.io/v1",
        "source.toolkit.fluxcd.io/v1",
    ];
    for example in examples().iter().filter(|example| !example.is_ours()) {
        assert!(
            groups.contains(&example.text("/apiVersion").unwrap()),
            "{}",
            example.file.display()
        );
        let (kind, namespace, name) = example.id();
        assert!(
            ![&kind, &namespace, &name].iter().any(|text| text.is_empty()),
            "{}",
            example.file.display()
        );
    }
}

#[test]
fn namespaced_objects_name_their_namespace_and_others_none() {
    for example in examples().iter().filter(|example| example.is_ours()) {
        let scope = support::definition(example.kind())["spec"]["scope"].clone();
        assert_eq!(
            example.text("/metadata/namespace").is_some(),
            scope == "Namespaced",
            "{}",
            example.file.display()
        );
    }
}

#[test]
fn no_object_stands_there_twice() {
    let mut seen = BTreeSet::new();
    for example in examples() {
        assert!(
            seen.insert(example.id()),
            "{}: {:?}",
            example.file.display(),
            example.id()
        );
    }
}

#[test]
fn what_a_file_needs_stands_in_a_file_before_it() {
    let mut there = BTreeSet::new();
    for example in examples().iter().filter(|example| is_on_top(example)) {
        let missing: Vec<_> = example.needs().difference(&there).cloned().collect();
        assert_eq!(missing, [], "{}", example.file.display());
        there.insert(example.id());
    }
}

#[test]
fn everything_that_is_referred_to_is_there() {
    let all: BTreeSet<_> = examples().iter().map(Example::id).collect();
    for example in examples().iter().filter(|example| example.is_ours()) {
        let missing: Vec<_> = example.needs().difference(&all).cloned().collect();
        assert_eq!(missing, [], "{}", example.file.display());
    }
}

#[test]
fn what_the_demo_applies_needs_no_host_but_the_mirrored_one() {
    for example in examples().iter().filter(|example| is_on_top(example)) {
        let text = example.object.to_string();
        // A policy only names repositories; nobody asks them.
        let fetches = example.kind() != "ImagePolicy" && text.contains("\"git\":");
        assert!(!fetches, "{}", example.file.display());
        assert!(!text.contains("\"packages\":"), "{}", example.file.display());
        for from in text.split("FROM ").skip(1) {
            let from = from.trim_start_matches("--platform=$BUILDPLATFORM ");
            let is_known = ["debian:bookworm-slim", "release AS ", "scratch"]
                .iter()
                .any(|image| from.starts_with(image));
            assert!(is_known, "{}: FROM {from:.40}", example.file.display());
        }
    }
}

#[test]
fn the_readme_tells_every_story() {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    for example in examples() {
        let path = example.file.strip_prefix(directory()).unwrap();
        let name = path.iter().next().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("`{name}")), "{name} is not in the README");
    }
}
