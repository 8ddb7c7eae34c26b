//! Every object that the chart renders keeps the schema that Kubernetes itself gives its kind, in every version that
//! the chart supports, as kubeconform judges it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::local;
use imagefactory_tests::chart::object::{kind, of_kind};
use imagefactory_tests::chart::schemas::{TEMPLATE, VERSIONS, write};
use imagefactory_tests::chart::{Chart, tool};
use serde_json::{Value, json};

/// What kubeconform says of these documents: how many keep their schema, and what is wrong with the others.
fn judged(documents: &str, schemas: &Path) -> (usize, Vec<Value>) {
    let program = tool("kubeconform").expect("kubeconform is missing: run `hack/tools/build.sh kubeconform schemas`");
    let mut child = Command::new(program)
        .args(["-strict", "-summary", "-output=json", "-schema-location"])
        .arg(schemas.join(TEMPLATE))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).expect("kubeconform writes JSON");
    let wrong = said["resources"].as_array().cloned().unwrap_or_default();
    let valid = said["summary"]["valid"].as_u64().unwrap_or_default();
    assert_eq!(output.status.success(), wrong.is_empty(), "{said}");
    (usize::try_from(valid).unwrap(), wrong)
}

/// The schemas of a version, with those of the chart's own kinds.
fn schemas(version: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let objects = Chart::minimal().render().unwrap_or_else(|error| panic!("{error}"));
    let definitions: Vec<Value> = of_kind(&objects, "CustomResourceDefinition").cloned().collect();
    write(version, &definitions, folder.path())
        .unwrap_or_else(|error| panic!("{error}: run `hack/tools/build.sh schemas`"));
    folder
}

#[test]
fn every_object_keeps_the_schema_of_its_kind_in_every_supported_kubernetes() {
    let upgrade = Chart::minimal().served("imagefactory.dev/v1alpha1/ImagePolicy");
    for version in VERSIONS {
        let schemas = schemas(version);
        for (values, chart) in [
            ("default", Chart::minimal()),
            // Kinds of the Prometheus Operator are no part of Kubernetes, and promtool reads the rules.
            (
                "full",
                Chart::full().set("metrics.serviceMonitor.enabled=false,metrics.prometheusRule.enabled=false"),
            ),
            ("local", local()),
            ("upgrade", upgrade.clone()),
        ] {
            let text = chart.render_text().unwrap_or_else(|error| panic!("{error}"));
            let count = chart.render().unwrap().len();
            let (valid, wrong) = judged(&text, schemas.path());
            assert_eq!(wrong, Vec::<Value>::new(), "{values}, Kubernetes {version}");
            assert_eq!(valid, count, "{values}, Kubernetes {version}: every object is judged");
        }
    }
}

#[test]
fn what_breaks_its_schema_is_found() {
    let schemas = schemas(VERSIONS[0]);
    let objects = Chart::full().render().unwrap();
    let broken = |of: &str, pointer: &str, value: Value| {
        let mut object = of_kind(&objects, of).next().unwrap().clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    for object in [
        broken("Deployment", "/spec/template/spec/hostUserz", json!(false)),
        broken("Deployment", "/spec/replicas", json!("2")),
        broken("Service", "/spec/ports/0/port", json!(true)),
        broken("ValidatingAdmissionPolicy", "/spec/validations", json!({})),
        broken("CustomResourceDefinition", "/spec/names", json!(null)),
        broken("ImagePolicy", "/spec/mode", json!("Sometimes")),
        broken("ImagePolicy", "/spec/modus", json!("Enforce")),
        broken("NetworkPolicy", "/kind", json!("NetworkPolice")),
    ] {
        let (_, wrong) = judged(&object.to_string(), schemas.path());
        assert_eq!(wrong.len(), 1, "{}: {object}", kind(&object));
    }
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: x}\ndata: {b: x}\n";
    assert_eq!(judged(twice, schemas.path()).1.len(), 1, "a field written twice");
}
