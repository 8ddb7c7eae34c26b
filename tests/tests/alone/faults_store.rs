//! The store of logs as a bucket, as the release is deployed with it: written there, and read back from there.
//!
//! Runs alone: it changes where everybody's logs are kept.

use imagefactory_tests::building::{status_of, told};
use imagefactory_tests::dockerfile::talks;
use imagefactory_tests::kept::{SAID, logs_of};
use imagefactory_tests::operator::Deployed;
use imagefactory_tests::store::Minio;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn logs_are_kept_in_a_bucket_where_the_release_says_so_and_read_back_from_there() {
    let cluster = Cluster::connect().await;
    let minio = Minio::start(&cluster).await;
    let values = minio.values();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let deployed = Deployed::with(&cluster, &values);
    let tenant = TestTenant::create("bucket").await;
    let build = tenant.succeeds("in-s3", json!({"source": talks()})).await;
    assert_eq!(logs_of(&build), 7, "{}", told(&build));
    let location = &status_of(&build).logs.as_ref().unwrap().location;
    assert!(location.starts_with("s3://archive/factory/"), "{location}");
    assert!(tenant.kept_logs("in-s3").contains(SAID));
    let path = location.trim_start_matches("s3://archive/");
    let objects = minio.objects(path);
    assert_eq!(objects.len(), 7, "{objects:?}");
    drop(deployed);
    tenant.succeeds("on-the-volume", json!({"source": talks()})).await;
}
