//! Pods of the factory itself: they pass the profile "restricted", and hold no more than they need.

use std::collections::BTreeSet;

use crate::support::{local, render};
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{containers, find, list, of_kind, pod_specs, text};
use serde_json::{Value, json};

fn all_pods(test: impl Fn(&str, &Value)) {
    for chart in [
        Chart::minimal().set("scan.javaDatabase.enabled=true"),
        Chart::full(),
        local(),
    ] {
        let objects = render(&chart);
        let pods = pod_specs(&objects);
        assert!(
            pods.len() >= 4,
            "operator, credentials, scanner and the job of its Java database"
        );
        // The one pod with a folder of the node has tests of its own (seccomp.rs).
        pods.into_iter()
            .filter(|(owner, _)| !owner.contains("DaemonSet"))
            .for_each(|(owner, pod)| test(&owner, pod));
    }
}

#[test]
fn every_pod_passes_the_restricted_profile_with_a_read_only_root() {
    all_pods(|owner, pod| {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.get(field).is_none(), "{owner} {field}");
        }
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{owner}");
        assert_eq!(security["runAsUser"], 65532, "{owner}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{owner}");
        for container in containers(pod) {
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            });
            assert_eq!(container["securityContext"], expected, "{owner}");
        }
        for volume in list(pod, "/volumes") {
            let kinds: Vec<&String> = volume
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "name")
                .collect();
            let allowed = ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"];
            assert!(
                kinds.len() == 1 && allowed.contains(&kinds[0].as_str()),
                "{owner} {volume}"
            );
        }
    });
}

#[test]
fn every_container_has_resources_and_every_server_has_probes() {
    all_pods(|owner, pod| {
        for container in containers(pod) {
            assert!(container["resources"].is_object(), "{owner}");
        }
    });
    for deployment in of_kind(&render(&Chart::minimal()), "Deployment") {
        for container in containers(&deployment["spec"]["template"]["spec"]) {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                assert!(container[probe]["httpGet"]["path"].is_string(), "{deployment} {probe}");
            }
            assert!(container.pointer("/resources/limits/memory").is_some(), "{deployment}");
        }
    }
}

#[test]
fn names_in_a_pod_are_unique_as_server_side_apply_wants_them() {
    all_pods(|owner, pod| {
        let unique = |items: &[Value], key: &str| {
            let names: BTreeSet<String> = items.iter().map(|item| item[key].to_string()).collect();
            assert_eq!(names.len(), items.len(), "{owner} {key}");
        };
        unique(list(pod, "/volumes"), "name");
        for container in containers(pod) {
            unique(list(container, "/env"), "name");
            unique(list(container, "/ports"), "containerPort");
            unique(list(container, "/volumeMounts"), "mountPath");
        }
    });
}

#[test]
fn what_is_mounted_is_a_volume_of_the_pod() {
    all_pods(|owner, pod| {
        let volumes: BTreeSet<&str> = list(pod, "/volumes")
            .iter()
            .map(|volume| text(volume, "/name"))
            .collect();
        let mounted: BTreeSet<&str> = containers(pod)
            .into_iter()
            .flat_map(|container| list(container, "/volumeMounts"))
            .map(|mount| text(mount, "/name"))
            .collect();
        assert_eq!(volumes, mounted, "{owner}");
    });
}

#[test]
fn the_operator_mounts_no_secret_and_credentials_only_the_source_of_what_it_places() {
    let objects = render(&Chart::minimal());
    let secrets = |deployment: &str| -> Vec<String> {
        let deployment = find(&objects, "Deployment", deployment).unwrap();
        list(deployment, "/spec/template/spec/volumes")
            .iter()
            .map(|volume| text(volume, "/secret/secretName").to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    assert_eq!(secrets("image-factory-operator"), Vec::<String>::new());
    assert_eq!(secrets("image-factory-credentials"), ["image-factory-tenant-staging"]);
    assert_eq!(secrets("image-factory-trivy"), Vec::<String>::new());
    for (owner, pod) in pod_specs(&objects) {
        let reads: Vec<&str> = containers(pod)
            .into_iter()
            .flat_map(|container| list(container, "/env"))
            .map(|variable| text(variable, "/valueFrom/secretKeyRef/name"))
            .filter(|name| !name.is_empty())
            .collect();
        let expected: &[&str] = if owner.ends_with("image-factory-trivy") {
            &["imagefactory-trivy-token"]
        } else {
            &[]
        };
        assert_eq!(reads, expected, "{owner}");
    }
}

#[test]
fn the_scanner_never_starts_without_its_token_and_holds_no_account() {
    let objects = render(&Chart::minimal());
    let server = find(&objects, "Deployment", "image-factory-trivy").unwrap();
    let pod = &server["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let token = list(pod, "/containers/0/env")
        .iter()
        .find(|variable| variable["name"] == "TRIVY_TOKEN")
        .unwrap();
    let reference = json!({"secretKeyRef": {"name": "imagefactory-trivy-token", "key": "token"}});
    assert_eq!(token["valueFrom"], reference, "required, not optional");
    let arguments: Vec<&str> = list(pod, "/containers/0/args")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        arguments.starts_with(&["server", "--listen=0.0.0.0:4954", "--cache-dir=/cache"]),
        "{arguments:?}"
    );
    assert!(
        arguments
            .iter()
            .any(|argument| argument.starts_with("--db-repository=")),
        "{arguments:?}"
    );
}

#[test]
fn two_replicas_spread_over_nodes() {
    let objects = render(&Chart::minimal().set("operator.replicas=2"));
    let deployment = find(&objects, "Deployment", "image-factory-operator").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 2);
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(
        spread["labelSelector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"]
    );
}

#[test]
fn placement_reaches_every_pod() {
    let objects = render(&Chart::full());
    for (owner, pod) in pod_specs(&objects) {
        assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}), "{owner}");
        assert_eq!(
            pod["tolerations"],
            json!([{"key": "x", "operator": "Exists"}]),
            "{owner}"
        );
        assert!(pod["affinity"].is_object(), "{owner}");
        assert_eq!(pod["priorityClassName"], "system-cluster-critical", "{owner}");
    }
}

#[test]
fn the_work_namespace_enforces_the_restricted_profile_and_outlives_the_release() {
    let objects = render(&Chart::minimal());
    let namespace = find(&objects, "Namespace", "image-factory-work").unwrap();
    assert_eq!(
        text(namespace, "/metadata/labels/pod-security.kubernetes.io~1enforce"),
        "restricted"
    );
    assert_eq!(
        text(namespace, "/metadata/annotations/helm.sh~1resource-policy"),
        "keep"
    );
    assert!(find(&render(&local()), "Namespace", "image-factory-work").is_none());
}
