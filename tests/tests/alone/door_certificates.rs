//! Certificates of the door change while it is asked all the time, and no request fails: both replicas rolling, a leaf
//! that is renewed, a leaf that has expired where it is kept, an authority that is replaced. And where an expired leaf is
//! served, nothing is let in until it is renewed.
//!
//! Runs alone: it deploys the release with other values, and writes to the Secret of the certificates.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagefactory_crds::{Build, Project};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::door::{Raw, confirmed, heard, path};
use imagefactory_tests::load::{Ask, Load};
use imagefactory_tests::tenant::PROJECT;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// Requests a second. Of twenty one is a refusal that is on record and one a change that is made; the others are dry runs.
const RATE: u32 = 200;
const DRY: usize = 18;
const CODE: &str = "tenant_capability_not_entitled";

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

/// A leaf of the authority for the webhook's Service, with its key: from and until so many days from today.
fn leaf(kept: &BTreeMap<String, String>, cluster: &Cluster, from: i64, until: i64) -> (String, String) {
    let service = format!("{}.{}.svc", cluster.webhook(), cluster.installation.namespace);
    let issuer = KeyPair::from_pem(&kept["authority.key"]).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&kept["authority.crt"], issuer).unwrap();
    let names = vec![service.clone(), format!("{service}.cluster.local")];
    let mut params = CertificateParams::new(names).unwrap();
    valid(&mut params, from, until);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

/// What is asked for all the time, in a tenant with a project that may not build.
fn asks(tenant: &TestTenant) -> Vec<Ask> {
    let (builds, project) = (tenant.path("builds", ""), tenant.path("projects", PROJECT));
    let closed = tenant.raw_build("closed").body;
    let refused = Ask::real(403, move |number| {
        let mut body = closed.clone();
        body["metadata"]["name"] = json!(format!("closed-{number}"));
        body["spec"]["projectRef"]["name"] = json!("closed");
        Raw::create(builds.clone(), body)
    });
    let changed = Ask::real(200, move |number| {
        let name = json!({"spec": {"displayName": format!("Renamed {number} times")}});
        Raw::change(project.clone(), name)
    });
    let dry = (0..DRY).map(|_| Ask::dry(201, tenant.raw_build("never")));
    dry.chain([refused, changed]).collect()
}

/// None failed, as many were sent as should have been, and each that was refused is counted once.
async fn none_failed(load: Load, tenant: &TestTenant) {
    let asked = load.end();
    let first = &asked.failed[..asked.failed.len().min(5)];
    assert!(first.is_empty(), "{} failed, as in {first:#?}", asked.failed.len());
    assert!(
        asked.rate() >= 0.9 * f64::from(RATE),
        "{:.1} a second are no load",
        asked.rate()
    );
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
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("certificates").await;
    tenant
        .project("closed", json!({"capabilities": {"build": false}}))
        .await;
    heard().await;
    let cluster = tenant.cluster.clone();
    let (kept, namespace) = (Kept::of(&cluster), cluster.installation.namespace.clone());
    let load = Load::begin(&cluster, RATE, asks(&tenant));
    let hasty = Hasty(cluster.clone());
    hasty
        .deploy(&["--set", "webhook.certificates.settleSeconds=15"])
        .unwrap();
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

const PODS: &str = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=webhook";
const FOLDER: &str = "/var/run/image-factory/certificates";

/// Webhooks that serve the certificate of a Secret of ours and make none, as where somebody else looks after that. As they
/// were, when this goes.
struct ByFiles {
    cluster: Cluster,
    secrets: Api<Secret>,
    secret: String,
    template: Value,
}

impl ByFiles {
    async fn with(kept: &Kept, (leaf, key): (String, String)) -> Self {
        let (cluster, secret) = (kept.cluster.clone(), unique("by-files"));
        // By the same authority they go on telling the audit.
        let data = json!({"tls.crt": leaf, "tls.key": key, "ca.crt": kept.read().await["ca.crt"]});
        let object = serde_json::from_value(json!({"metadata": {"name": secret}, "stringData": data})).unwrap();
        kept.secrets.create(&PostParams::default(), &object).await.unwrap();
        let deployment = format!("deployment/{}", cluster.webhook());
        let get = ["get", &deployment, "-n", &cluster.installation.namespace, "-o", "json"];
        let deployed: Value = serde_json::from_str(&cluster.kubectl().run(&get).expect_ok()).unwrap();
        let by_files = Self {
            secrets: kept.secrets.clone(),
            template: deployed["spec"]["template"].clone(),
            cluster,
            secret,
        };
        let changed = by_files.changed();
        by_files.roll(&changed);
        by_files
    }

    fn changed(&self) -> Value {
        let mut changed = self.template.clone();
        let spec = &mut changed["spec"];
        let volume = json!({"name": "certificates", "secret": {"secretName": self.secret}});
        spec["volumes"].as_array_mut().unwrap().push(volume);
        let container = &mut spec["containers"][0];
        let mount = json!({"name": "certificates", "mountPath": FOLDER, "readOnly": true});
        container["volumeMounts"].as_array_mut().unwrap().push(mount);
        let arguments = container["args"].as_array_mut().unwrap();
        for argument in arguments
            .iter_mut()
            .filter(|argument| **argument == "--certificates=self")
        {
            *argument = json!("--certificates=files");
        }
        arguments.push(json!(format!("--audit-ca={FOLDER}/ca.crt")));
        changed
    }

    fn roll(&self, template: &Value) {
        let (namespace, deployment) = (&self.cluster.installation.namespace, self.cluster.webhook());
        let change = json!([{"op": "replace", "path": "/spec/template", "value": template}]).to_string();
        let which = format!("deployment/{deployment}");
        let patch = ["patch", &which, "-n", namespace, "--type=json", "-p", &change];
        let answer = self.cluster.kubectl().run(&patch);
        assert!(answer.ok || std::thread::panicking(), "{}", answer.stderr);
        let rolled_out = ["rollout", "status", "-n", namespace, &which, "--timeout=180s"];
        let answer = self.cluster.kubectl().run(&rolled_out);
        assert!(answer.ok || std::thread::panicking(), "{}", answer.stderr);
    }

    /// Waits until no other webhook is left, not even one that ends.
    async fn stand_alone(&self) {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &self.cluster.installation.namespace);
        until("the webhooks before are gone", 60, async || {
            let pods = pods.list(&ListParams::default().labels(PODS)).await.ok()?.items;
            let is_ours = |pod: &Pod| {
                let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
                volumes.is_some_and(|volumes| volumes.iter().any(|volume| volume.name == "certificates"))
            };
            pods.iter().all(is_ours).then_some(())
        })
        .await;
    }

    async fn renew(&self, (leaf, key): (String, String)) {
        let change = Patch::Merge(json!({"stringData": {"tls.crt": leaf, "tls.key": key}}));
        self.secrets
            .patch(&self.secret, &PatchParams::default(), &change)
            .await
            .unwrap();
        // The kubelet looks at a pod that changes now, not within a minute.
        let annotate = [
            "annotate",
            "pod",
            "-n",
            &self.cluster.installation.namespace,
            "-l",
            PODS,
        ];
        let moment = ["--overwrite", "imagefactory-tests/renewed=now"];
        let _ = self
            .cluster
            .kubectl()
            .run(&[&annotate[..], &moment].concat())
            .expect_ok();
    }
}

impl Drop for ByFiles {
    fn drop(&mut self) {
        self.roll(&self.template);
        let delete = [
            "delete",
            "secret",
            &self.secret,
            "-n",
            &self.cluster.installation.namespace,
        ];
        let _ = self.cluster.kubectl().run(&delete);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn while_an_expired_certificate_is_served_nothing_is_let_in_and_once_it_is_renewed_all_is_as_before() {
    let _alone = crate::ALONE.lock().await;
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let refused = TestTenant::create_with("c-refused", off).await;
    let entitled = TestTenant::create_with("c-entitled", json!({"quota": {"pods": 0}})).await;
    let project = entitled.path("projects", PROJECT);
    let named = Raw::change(project.clone(), json!({"spec": {"displayName": "Named"}}));
    let is_confirmed = Raw::change(project.clone(), confirmed(PROJECT));
    assert_eq!(is_confirmed.send(&entitled.client(), false).await.http, 200);
    let attempts = [
        refused.raw_build("never"),
        entitled.raw_build("never"),
        named.clone(),
        Raw::delete(project),
        Raw::change(
            path(None, "tenants", &entitled.name),
            json!({"spec": {"suspended": true}}),
        ),
        Raw::change(
            entitled.path("tenantsettings", "settings"),
            json!({"spec": {"displayName": "Named"}}),
        ),
    ];
    let kept = Kept::of(&entitled.cluster);
    let authority = kept.read().await;
    let by_files = ByFiles::with(&kept, leaf(&authority, &entitled.cluster, -30, -1)).await;
    by_files.stand_alone().await;
    for what in &attempts {
        let told = what.send(&entitled.client(), false).await;
        assert_eq!(
            (told.http, told.reason()),
            (500, "InternalError"),
            "{what:?}: {}",
            told.body
        );
        for words in ["failed calling webhook", "certificate has expired"] {
            assert!(told.message().contains(words), "{words} is not in {}", told.body);
        }
    }
    for tenant in [&refused, &entitled] {
        let builds = tenant.api::<Build>().list(&ListParams::default()).await.unwrap();
        assert!(
            builds.items.is_empty() && tenant.pods().await.is_empty(),
            "something was let in"
        );
    }
    let still = entitled.api::<Project>().get(PROJECT).await.unwrap();
    assert!(
        still.metadata.deletion_timestamp.is_none() && still.spec.display_name.is_none(),
        "{still:?}"
    );
    assert!(!entitled.read().await.spec.suspended);

    by_files.renew(leaf(&authority, &entitled.cluster, -1, 30)).await;
    until("the door answers again", 60, async || {
        let told = entitled.raw_build("later").send(&entitled.client(), true).await;
        (told.http == 201).then_some(())
    })
    .await;
    // One of two may have been quicker than the other.
    for (what, http) in [(refused.raw_build("never"), 403), (named, 200)] {
        let told = until("every replica answers", 60, async || {
            let told = what.send(&entitled.client(), false).await;
            (told.http < 500).then_some(told)
        });
        let told = told.await;
        assert_eq!(told.http, http, "{}", told.body);
    }
    refused.denials_are(CODE, 1).await;
    drop(by_files);
    entitled.cluster.until_door_stands();
}
