//! Records fetched over HTTPS from a system of record that changes its mind, answers nonsense, goes away, comes back, and
//! is not who it says: what it registered counts, and nothing that it does not answer for.
//!
//! Runs alone: it deploys the release with other values. On a cluster whose nodes reach this machine's own address.

use std::io::Write;

use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::{QuarantineRequest, SorRecord, conditions};
use imagefactory_tests::door::{Raw, Told, ours};
use imagefactory_tests::system_of_record::{Answers, Asked, SystemOfRecord};
use imagefactory_tests::wait::{stays, until};
use imagefactory_tests::{Cluster, TestTenant};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// Secret with the token, in the release's namespace.
const SECRET: &str = "sor-token-of-a-test";
/// Seconds between two fetches. Without an answer a record counts for four of them and one timeout.
const INTERVAL: u64 = 10;

/// The release with a system of record, and without it again when this goes.
struct Fetching(Cluster);

impl Fetching {
    fn from(cluster: &Cluster, service: &SystemOfRecord) -> Self {
        let fetching = Self(cluster.clone());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": cluster.installation.namespace},
            "stringData": {"token": service.token},
        });
        let applied = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let _ = cluster.kubectl().run_with(&applied, &secret.to_string()).expect_ok();
        fetching.trusting(&service.url, &service.authority);
        fetching
    }

    fn trusting(&self, url: &str, authority: &str) {
        let values = json!({"sor": {"http": {
            "url": url, "interval": format!("{INTERVAL}s"), "timeout": "5s", "tokenSecret": SECRET,
            "caBundle": authority, "outage": "Deny",
        }}});
        let mut file = tempfile::NamedTempFile::new().expect("making a file");
        file.write_all(values.to_string().as_bytes()).expect("writing it");
        let values = file.path().to_string_lossy();
        self.0.deploy(&["--values", &values]).expect("deploying it");
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let deployed = self.0.deploy(&[]);
        // A panic during a panic would end the process and hide the first one.
        assert!(deployed.is_ok() || std::thread::panicking(), "{deployed:?}");
        let fetched = ["delete", "sorrecord", "-l", "imagefactory.dev/sor-source=http"];
        let _ = self.0.kubectl().run(&fetched);
        self.0.delete_secret(SECRET);
    }
}

/// What was fetched for that id.
async fn record(cluster: &Cluster, id: &str) -> Option<SorRecord> {
    let fetched = ListParams::default().labels("imagefactory.dev/sor-source=http");
    let all = Api::<SorRecord>::all(cluster.client.clone())
        .list(&fetched)
        .await
        .ok()?;
    all.items.into_iter().find(|record| record.spec.record_id.0 == id)
}

/// Waits until the record stands so: its lifecycle, and whether it counts.
async fn stands(cluster: &Cluster, id: &str, lifecycle: &str, counts: bool) {
    until(&format!("{id} is {lifecycle}, counts: {counts}"), 90, async || {
        let status = record(cluster, id).await?.status?;
        let ready = conditions::find(&status.conditions, "Ready")?.status.as_str() == "True";
        (status.lifecycle?.as_str() == lifecycle && ready == counts).then_some(())
    })
    .await;
}

async fn ask(tenant: &TestTenant, name: &str, id: &str) -> Told {
    let spec = json!({"source": {"image": "quay.io/example/app:1"}, "sorRecordId": id, "justification": "A test.",
        "projectRef": {"name": "app"}});
    let raw = Raw::create(
        tenant.path("quarantinerequests", ""),
        ours("QuarantineRequest", name, &spec),
    );
    raw.send(&tenant.client(), false).await
}

/// Waits until the request's `Succeeded` says so.
async fn says(tenant: &TestTenant, name: &str, phase: RequestPhase, reason: &str) {
    until(&format!("{name} is {} for {reason}", phase.as_str()), 60, async || {
        let status = tenant.api::<QuarantineRequest>().get(name).await.ok()?.status?;
        let said = conditions::find(&status.conditions, "Succeeded")?.reason.clone();
        (status.phase == Some(phase) && said == reason).then_some(())
    })
    .await;
}

/// Waits until it was asked once more, in a way that `count` counts.
async fn asked_again(service: &SystemOfRecord, what: &str, count: impl Fn(Asked) -> u32) {
    let before = count(service.asked());
    until(what, 60, async || (count(service.asked()) > before).then_some(())).await;
}

/// What people change in a fetched record is as it was fetched again.
async fn is_put_back(tenant: &TestTenant, id: &str) {
    let cluster = &tenant.cluster;
    let name = record(cluster, id).await.unwrap().metadata.name.unwrap();
    let others: Value = json!({"spec": {"tenants": ["somebody-else"]}});
    let _ = Api::<SorRecord>::all(cluster.client.clone())
        .patch(&name, &PatchParams::default(), &Patch::Merge(&others))
        .await
        .unwrap();
    until("the record is as it was fetched", 60, async || {
        let tenants = serde_json::to_value(&record(cluster, id).await?.spec.tenants).unwrap();
        (tenants == json!([tenant.name])).then_some(())
    })
    .await;
}

/// Nonsense and redirects change nothing; what is not answered for in time does not count, and nothing fails for it.
async fn is_missed_while_it_is_away(service: &SystemOfRecord, tenant: &TestTenant, id: &str) {
    let cluster = &tenant.cluster;
    service.answers(Answers::CutOff);
    asked_again(service, "it answers nonsense", |asked| asked.in_vain).await;
    assert!(record(cluster, id).await.is_some());
    service.answers(Answers::Elsewhere);
    asked_again(service, "it sends elsewhere", |asked| asked.in_vain).await;
    assert_eq!(service.asked().refused, 0, "no redirect is followed");
    service.answers(Answers::Unavailable);
    stands(cluster, id, "Active", false).await;
    says(tenant, "registered", RequestPhase::PendingApproval, "RecordNotVerified").await;
    until("the door lets in nothing that is not answered for", 30, async || {
        let told = ask(tenant, "unverified", id).await;
        ((told.http, told.reason()) == (412, "sor_registration_required")).then_some(())
    })
    .await;
    service.answers(Answers::Well);
    stands(cluster, id, "Active", true).await;
    says(tenant, "registered", RequestPhase::PendingApproval, "PendingApproval").await;
}

/// Somebody else at that address, by the certificate: asked nothing, told no token, believed nothing.
async fn is_told_nothing(stranger: &SystemOfRecord, cluster: &Cluster, id: &str) {
    asked_again(stranger, "it is not trusted", |asked| asked.distrusted).await;
    stays("nothing of it is believed", INTERVAL, async || {
        record(cluster, id).await.is_none()
    })
    .await;
    let heard = stranger.asked();
    assert_eq!((heard.told, heard.refused, heard.in_vain), (0, 0, 0));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_system_of_record_answers_for_counts_and_nothing_else() {
    let capabilities = json!({"quarantineRequest": true, "changeReason": "a test"});
    let tenant = TestTenant::create_with("fetches", json!({"capabilities": capabilities})).await;
    let cluster = tenant.cluster.clone();
    let host = cluster
        .environment
        .get("REGISTRY")
        .rsplit_once(':')
        .unwrap()
        .0
        .to_owned();
    let service = SystemOfRecord::at(&host);
    let (good, halted) = (format!("{}-good", tenant.name), format!("{}-halted", tenant.name));
    let registered = |id: &str, suspended: bool| json!({"id": id, "tenants": [tenant.name], "suspended": suspended});
    let both = vec![registered(&good, false), registered(&halted, true)];
    service.has([both.clone(), vec![json!({"id": "bad", "suspendd": true})]].concat());

    let fetching = Fetching::from(&cluster, &service);
    stands(&cluster, &good, "Active", true).await;
    stands(&cluster, &halted, "Suspended", true).await;
    assert_eq!(
        record(&cluster, "bad").await,
        None,
        "a field that is misspelt is no field"
    );
    assert_eq!(service.asked().refused, 0, "never without the token");
    asked_again(&service, "it is told that nothing has changed", |asked| {
        asked.unmodified
    })
    .await;
    until("the door lets in what is registered", 30, async || {
        (ask(&tenant, "registered", &good).await.http == 201).then_some(())
    })
    .await;
    says(&tenant, "registered", RequestPhase::PendingApproval, "PendingApproval").await;
    let told = ask(&tenant, "halted", &halted).await;
    assert_eq!(
        (told.http, told.reason()),
        (412, "sor_registration_required"),
        "{}",
        told.body
    );

    is_put_back(&tenant, &good).await;
    is_missed_while_it_is_away(&service, &tenant, &good).await;

    // What it has no more is gone, and so is what rested on it.
    service.has(vec![both[1].clone()]);
    until("the record is gone", 60, async || {
        record(&cluster, &good).await.is_none().then_some(())
    })
    .await;
    says(&tenant, "registered", RequestPhase::Failed, "sor_registration_required").await;

    let stranger = SystemOfRecord::at(&host);
    stranger.has(vec![registered(&good, false)]);
    fetching.trusting(&stranger.url, &service.authority);
    is_told_nothing(&stranger, &cluster, &good).await;
}
