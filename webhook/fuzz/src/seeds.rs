//! Objects to begin with: every object of our kinds in examples/ and in the fixtures of the schema's tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{KINDS, REVIEW, input};

/// Where they stand.
const FOLDERS: [&str; 3] = ["examples", "examples/gitops", "crds/tests/fixtures"];

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All of them, read once.
pub fn all() -> &'static [Value] {
    static ALL: OnceLock<Vec<Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        FOLDERS
            .iter()
            .flat_map(|folder| of_folder(&root().join(folder)))
            .collect()
    })
}

/// Those of a kind.
#[must_use]
pub fn of(kind: &str) -> Vec<&'static Value> {
    all().iter().filter(|object| object["kind"] == kind).collect()
}

fn of_folder(folder: &Path) -> Vec<Value> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| of_file(path)).collect()
}

fn of_file(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents
        .filter(|object| object["apiVersion"] == "imagefactory.dev/v1alpha1")
        .collect()
}

/// A review that asks for an object to be made.
#[must_use]
pub fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4",
            "kind": {"group": "imagefactory.dev", "version": "v1alpha1", "kind": object["kind"]},
            "resource": {"group": "imagefactory.dev", "version": "v1alpha1", "resource": "builds"},
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "operation": "CREATE", "userInfo": {"username": "olga", "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": false,
        },
    })
}

/// First inputs of a target.
#[must_use]
pub fn inputs(target: &str) -> Vec<Vec<u8>> {
    if target == REVIEW {
        return all()
            .iter()
            .map(|object| review(object).to_string().into_bytes())
            .collect();
    }
    let kind = KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(target));
    let objects = kind.map(|kind| of(kind)).unwrap_or_default();
    let as_json = objects
        .iter()
        .flat_map(|object| (0..3).map(|operation| input::as_json(operation, object.to_string().as_bytes())));
    let as_changes = (0..24u8).map(|number| input::as_changes(number, &[number; 40]));
    as_json.chain(as_changes).collect()
}
