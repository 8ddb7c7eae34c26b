//! An expired certificate, served by every webhook: what is asked meanwhile is refused, whatever it is, and once the
//! certificate is renewed all is as before.
//!
//! Runs alone: while it runs, nobody can write one of our kinds.

use imagefactory_crds::{Build, Project, TenantSettings};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::door::{Raw, Told, confirmed, heard, path};
use imagefactory_tests::tenant::PROJECT;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::door_certificates::{Kept, leaf};

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
        self.cluster.delete_secret(&self.secret);
    }
}

/// What is asked while nobody may be let in: the one tenant may not build, the other may everything of it.
fn attempts(refused: &TestTenant, entitled: &TestTenant) -> Vec<Raw> {
    let (project, named) = (
        entitled.path("projects", PROJECT),
        json!({"spec": {"displayName": "Named"}}),
    );
    let suspended = json!({"spec": {"suspended": true}});
    vec![
        refused.raw_build("never"),
        entitled.raw_build("never"),
        Raw::change(project.clone(), named.clone()),
        Raw::delete(project),
        Raw::change(entitled.path("tenantsettings", "settings"), named),
        Raw::change(path(None, "tenants", &entitled.name), suspended),
    ]
}

async fn nothing_came_of_it(refused: &TestTenant, entitled: &TestTenant) {
    for tenant in [refused, entitled] {
        let builds = tenant.api::<Build>().list(&ListParams::default()).await.unwrap();
        assert!(
            builds.items.is_empty() && tenant.pods().await.is_empty(),
            "something was let in"
        );
    }
    let project = entitled.api::<Project>().get(PROJECT).await.unwrap();
    assert!(
        project.metadata.deletion_timestamp.is_none() && project.spec.display_name.is_none(),
        "{project:?}"
    );
    let settings = entitled.api::<TenantSettings>().get("settings").await.unwrap();
    assert!(settings.spec.display_name.is_none(), "{settings:?}");
    assert!(!entitled.read().await.spec.suspended);
}

/// The answer of whichever replica is asked: one may renew its certificate before the other does.
async fn answered(what: &Raw, client: &Client, dry_run: bool) -> Told {
    until("the door answers again", 60, async || {
        let told = what.send(client, dry_run).await;
        (told.http < 500).then_some(told)
    })
    .await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn while_an_expired_certificate_is_served_nothing_is_let_in_and_once_it_is_renewed_all_is_as_before() {
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let refused = TestTenant::create_with("c-refused", off).await;
    let entitled = TestTenant::create_with("c-entitled", json!({"quota": {"pods": 0}})).await;
    let client = entitled.client();
    // Nothing but the certificate stands between its deletion and the door.
    let is_confirmed = Raw::change(entitled.path("projects", PROJECT), confirmed(PROJECT));
    assert_eq!(is_confirmed.send(&client, false).await.http, 200);
    heard().await;
    let kept = Kept::of(&entitled.cluster);
    let authority = kept.read().await;
    let by_files = ByFiles::with(&kept, leaf(&authority, &entitled.cluster, -30, -1)).await;
    by_files.stand_alone().await;
    for what in attempts(&refused, &entitled) {
        let told = what.send(&client, false).await;
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
    nothing_came_of_it(&refused, &entitled).await;

    by_files.renew(leaf(&authority, &entitled.cluster, -1, 30)).await;
    let told = answered(&refused.raw_build("never"), &client, false).await;
    assert_eq!(
        (told.http, told.reason()),
        (403, "tenant_capability_not_entitled"),
        "{}",
        told.body
    );
    // A build would begin.
    let told = answered(&entitled.raw_build("never"), &client, true).await;
    assert_eq!(told.http, 201, "{}", told.body);
    for what in attempts(&refused, &entitled).into_iter().skip(2) {
        let told = answered(&what, &client, false).await;
        assert_eq!(told.http, 200, "{what:?}: {}", told.body);
    }
    refused.denials_are("tenant_capability_not_entitled", 1).await;
    drop(by_files);
    entitled.cluster.until_door_stands();
}
