//! An object that does not parse, as an older or a broken schema may have let through, does not stop the watch.
//!
//! Runs alone: for a moment the schema of Builds lets through what it should not.

use imagefactory_tests::access::create;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::operator::Restored;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::{Value, json};

/// Opens the schema of Builds until what is given back is gone.
fn with_open_schema(cluster: &Cluster) -> Restored {
    let kubectl = cluster.kubectl();
    let text = kubectl
        .run(&["get", "crd", "builds.imagefactory.dev", "-o", "json"])
        .expect_ok();
    let mut definition: Value = serde_json::from_str(&text).expect("kubectl writes JSON");
    let metadata = definition["metadata"].as_object_mut().expect("it has metadata");
    metadata.remove("managedFields");
    metadata.remove("resourceVersion");
    let restored = Restored::by(cluster, &["replace", "-f", "-"], definition.to_string());
    let open =
        json!({"type": "object", "description": "Open for a test.", "x-kubernetes-preserve-unknown-fields": true});
    let version = &mut definition["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = open;
    // What is selected by or shown has to be in the schema.
    for list in ["selectableFields", "additionalPrinterColumns"] {
        let entries = version[list].as_array_mut().expect("the definition has it");
        entries.retain(|entry| {
            entry["jsonPath"]
                .as_str()
                .is_some_and(|path| !path.starts_with(".spec"))
        });
    }
    let _ = kubectl
        .run_with(&["replace", "-f", "-"], &definition.to_string())
        .expect_ok();
    restored
}

fn build(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_malformed_object_never_stops_the_watch() {
    let tenant = TestTenant::create("malformed").await;
    let namespace = Some(tenant.namespace.as_str());
    let malformed = [
        (
            "numbers",
            json!({"projectRef": {"name": "app"}, "timeout": 5, "source": quick()}),
        ),
        ("lists", json!({"projectRef": ["app"], "source": "nothing"})),
        ("empty", json!({})),
    ];
    {
        // The door lets in nothing that does not parse.
        let _away = tenant.cluster.without_door();
        let _open = with_open_schema(&tenant.cluster);
        for (name, spec) in &malformed {
            until("the open schema is in force", 30, async || {
                create(&tenant.client(), namespace, &build(name, spec)).await.ok()
            })
            .await;
        }
    }
    tenant.succeeds("beside-them", json!({"source": quick()})).await;
    // A watch that begins anew lists them too.
    let cluster = &tenant.cluster;
    cluster.restart(&cluster.installation.namespace, &cluster.installation.operator);
    tenant.succeeds("after-a-restart", json!({"source": quick()})).await;
    let prometheus = cluster.prometheus();
    until("they are counted", 60, async || {
        let samples = prometheus
            .query(r#"sum(imagefactory_malformed_objects_total{kind="builds"})"#)
            .await;
        samples.first().filter(|sample| sample.value >= 3.0).map(|_| ())
    })
    .await;
    let pods = tenant.pods().await;
    let names: Vec<_> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    assert!(
        !names
            .iter()
            .any(|name| malformed.iter().any(|(bad, _)| name.starts_with(bad))),
        "{names:?}"
    );
}
