//! Where the chart has logs kept: on a volume of its own that is never lost, or in a bucket whose credentials nobody
//! reads by the API.

use crate::support::render;
use imagefactory_core::settings::Settings;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, text};
use serde_json::Value;

const OPERATOR: &str = "image-factory-operator";
const CLAIM: &str = "image-factory-archive";
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
fn replicas_run_together_only_where_their_volume_makes_them() {
    let together = |chart: &Chart| list(operator(&render(chart)), TOGETHER).len();
    assert_eq!(together(&Chart::minimal()), 1);
    let many = Chart::minimal().set("objectStore.volume.accessModes={ReadWriteMany}");
    assert_eq!(together(&many), 0);
    assert_eq!(together(&Chart::minimal().set("objectStore.url=s3://bucket/logs")), 0);
    let own = "operator.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone";
    assert_eq!(
        together(&Chart::minimal().set(own)),
        2,
        "an administrator's own rule stays"
    );
}

#[test]
fn a_bucket_needs_no_volume_and_its_credentials_come_as_variables() {
    let chart = Chart::minimal().set("objectStore.url=s3://bucket/logs,objectStore.secret=archive");
    let objects = render(&chart.set("objectStore.options.endpoint=https://minio:9000"));
    assert!(find(&objects, "PersistentVolumeClaim", CLAIM).is_none());
    let container = "/spec/template/spec/containers/0";
    let from = list(operator(&objects), &format!("{container}/envFrom"));
    assert_eq!(from, &[serde_json::json!({"secretRef": {"name": "archive"}})]);
    let mounts = list(operator(&objects), &format!("{container}/volumeMounts"));
    assert!(mounts.iter().all(|mount| mount["name"] != "archive"));
    assert_eq!(
        settings(&objects).object_store.options["endpoint"],
        "https://minio:9000"
    );
}
