//! Where the chart has logs kept: on a volume of its own that is never lost, or in a bucket whose credentials nobody
//! reads by the API.

use crate::support::render;
use imagefactory_core::settings::Settings;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, text};
use serde_json::{Value, json};

const OPERATOR: &str = "image-factory-operator";
const CLAIM: &str = "image-factory-archive";
const MANY: &str = "objectStore.volume.accessModes={ReadWriteMany}";
const BUCKET: &str = "objectStore.url=s3://bucket/logs";
const TOGETHER: &str = "/spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution";

fn operator(objects: &[Value]) -> &Value {
    find(objects, "Deployment", OPERATOR).unwrap()
}

fn settings(objects: &[Value]) -> Settings {
    let config = find(objects, "ConfigMap", "image-factory-config").unwrap();
    serde_yaml::from_str(text(config, "/data/config.yaml")).unwrap()
}

#[test]
fn logs_lie_on_a_claim_by_default_where_the_operator_mounts_it() {
    let objects = render(&Chart::minimal());
    let mounts = list(operator(&objects), "/spec/template/spec/containers/0/volumeMounts");
    let mount = mounts.iter().find(|mount| mount["name"] == "archive").unwrap();
    let url = settings(&objects).object_store.url;
    assert_eq!(url, format!("file://{}", text(mount, "/mountPath")));
    let claim = find(&objects, "PersistentVolumeClaim", CLAIM).unwrap();
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}

#[test]
fn replicas_run_together_only_where_their_volume_makes_them_and_hold_up_no_drain_there() {
    let two = Chart::minimal().set("operator.replicas=2");
    let together = |chart: &Chart| {
        let objects = render(chart);
        let budget = find(&objects, "PodDisruptionBudget", OPERATOR);
        (list(operator(&objects), TOGETHER).len(), budget.is_some())
    };
    assert_eq!(together(&two), (1, false));
    for apart in [MANY, BUCKET] {
        assert_eq!(together(&two.clone().set(apart)), (0, true), "{apart}");
    }
    let own = "operator.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone";
    assert_eq!(together(&two.set(own)), (2, false), "an administrator's own rule stays");
    assert_eq!(together(&Chart::minimal()), (0, false), "one is bound to no node");
}

#[test]
fn one_replica_gives_its_volume_free_before_the_next_one_starts() {
    let strategy = |values: &str| {
        let objects = render(&Chart::minimal().set(values));
        operator(&objects)["spec"]["strategy"].clone()
    };
    let old_first = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
    for on_one_node in [
        "operator.replicas=1",
        "objectStore.volume.accessModes={ReadWriteOncePod}",
    ] {
        assert_eq!(strategy(on_one_node), old_first, "{on_one_node}");
    }
    for other in ["operator.replicas=2", MANY, BUCKET] {
        assert_eq!(strategy(other), Value::Null, "{other}");
    }
    let error = Chart::minimal()
        .set("operator.replicas=2,objectStore.volume.accessModes={ReadWriteOncePod}")
        .render()
        .unwrap_err();
    assert!(error.to_string().contains("for one replica"), "{error}");
}

#[test]
fn a_given_claim_is_used_and_none_is_made() {
    let objects = render(&Chart::minimal().set("objectStore.volume.existingClaim=mine"));
    assert!(find(&objects, "PersistentVolumeClaim", CLAIM).is_none());
    let volumes = list(operator(&objects), "/spec/template/spec/volumes");
    let archive = volumes.iter().find(|volume| volume["name"] == "archive").unwrap();
    assert_eq!(archive["persistentVolumeClaim"]["claimName"], "mine");
}

#[test]
fn a_bucket_needs_no_volume_and_its_credentials_come_as_variables() {
    let chart = Chart::minimal().set("objectStore.url=s3://bucket/logs,objectStore.secret=archive");
    let objects = render(&chart.set("objectStore.options.endpoint=https://minio:9000"));
    assert!(find(&objects, "PersistentVolumeClaim", CLAIM).is_none());
    let container = "/spec/template/spec/containers/0";
    let from = list(operator(&objects), &format!("{container}/envFrom"));
    assert_eq!(from, &[json!({"secretRef": {"name": "archive"}})]);
    let mounts = list(operator(&objects), &format!("{container}/volumeMounts"));
    assert!(mounts.iter().all(|mount| mount["name"] != "archive"));
    assert_eq!(
        settings(&objects).object_store.options["endpoint"],
        "https://minio:9000"
    );
}
