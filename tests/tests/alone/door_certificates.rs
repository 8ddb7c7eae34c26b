//! Certificates of the door change while it is asked all the time, and no request fails: both replicas rolling, a leaf
//! that is renewed, a leaf that has expired where it is kept, an authority that is replaced.
//!
//! Runs alone: it deploys the release with other values, and writes to the Secret of the certificates.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagefactory_tests::door::{Raw, heard};
use imagefactory_tests::load::{Ask, Load};
use imagefactory_tests::operator::Deployed;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// Requests a second, where the machine has the time: how many it were is told and not asserted.
const RATE: u32 = 200;
/// Fewer in all would be no load.
const ENOUGH: u64 = 5_000;
/// Of so many one is a refusal that is on record and one a change that is made; the others are dry runs.
const OF_ALL: usize = 20;
/// Projects that are changed.
const RENAMED: u64 = 32;
const CODE: &str = "tenant_capability_not_entitled";

/// The Secret of the door's certificates.
pub(crate) struct Kept {
    pub(crate) secrets: Api<Secret>,
    name: String,
    pub(crate) cluster: Cluster,
}

impl Kept {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self {
            secrets: Api::namespaced(cluster.client.clone(), &cluster.installation.namespace),
            name: format!("{}-tls", cluster.webhook()),
            cluster: cluster.clone(),
        }
    }

    pub(crate) async fn read(&self) -> BTreeMap<String, String> {
        let data = self.secrets.get(&self.name).await.unwrap().data.unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        data.into_iter().map(|(key, bytes)| (key, text(bytes.0))).collect()
    }

    async fn write(&self, data: Value) {
        let change = Patch::Merge(json!({ "stringData": data }));
        self.secrets
            .patch(&self.name, &PatchParams::default(), &change)
            .await
            .unwrap();
        self.look().await;
    }

    /// Has the webhooks look at their certificates now, not within a minute: they do when a configuration changes.
    async fn look(&self) {
        let moment = format!("imagefactory-tests/looked={}", jiff::Timestamp::now().as_second());
        for configuration in self.cluster.configurations() {
            let _ = self
                .cluster
                .kubectl()
                .run(&["annotate", "--overwrite", &configuration, &moment])
                .expect_ok();
        }
    }

    async fn becomes(&self, what: &str, seconds: u64, is_it: impl Fn(&BTreeMap<String, String>) -> bool) {
        until(what, seconds, async || {
            self.look().await;
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            is_it(&self.read().await).then_some(())
        })
        .await;
    }
}

/// Days from today, as year, month and day.
fn days(from_today: i64) -> (i32, u8, u8) {
    let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * from_today);
    let date = day.to_zoned(jiff::tz::TimeZone::UTC).date();
    (
        date.year().into(),
        date.month().unsigned_abs(),
        date.day().unsigned_abs(),
    )
}

fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let moment = |day: (i32, u8, u8)| rcgen::date_time_ymd(day.0, day.1, day.2);
    (params.not_before, params.not_after) = (moment(days(from)), moment(days(until)));
}

/// The same authority, by name and key, most of whose life is over.
fn aged(kept: &BTreeMap<String, String>) -> String {
    let key = KeyPair::from_pem(&kept["authority.key"]).unwrap();
    let mut params = CertificateParams::default();
    valid(&mut params, -80, 10);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name(&kept["authority.crt"]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(&key).unwrap().pem()
}

fn common_name(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).unwrap();
    let begin = b"Image Factory webhook ";
    let at = der.windows(begin.len()).position(|window| window == begin).unwrap();
    // Its length stands before it.
    let length = usize::from(der[at - 1]);
    String::from_utf8(der[at..at + length].to_vec()).unwrap()
}

/// A leaf of the authority for the webhook's Service, with its key: from and until so many days from today.
pub(crate) fn leaf(kept: &BTreeMap<String, String>, cluster: &Cluster, from: i64, until: i64) -> (String, String) {
    let service = format!("{}.{}.svc", cluster.webhook(), cluster.installation.namespace);
    let issuer = KeyPair::from_pem(&kept["authority.key"]).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&kept["authority.crt"], issuer).unwrap();
    let names = vec![service.clone(), format!("{service}.cluster.local")];
    let mut params = CertificateParams::new(names).unwrap();
    valid(&mut params, from, until);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

/// What is asked for all the time, in a tenant with a project that may not build and some that are renamed.
fn asks(tenant: &TestTenant) -> Vec<Ask> {
    let (builds, projects) = (tenant.path("builds", ""), tenant.path("projects", "renamed"));
    let closed = tenant.raw_build("closed").body;
    let refused = Ask::real(403, move |number| {
        let mut body = closed.clone();
        body["metadata"]["name"] = json!(format!("closed-{number}"));
        body["spec"]["projectRef"]["name"] = json!("closed");
        Raw::create(builds.clone(), body)
    });
    let changed = Ask::real(200, move |number| {
        // Changes of one object at a time would have to wait for one another.
        let which = number / u64::try_from(OF_ALL).unwrap() % RENAMED;
        let name = json!({"spec": {"displayName": format!("Number {number}")}});
        Raw::change(format!("{projects}-{which}"), name)
    });
    let dry = (2..OF_ALL).map(|_| Ask::dry(201, tenant.raw_build("never")));
    dry.chain([refused, changed]).collect()
}

/// None failed of many, and each that was refused is counted once.
async fn none_failed(load: Load, tenant: &TestTenant) {
    let asked = load.end();
    let first = &asked.failed[..asked.failed.len().min(5)];
    assert!(first.is_empty(), "{} failed, as in {first:#?}", asked.failed.len());
    assert!(asked.sent() >= ENOUGH, "{} are no load", asked.sent());
    let refused = usize::try_from(asked.well[&403]).unwrap();
    let counted = until("each refusal is counted", 60, async || {
        let counted = tenant.denials_counted().remove(CODE)?;
        (counted >= refused).then_some(counted)
    })
    .await;
    assert_eq!(counted, refused, "each is counted once");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn replicas_roll_and_certificates_change_and_no_request_fails() {
    let tenant = TestTenant::create("certificates").await;
    tenant
        .project("closed", json!({"capabilities": {"build": false}}))
        .await;
    for number in 0..RENAMED {
        tenant.project(&format!("renamed-{number}"), json!({})).await;
    }
    heard().await;
    let cluster = tenant.cluster.clone();
    let (kept, namespace) = (Kept::of(&cluster), cluster.installation.namespace.clone());
    let load = Load::begin(&cluster, RATE, asks(&tenant));
    // An authority that signs soon after it is trusted.
    let hasty = Deployed::with(&cluster, &["--set", "webhook.certificates.settleSeconds=15"]);
    cluster.restart(&namespace, &cluster.webhook());

    let before = kept.read().await;
    let (old, key) = leaf(&before, &cluster, -30, -1);
    kept.write(json!({"tls.crt": old, "tls.key": key})).await;
    let is_renewed = |now: &BTreeMap<String, String>| now["tls.crt"] != old && now["tls.crt"] != before["tls.crt"];
    kept.becomes("the expired leaf is renewed", 90, is_renewed).await;

    let renewed = kept.read().await;
    assert_eq!(
        renewed["authority.crt"], before["authority.crt"],
        "by the same authority"
    );
    kept.write(json!({"authority.crt": aged(&renewed)})).await;
    let signs = |now: &BTreeMap<String, String>| now["authority.key"] != before["authority.key"];
    kept.becomes("another authority signs", 180, signs).await;
    let follows = |now: &BTreeMap<String, String>| {
        !now.contains_key("previous.crt") && now["ca.crt"].matches("BEGIN CERTIFICATE").count() == 1
    };
    kept.becomes("the authority before is forgotten", 180, follows).await;
    cluster.restart(&namespace, &cluster.webhook());
    drop(hasty);
    none_failed(load, &tenant).await;
}
