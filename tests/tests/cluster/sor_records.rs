//! Records of the system of record: where they stand, of two with one id which counts, and who may write and read them.

use imagefactory_crds::sor_record::Lifecycle;
use imagefactory_crds::{SorRecord, conditions};
use imagefactory_tests::Cluster;
use imagefactory_tests::access::try_create;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::wait::until;
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

/// Records that go with the test.
struct Records {
    cluster: Cluster,
    made: Vec<String>,
}

impl Records {
    async fn new() -> Self {
        Self {
            cluster: Cluster::connect().await,
            made: Vec::new(),
        }
    }

    fn api(&self) -> Api<SorRecord> {
        Api::all(self.cluster.client.clone())
    }

    async fn make(&mut self, name: &str, id: &str, spec: Value) {
        let mut spec = spec;
        spec["recordId"] = json!(id);
        let record: SorRecord = serde_json::from_value(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        let _ = self.api().create(&PostParams::default(), &record).await.unwrap();
        self.made.push(name.to_owned());
    }

    /// Waits until the record stands so; the reason of `Ready`.
    async fn stands(&self, name: &str, lifecycle: Lifecycle) -> String {
        until(&format!("{name} is {}", lifecycle.as_str()), 30, async || {
            let status = self.api().get(name).await.ok()?.status?;
            let ready = conditions::find(&status.conditions, "Ready")?.reason.clone();
            (status.lifecycle == Some(lifecycle)).then_some(ready)
        })
        .await
    }

    async fn reason(&self, name: &str, wanted: &str) {
        until(&format!("{name} says {wanted}"), 30, async || {
            let status = self.api().get(name).await.ok()?.status?;
            let ready = conditions::find(&status.conditions, "Ready")?;
            (ready.reason == wanted).then_some(())
        })
        .await;
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        for name in &self.made {
            let _ = self
                .cluster
                .kubectl()
                .run(&["delete", "sorrecord", name, "--ignore-not-found"]);
        }
    }
}

fn from_now(seconds: i64) -> Value {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    json!(Timestamp::from_second(time.as_second()).unwrap().to_string())
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_record_goes_through_its_life_by_itself() {
    let mut records = Records::new().await;
    let (active, ending, off) = (unique("active"), unique("ending"), unique("off"));
    let tenants = json!(["acme"]);
    records
        .make(
            &active,
            &active,
            json!({"tenants": tenants, "expiresAt": from_now(90 * 86_400)}),
        )
        .await;
    records
        .make(&ending, &ending, json!({"tenants": tenants, "expiresAt": from_now(20)}))
        .await;
    records
        .make(&off, &off, json!({"tenants": tenants, "suspended": true}))
        .await;
    assert_eq!(records.stands(&active, Lifecycle::Active).await, "Active");
    assert_eq!(records.stands(&off, Lifecycle::Suspended).await, "Suspended");
    assert_eq!(records.stands(&ending, Lifecycle::Expiring).await, "Expiring");
    assert_eq!(records.stands(&ending, Lifecycle::Expired).await, "Expired");
    let status = records.api().get(&active).await.unwrap().status.unwrap();
    assert!(status.verified_at.is_some());
    let table = records.cluster.kubectl().run(&["get", "sor", &active]).expect_ok();
    let header: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(
        header,
        ["NAME", "RECORD", "LIFECYCLE", "REASON", "EXPIRES", "TENANTS", "AGE"]
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nothing_is_written_while_nothing_changes() {
    let mut records = Records::new().await;
    let name = unique("still");
    records.make(&name, &name, json!({"tenants": ["acme"]})).await;
    records.stands(&name, Lifecycle::Active).await;
    let version = |record: SorRecord| record.metadata.resource_version;
    let before = version(records.api().get(&name).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(version(records.api().get(&name).await.unwrap()), before);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn of_two_records_with_one_id_the_older_counts_until_it_goes() {
    let mut records = Records::new().await;
    let (older, younger) = (unique("b-older"), unique("a-younger"));
    records.make(&older, &older, json!({"tenants": ["acme"]})).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    records.make(&younger, &older, json!({"tenants": ["acme"]})).await;
    records.reason(&younger, "DuplicateRecord").await;
    records.reason(&older, "Active").await;
    let _ = records.api().delete(&older, &DeleteParams::default()).await.unwrap();
    records.reason(&younger, "Active").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn ids_are_bounded_and_do_not_change() {
    let mut records = Records::new().await;
    for id in ["", "a/../b", "..", "-x", "a b", "a\nb", "$(id)", &"a".repeat(65)] {
        let object = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": unique("bad")},
            "spec": {"recordId": id},
        });
        let answer = try_create(&records.cluster.client, None, &object).await;
        assert!(answer.is_err(), "{id:?}");
    }
    let name = unique("fixed");
    records.make(&name, &name, json!({})).await;
    let change = json!({"spec": {"recordId": "other"}}).to_string();
    let answer = records
        .cluster
        .kubectl()
        .run(&["patch", "sorrecord", &name, "--type=merge", "-p", &change]);
    assert!(
        !answer.ok && answer.stderr.contains("field_immutable") && answer.stderr.contains("recordId can't change"),
        "{}",
        answer.stderr
    );
}
