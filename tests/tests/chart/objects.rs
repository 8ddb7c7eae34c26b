//! Every object that the chart renders is one that an API server takes, for every set of values.

use crate::support::{local, render};
use imagefactory_tests::chart::object::{find, kind, list, name, of_kind, pod_specs, text, title};
use imagefactory_tests::chart::{Chart, RELEASE_NAMESPACE, folder, read, strict};
use serde_json::Value;

fn all() -> Vec<(&'static str, Chart)> {
    vec![
        ("default", Chart::minimal()),
        ("full", Chart::full()),
        ("local", local()),
        (
            "upgrade",
            Chart::minimal().served("imagefactory.dev/v1alpha1/ImagePolicy"),
        ),
        (
            "bare",
            Chart::minimal()
                .set("rbac.create=false,admission.create=false,networkPolicies.create=false,crds.install=false"),
        ),
    ]
}

#[test]
fn helm_lint_finds_nothing() {
    for (values, chart) in all().into_iter().filter(|(values, _)| *values != "upgrade") {
        chart.lint().unwrap_or_else(|error| panic!("{values}: {error}"));
    }
}

#[test]
fn every_object_is_read_by_the_type_of_its_kind_without_a_loss() {
    for (values, chart) in all() {
        for object in render(&chart) {
            assert_eq!(
                strict::faults(&object),
                Vec::<String>::new(),
                "{values}: {}",
                title(&object)
            );
        }
    }
}

#[test]
fn no_object_is_rendered_twice() {
    for (values, chart) in all() {
        let mut titles: Vec<String> = render(&chart).iter().map(title).collect();
        let count = titles.len();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), count, "{values}");
    }
}

#[test]
fn every_namespaced_object_says_its_namespace() {
    let cluster_wide = [
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ImagePolicy",
    ];
    for (values, chart) in all() {
        for object in render(&chart) {
            let namespace = text(&object, "/metadata/namespace");
            assert_eq!(
                namespace.is_empty(),
                cluster_wide.contains(&kind(&object)),
                "{values}: {}",
                title(&object)
            );
        }
    }
}

#[test]
fn every_object_carries_the_common_labels() {
    for (values, chart) in all() {
        for object in render(&chart) {
            for label in ["name", "instance", "version", "part-of", "managed-by"] {
                let pointer = format!("/metadata/labels/app.kubernetes.io~1{label}");
                assert_ne!(
                    text(&object, &pointer),
                    "",
                    "{values}: {} lacks {label}",
                    title(&object)
                );
            }
            assert_ne!(
                text(&object, "/metadata/labels/helm.sh~1chart"),
                "",
                "{values}: {}",
                title(&object)
            );
        }
    }
}

#[test]
fn crds_are_those_that_are_generated_kept_at_uninstall() {
    let objects = render(&Chart::minimal());
    let definitions: Vec<&Value> = of_kind(&objects, "CustomResourceDefinition").collect();
    assert_eq!(
        definitions.len(),
        std::fs::read_dir(folder().join("files/crds")).unwrap().count()
    );
    for definition in definitions {
        let file = folder().join("files/crds").join(format!("{}.yaml", name(definition)));
        let generated: Value = serde_yaml::from_str(&read(&file).unwrap()).unwrap();
        let both_ways = [
            strict::differences(&definition["spec"], &generated["spec"]),
            strict::differences(&generated["spec"], &definition["spec"]),
        ];
        assert_eq!(both_ways.concat(), Vec::<String>::new(), "{}", name(definition));
        assert_eq!(
            text(definition, "/metadata/annotations/helm.sh~1resource-policy"),
            "keep"
        );
    }
}

#[test]
fn selectors_of_services_and_policies_find_their_pods() {
    for (values, chart) in all() {
        let objects = render(&chart);
        let templates: Vec<&Value> = objects
            .iter()
            .filter_map(|object| {
                object
                    .pointer("/spec/template")
                    .or_else(|| object.pointer("/spec/jobTemplate/spec/template"))
            })
            .collect();
        let finds = |selector: &Value| {
            selector.as_object().is_none_or(|labels| {
                templates.iter().any(|template| {
                    labels
                        .iter()
                        .all(|(key, value)| template["metadata"]["labels"].get(key) == Some(value))
                })
            })
        };
        for service in of_kind(&objects, "Service") {
            assert!(finds(&service["spec"]["selector"]), "{values}: {}", title(service));
        }
        for policy in of_kind(&objects, "NetworkPolicy") {
            assert!(
                finds(&policy["spec"]["podSelector"]["matchLabels"]),
                "{values}: {}",
                title(policy)
            );
        }
        for deployment in of_kind(&objects, "Deployment") {
            assert!(
                finds(&deployment["spec"]["selector"]["matchLabels"]),
                "{values}: {}",
                title(deployment)
            );
        }
    }
}

#[test]
fn what_a_pod_mounts_is_rendered_or_made_by_somebody_else() {
    let made_elsewhere = [
        "image-factory-tenant-staging",
        "imagefactory-trivy-token",
        "image-factory-audit-tls",
        "audit-certificate",
        "webhook-certificate",
    ];
    for (values, chart) in all() {
        let objects = render(&chart);
        let exists = |kind: &str, named: &str| {
            named.is_empty() || find(&objects, kind, named).is_some() || made_elsewhere.contains(&named)
        };
        for (owner, pod) in pod_specs(&objects) {
            assert!(
                exists("ServiceAccount", text(pod, "/serviceAccountName")),
                "{values}: {owner}"
            );
            for volume in list(pod, "/volumes") {
                assert!(
                    exists("ConfigMap", text(volume, "/configMap/name")),
                    "{values}: {owner} {volume}"
                );
                assert!(
                    exists(
                        "PersistentVolumeClaim",
                        text(volume, "/persistentVolumeClaim/claimName")
                    ),
                    "{values}: {owner} {volume}"
                );
                let secret = text(volume, "/secret/secretName");
                assert!(
                    exists("Secret", secret) || ["db-pull", "sor-token"].contains(&secret),
                    "{values}: {owner} {volume}"
                );
            }
        }
    }
}

#[test]
fn only_scan_pods_reach_the_scanner_and_nobody_else_in_the_work_namespace_is_called() {
    let objects = render(&Chart::minimal());
    let closed = find(&objects, "NetworkPolicy", "image-factory-closed").unwrap();
    assert_eq!(
        closed["spec"],
        serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress"]})
    );
    let scanner = find(&objects, "NetworkPolicy", "image-factory-trivy").unwrap();
    let from = serde_json::json!([{"podSelector": {"matchLabels": {"imagefactory.dev/stage": "scan"}}}]);
    assert_eq!(list(scanner, "/spec/ingress").len(), 1);
    assert_eq!(scanner.pointer("/spec/ingress/0/from"), Some(&from));
    assert_eq!(
        scanner.pointer("/spec/policyTypes"),
        Some(&serde_json::json!(["Ingress"]))
    );
    for policy in [closed, scanner] {
        assert_eq!(text(policy, "/metadata/namespace"), "image-factory-work");
    }
}

#[test]
fn metrics_are_found_by_their_annotations_which_one_value_takes_away() {
    let objects = render(&Chart::minimal());
    for (service, namespace) in [
        ("image-factory-operator", RELEASE_NAMESPACE),
        ("image-factory-credentials", "image-factory-work"),
    ] {
        let service = find(&objects, "Service", service).unwrap();
        assert_eq!(text(service, "/metadata/namespace"), namespace);
        for (annotation, value) in [("scrape", "true"), ("port", "8080"), ("path", "/metrics")] {
            assert_eq!(
                text(service, &format!("/metadata/annotations/prometheus.io~1{annotation}")),
                value
            );
        }
    }
    let without = render(&Chart::minimal().set("metrics.scrapeAnnotations=false"));
    assert!(of_kind(&without, "Service").all(|service| service.pointer("/metadata/annotations").is_none()));
}

#[test]
fn a_change_of_settings_rolls_the_pods_that_read_them() {
    let checksums = |chart: &Chart| -> Vec<String> {
        let objects = render(chart);
        ["image-factory-operator", "image-factory-credentials"]
            .map(|deployment| {
                let deployment = find(&objects, "Deployment", deployment).unwrap();
                text(deployment, "/spec/template/metadata/annotations/checksum~1config").to_owned()
            })
            .into()
    };
    let before = checksums(&Chart::minimal());
    assert!(before.iter().all(|checksum| checksum.len() == 64));
    assert_eq!(
        before,
        checksums(&Chart::minimal()),
        "the same values give the same pods"
    );
    let after = checksums(&Chart::minimal().set("builds.defaultTimeout=31m"));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));
}

#[test]
fn the_java_database_is_fetched_into_a_claim_of_its_own_when_its_source_changes() {
    let names = |value: &str| {
        let objects = render(&Chart::minimal().set("scan.javaDatabase.enabled=true").set(value));
        let is_its = |object: &&Value| name(object).contains("java-database");
        ["Job", "PersistentVolumeClaim"].map(|kind| name(of_kind(&objects, kind).find(is_its).unwrap()).to_owned())
    };
    let before = names("scan.javaDatabase.repositories={a.example.com/db:1}");
    for other in [
        "scan.javaDatabase.repositories={a.example.com/db:2}",
        "images.trivy.tag=0.0.1",
    ] {
        let after = names(other);
        assert!(
            before.iter().zip(&after).all(|(before, after)| before != after),
            "a job can't change: {before:?} {after:?}"
        );
    }
    assert_eq!(
        before[1],
        names("scan.javaDatabase.repositories={a.example.com/db:1},scan.javaDatabase.size=9Gi")[1]
    );
    assert_eq!(of_kind(&render(&Chart::minimal()), "Job").count(), 0);
}

#[test]
fn what_must_outlive_the_release_is_kept_at_uninstall_and_nothing_else() {
    for (values, chart) in all() {
        for object in render(&chart) {
            let outlives = matches!(
                kind(&object),
                "CustomResourceDefinition" | "ImagePolicy" | "Namespace" | "PersistentVolumeClaim"
            ) && text(&object, "/metadata/labels/pod-security.kubernetes.io~1enforce") != "privileged";
            let kept = text(&object, "/metadata/annotations/helm.sh~1resource-policy") == "keep";
            assert_eq!(kept, outlives, "{values}: {}", title(&object));
        }
    }
}
