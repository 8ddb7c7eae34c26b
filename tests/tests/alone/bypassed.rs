//! The webhook's configurations deleted and its process away: what a tenant is not entitled to still starts no pod, is
//! refused with its code in the condition, and is in the audit, each once, also when the operator dies meanwhile.
//!
//! Runs alone: it takes the door away for a while. `IMAGEFACTORY_BYPASSED` says how many Builds; `make soak` sets 1,000.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use imagefactory_crds::conditions::{SUCCEEDED, find};
use imagefactory_crds::{Build, Tenant};
use imagefactory_tests::busy::{figure, times};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::operator::Deployed;
use imagefactory_tests::tenant::{PROJECT, typed};
use imagefactory_tests::wait::{stays, until};
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const CODE: &str = "tenant_capability_not_entitled";
const ON: [&str; 4] = ["--set", "webhook.enabled=true", "--set", "audit.enabled=true"];

/// The release with webhook and audit; as it was deployed before when this is dropped, whatever was taken away meanwhile.
struct Door {
    cluster: Cluster,
    // Helm puts back what it made: the configurations, and the webhook's replicas.
    _release: Deployed,
}

impl Door {
    async fn open() -> Self {
        let cluster = Cluster::connect().await;
        let release = Deployed::with(&cluster, &ON);
        Self {
            cluster,
            _release: release,
        }
    }

    fn webhook(&self) -> String {
        format!("{}-webhook", self.cluster.installation.prefix())
    }

    /// Scales the webhook, and waits until it is so.
    async fn scale(&self, replicas: u32) {
        let (namespace, name) = (&self.cluster.installation.namespace, self.webhook());
        let (resource, count) = (format!("deploy/{name}"), format!("--replicas={replicas}"));
        let _ = self
            .cluster
            .kubectl()
            .run(&["scale", &resource, "-n", namespace, &count])
            .expect_ok();
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let selector = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=webhook";
        until("the webhook is scaled", 120, async || {
            let found = pods.list(&ListParams::default().labels(selector)).await.ok()?.items;
            (found.len() == replicas as usize && found.iter().all(is_ready)).then_some(())
        })
        .await;
    }

    /// Nobody is at the door, and nobody puts it back.
    async fn take_away(&self) {
        self.scale(0).await;
        let (client, name) = (self.cluster.client.clone(), self.webhook());
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(client);
        validating.delete(&name, &DeleteParams::default()).await.unwrap();
        mutating.delete(&name, &DeleteParams::default()).await.unwrap();
    }

    /// What the audit has of that kind about a tenant, all pages.
    fn entries(&self, tenant: &str, kind: &str) -> Vec<Value> {
        let installation = &self.cluster.installation;
        let deployment = format!("deploy/{}-audit", installation.prefix());
        let exec = ["exec", "-n", &installation.namespace, &deployment, "--", "/operator"];
        let list = ["audit", "list", "-o", "json", "--limit", "500"];
        let mut entries: Vec<Value> = Vec::new();
        loop {
            let before = entries.last().map_or(i64::MAX, |entry| entry["seq"].as_i64().unwrap());
            let before = before.to_string();
            let which = ["--tenant", tenant, "--kind", kind, "--before", &before];
            let command = [&exec[..], &list, &which].concat();
            let said = self.cluster.kubectl().run(&command).expect_ok();
            let page: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if page.is_empty() {
                return entries;
            }
            entries.extend(page);
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn create(tenant: &TestTenant, name: String) -> Result<Build, kube::Error> {
    let build = json!({
        "metadata": {"name": name}, "spec": {"projectRef": {"name": PROJECT}, "source": quick()},
    });
    tenant.api().create(&PostParams::default(), &typed(build)).await
}

/// Reason of the end of each Build.
async fn ends(tenant: &TestTenant) -> BTreeMap<String, String> {
    let builds = tenant.api::<Build>().list(&ListParams::default()).await.unwrap();
    let ended = builds.items.into_iter().filter_map(|build| {
        let status = build.status.as_ref()?;
        let succeeded = find(&status.conditions, SUCCEEDED).filter(|succeeded| succeeded.status == "False")?;
        Some((build.name_any(), succeeded.reason.clone()))
    });
    ended.collect()
}

/// How often each name is told of, with codes that are not the one.
fn told(entries: &[Value]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for entry in entries {
        let event = &entry["event"];
        assert_eq!(
            (&event["code"], &event["resource"]["kind"]),
            (&json!(CODE), &json!("Build"))
        );
        assert_eq!(event.get("count").and_then(Value::as_u64).unwrap_or(1), 1);
        let name = event["resource"]["name"].as_str().unwrap();
        *told.entry(name.to_owned()).or_default() += 1;
    }
    told
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_comes_past_a_webhook_that_is_gone_starts_no_pod_and_is_on_record_once() {
    let count = times("IMAGEFACTORY_BYPASSED", 100) as usize;
    let door = Door::open().await;
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("bypassed", off).await;
    let log = door.cluster.audit();
    assert!(create(&tenant, "at-the-door".to_owned()).await.is_err());
    door.take_away().await;

    let began = std::time::Instant::now();
    let names = (0..count).map(|number| format!("past-{number}"));
    let made = stream::iter(names.map(|name| create(&tenant, name))).buffer_unordered(8);
    let made: Vec<_> = made.collect().await;
    assert!(
        made.iter().all(Result::is_ok),
        "{:?}",
        made.iter().find(|made| made.is_err())
    );
    // Somewhere in the middle of it the operator that acts dies.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let leader = door.cluster.leader().await;
    door.cluster.kill_operator_pod(&leader);

    until("each of them is refused", 300, async || {
        (ends(&tenant).await.len() == count).then_some(())
    })
    .await;
    let reasons: Vec<String> = ends(&tenant).await.into_values().collect();
    assert!(reasons.iter().all(|reason| reason == CODE), "{reasons:?}");
    // And the one that was refused at the door.
    until("each of them is in the audit", 120, async || {
        (told(&door.entries(&tenant.name, "denial")).len() == count + 1).then_some(())
    })
    .await;
    figure(&format!(
        "{count} Builds past the door refused and on record in {:?}",
        began.elapsed()
    ));
    let again = door.cluster.leader().await;
    door.cluster.kill_operator_pod(&again);
    stays("each once", 15, async || {
        let told = told(&door.entries(&tenant.name, "denial"));
        told.len() == count + 1 && told.values().all(|times| *times == 1)
    })
    .await;
    assert!(tenant.pods().await.is_empty(), "not one pod");
    let pods = log.events().into_iter().filter(|event| {
        event.verb == "create"
            && event.resource() == "pods"
            && event.namespace() == tenant.namespace
            && event.succeeded()
    });
    assert_eq!(pods.count(), 0, "nor was there ever one");
    let began = door.entries(&tenant.name, "transition");
    let dispatched = began.iter().filter(|entry| entry["event"]["action"] == "Preparing");
    assert_eq!(dispatched.count(), 0, "nothing was dispatched");
    back(&door, &tenant).await;
}

/// The webhook comes back, and with it its configurations.
async fn back(door: &Door, tenant: &TestTenant) {
    door.scale(2).await;
    let error = until("the door is shut again", 60, async || {
        create(tenant, imagefactory_tests::cluster::unique("back")).await.err()
    })
    .await;
    let kube::Error::Api(status) = error else {
        panic!("no answer: {error}")
    };
    assert_eq!(status.reason, CODE);
    // What the operator sees of configuration confirms what the webhook recorded.
    let patch = json!({"spec": {"capabilities": {"build": true, "changeReason": "a test, later"}}});
    let changed: Tenant = tenant.patch(patch).await;
    let generation = changed.metadata.generation.unwrap();
    let id = format!("{}-seen-{generation}", changed.metadata.uid.unwrap());
    until(
        "the change is seen, and the attempt confirmed by that",
        60,
        async || {
            let seen = door.entries(&tenant.name, "confirmation");
            let attempts = door.entries(&tenant.name, "attempt");
            let confirmed = attempts.iter().any(|entry| {
                let event = &entry["event"];
                event["resource"]["kind"] == "Tenant" && event["action"] == "update" && entry["outcome"] == "confirmed"
            });
            (confirmed && seen.iter().any(|entry| entry["event"]["id"] == json!(id))).then_some(())
        },
    )
    .await;
}
