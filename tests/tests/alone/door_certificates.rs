//! Certificates of the door change while it is asked all the time, and no request fails: both replicas rolling, a leaf
//! that is renewed, a leaf that has expired where it is kept, an authority that is replaced.
//!
//! Runs alone: it deploys the release with other values, and writes to the Secret of the certificates.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagefactory_tests::door::heard;
use imagefactory_tests::load::Load;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// Requests a second.
const RATE: u32 = 100;
const CLIENTS: u32 = 16;

/// The release with an authority that signs soon after it is trusted; as it was, when this goes.
struct Hasty(Cluster);

impl Hasty {
    fn deploy(&self, arguments: &[&str]) -> Result<(), String> {
        let script = self.0.environment.path("hack/deploy/deploy.sh");
        let output = Command::new(script).args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if output.status.success() {
            Ok(())
        } else {
            Err(said.concat())
        }
    }
}

impl Drop for Hasty {
    fn drop(&mut self) {
        let deployed = self.deploy(&[]);
        assert!(deployed.is_ok() || std::thread::panicking(), "{deployed:?}");
    }
}

/// The Secret of the door's certificates.
struct Kept {
    secrets: Api<Secret>,
    name: String,
    cluster: Cluster,
}

impl Kept {
    fn of(cluster: &Cluster) -> Self {
        Self {
            secrets: Api::namespaced(cluster.client.clone(), &cluster.installation.namespace),
            name: format!("{}-tls", cluster.webhook()),
            cluster: cluster.clone(),
        }
    }

    async fn read(&self) -> BTreeMap<String, String> {
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

/// A leaf of the authority that nobody trusts any more since yesterday.
fn expired(kept: &BTreeMap<String, String>, names: Vec<String>) -> (String, String) {
    let issuer = KeyPair::from_pem(&kept["authority.key"]).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&kept["authority.crt"], issuer).unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    valid(&mut params, -30, -1);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn replicas_roll_and_certificates_change_and_no_request_fails() {
    let tenant = TestTenant::create("certificates").await;
    heard().await;
    let cluster = tenant.cluster.clone();
    let (kept, namespace) = (Kept::of(&cluster), cluster.installation.namespace.clone());
    let load = Load::of(&tenant.client(), &tenant.raw_build("never"), 201, CLIENTS, RATE);
    let hasty = Hasty(cluster.clone());
    hasty
        .deploy(&["--set", "webhook.certificates.settleSeconds=15"])
        .unwrap();
    cluster.restart(&namespace, &cluster.webhook());

    let before = kept.read().await;
    let service = format!("{}.{namespace}.svc", cluster.webhook());
    let (leaf, key) = expired(&before, vec![service.clone(), format!("{service}.cluster.local")]);
    kept.write(json!({"tls.crt": leaf, "tls.key": key})).await;
    let is_renewed = |now: &BTreeMap<String, String>| now["tls.crt"] != leaf && now["tls.crt"] != before["tls.crt"];
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
    let asked = load.end().await;
    let first = &asked.failed[..asked.failed.len().min(5)];
    assert!(first.is_empty(), "{} failed, as in {first:#?}", asked.failed.len());
    assert!(asked.well > 500, "{} requests are no load", asked.well);
}
