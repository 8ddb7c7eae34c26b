//! What the API server refuses by schema and rules, before anything of ours sees it.

use std::collections::BTreeSet;

use crate::hostile::{self, Sample, samples, texts, texts_of_schema};
use imagefactory_crds::SorRecord;
use imagefactory_tests::access::try_create;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::door::heard;
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::{Value, json};

/// Strings that break out of something: a path, an argument, a line, a shell.
const HOSTILE: [&str; 12] = [
    "..",
    "../../etc/passwd",
    "a/../b",
    "-x",
    "--help",
    "a\nb",
    "a\u{0}b",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&&id",
];

/// Texts for people or for programs that are given them as they are: what they may hold of the above. That it comes
/// out as it went in is shown by the tests of published images.
const FREE: [(&str, &[&str]); 20] = [
    ("/spec/buildArgs/*/value", &ONE_LINE),
    ("/spec/labels/*/value", &ONE_LINE),
    ("/spec/recipe/env/*/value", &ONE_LINE),
    ("/spec/recipe/entrypoint/*", &ONE_LINE),
    ("/spec/recipe/commands/*", &ONE_LINE),
    ("/spec/custom/command/*", &ONE_LINE),
    ("/spec/custom/args/*", &ONE_LINE),
    ("/spec/custom/env/*/value", &ONE_LINE),
    ("/spec/displayName", &ONE_LINE),
    ("/spec/capabilities/changeReason", &ONE_LINE),
    ("/spec/description", &SEVERAL_LINES),
    ("/spec/roles/*/description", &SEVERAL_LINES),
    // Read by a parser and an evaluator of ours, as conditions.
    ("/spec/rules/*/expression", &SEVERAL_LINES),
    ("/spec/rules/*/message", &ONE_LINE),
    ("/spec/source/inline/files/*/content", &SEVERAL_LINES),
    ("/spec/product", &ONE_LINE),
    ("/spec/technology", &ONE_LINE),
    ("/spec/justification", &SEVERAL_LINES),
    // Names of users: whatever the API server's authentication gives.
    ("/spec/owners/*/name", &NOT_AN_OPTION),
    ("/spec/members/*/subject/name", &NOT_AN_OPTION),
];
const ONE_LINE: [&str; 10] = [
    "..",
    "../../etc/passwd",
    "a/../b",
    "-x",
    "--help",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&&id",
];
const SEVERAL_LINES: [&str; 11] = [
    "..",
    "../../etc/passwd",
    "a/../b",
    "-x",
    "--help",
    "a\nb",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&&id",
];
const NOT_AN_OPTION: [&str; 8] = [
    "..",
    "../../etc/passwd",
    "a/../b",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&&id",
];

async fn schema_of(cluster: &Cluster, sample: &Sample) -> Value {
    let api = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    let definition = api
        .get(&format!("{}.imagefactory.dev", sample.definition))
        .await
        .unwrap();
    serde_json::to_value(&definition.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone()
}

/// The record that the sample of a request names, for this tenant.
async fn record_for(tenant: &TestTenant) -> ClusterObject {
    let object = json!({
        "metadata": {"name": unique("hostile")}, "spec": {"recordId": hostile::RECORD, "tenants": [tenant.name]},
    });
    let made = ClusterObject::create::<SorRecord>(&tenant.cluster, "sorrecord", object).await;
    heard().await;
    made
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_text_field_refuses_what_breaks_out_of_paths_arguments_lines_and_shells() {
    let capabilities = json!({
        "build": true, "quarantineRequest": true, "onDemandImageScanning": true, "changeReason": "a test",
    });
    let spec = json!({
        "capabilities": capabilities, "placement": hostile::allowed_placement(),
        "registries": ["registry.example.com/images/acme/"],
    });
    let tenant = TestTenant::create_with("hostile", spec).await;
    let _record = record_for(&tenant).await;
    let mut wrong = Vec::new();
    for Sample { namespaced, object, .. } in samples() {
        let namespace = namespaced.then_some(tenant.namespace.as_str());
        if object["kind"] != "TenantSettings" {
            try_create(&tenant.client(), namespace, &object)
                .await
                .expect("the sample itself is valid");
        }
        for (exact, general) in texts(&object) {
            if ["/apiVersion", "/kind"].contains(&general.as_str()) || general.ends_with("/kind") {
                continue;
            }
            // A template says what a Build says.
            let of_build = general.replacen("/spec/templates/*/", "/spec/", 1);
            let free = FREE
                .iter()
                .find(|(path, _)| *path == of_build)
                .map_or(&[][..], |(_, allowed)| *allowed);
            for hostile in HOSTILE {
                let mut tried = object.clone();
                *tried.pointer_mut(&exact).unwrap() = json!(hostile);
                let answer = try_create(&tenant.client(), namespace, &tried).await;
                // What comes as far as the door was let in by the schema.
                let is_ours = |said: &String| said.contains("entitlements.imagefactory.dev");
                if answer.as_ref().err().is_none_or(is_ours) && !free.contains(&hostile) {
                    wrong.push(format!("{} {general} takes {hostile:?}", object["kind"]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_samples_use_every_text_field_that_there_is() {
    let cluster = Cluster::connect().await;
    let used: BTreeSet<_> = samples()
        .iter()
        .flat_map(|sample| {
            texts(&sample.object)
                .into_iter()
                .map(|(_, path)| format!("{}{path}", sample.definition))
        })
        .collect();
    let mut unused = BTreeSet::new();
    for sample in samples() {
        let spec = texts_of_schema(&schema_of(&cluster, &sample).await["properties"]["spec"]);
        unused.extend(
            spec.iter()
                .map(|path| format!("{}/spec{path}", sample.definition))
                .filter(|path| !used.contains(path)),
        );
    }
    assert!(unused.is_empty(), "not tried: {unused:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn no_reference_reaches_out_of_its_namespace_or_at_the_factorys_own_names() {
    let tenant = TestTenant::create("reaches").await;
    let kubectl = tenant.cluster.kubectl();
    let mut wrong = Vec::new();
    for Sample { namespaced, object, .. } in samples().into_iter().filter(|sample| sample.object["kind"] == "Build") {
        let namespace = namespaced.then_some(tenant.namespace.as_str());
        let references = texts(&object).into_iter().filter(|(_, path)| {
            path.ends_with("Ref/name")
                || [
                    "/spec/rerunOf/name",
                    "/spec/pullSecrets/*/name",
                    "/spec/caBundle/name",
                    "/spec/source/configMap/name",
                ]
                .contains(&path.as_str())
        });
        for (exact, path) in references {
            for hostile in [
                "imagefactory-staging",
                "tenant-other/secret",
                "other.secret",
                "Secret",
                "",
            ] {
                let mut tried = object.clone();
                *tried.pointer_mut(&exact).unwrap() = json!(hostile);
                if try_create(&tenant.client(), namespace, &tried).await.is_ok() {
                    wrong.push(format!("{path} takes {hostile:?}"));
                }
            }
            let mut tried = object.clone();
            let parent = exact.trim_end_matches("/name");
            tried.pointer_mut(parent).unwrap()["namespace"] = json!("tenant-other");
            let apply = ["create", "--dry-run=server", "-n", &tenant.namespace, "-f", "-"];
            let answer = kubectl.run_with(&apply, &tried.to_string());
            if answer.ok || !answer.stderr.contains("unknown field") {
                wrong.push(format!("{path} takes a namespace: {}{}", answer.stdout, answer.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
