//! The role as a whole, against an API server that answers as told, in simulated time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imagefactory_crds::Tenant;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::testing::{Server, failure, object, server, settings};

const ONE: &str = r#"{"auths":{"r.io":{"auth":"b25l"}}}"#;
const TWO: &str = r#"{"auths":{"r.io":{"auth":"dHdv"}}}"#;
const CREATE: &str = "POST /api/v1/namespaces/tenant-acme/secrets";
const PATCH: &str = "PATCH /api/v1/namespaces/tenant-acme/secrets/imagefactory-staging";
const TOKEN: &str = "POST /api/v1/namespaces/image-factory-work/secrets";
const LONG: Duration = Duration::from_secs(3000);

struct World {
    source: TempDir,
    tenants: Hub<Tenant>,
    ready: Gates,
    api: Server,
    task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn world(files: &[(&str, &str)]) -> World {
    let (client, api) = server();
    let (source, tenants, ready) = (tempfile::tempdir().unwrap(), Hub::<Tenant>::default(), Gates::default());
    for (name, text) in files {
        write(source.path(), name, text);
    }
    let role = Role {
        settings: Arc::new(settings()),
        client,
        metrics: Arc::default(),
        ready: ready.clone(),
        alive: Gates::default(),
        stop: tokio_util::sync::CancellationToken::new(),
    };
    let problems = Problems::default();
    problems.show_in(&ready);
    let worker = Worker {
        role,
        source: source.path().to_owned(),
        tenants: tenants.clone(),
        problems,
        ledger: Ledger::default(),
        began: Instant::now(),
    };
    World {
        source,
        tenants,
        ready,
        api,
        task: tokio::spawn(worker.go_on()),
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

fn tenant(namespace: Option<&str>) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "resourceVersion": "1"}, "spec": {"owners": []},
        "status": {"observedGeneration": 1, "namespace": namespace},
    })
}

impl World {
    fn list(&self, tenants: impl IntoIterator<Item = Value>) {
        self.tenants.take(Event::Init);
        for tenant in tenants {
            self.tenants.take(Event::InitApply(object(tenant)));
        }
        self.tenants.take(Event::InitDone);
    }

    async fn token_exists(&mut self) {
        self.api.expect(TOKEN).await.fail(409, "AlreadyExists", "is there");
    }
}

fn content(secret: &Value) -> &Value {
    &secret["data"][".dockerconfigjson"]
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_a_namespace_gets_its_credential_once() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(Some("tenant-acme"))]);
    let asked = world.api.expect(CREATE).await;
    assert_eq!(content(&asked.body), "eyJhdXRocyI6eyJyLmlvIjp7ImF1dGgiOiJiMjVsIn19fQ==");
    assert_eq!(
        asked.body["metadata"],
        json!({
            "name": "imagefactory-staging", "namespace": "tenant-acme",
            "labels": {"app.kubernetes.io/managed-by": "image-factory", "imagefactory.dev/tenant": "acme"},
        })
    );
    assert_eq!(asked.body["type"], "kubernetes.io/dockerconfigjson");
    asked.echo();
    world.tenants.take(Event::Apply(object(tenant(Some("tenant-acme")))));
    assert!(world.api.is_quiet_for(LONG).await, "what is right is left alone");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_there_is_patched_and_never_read() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(Some("tenant-acme"))]);
    world.api.expect(CREATE).await.fail(409, "AlreadyExists", "is there");
    let asked = world.api.expect(PATCH).await;
    assert!(
        asked.query.contains("fieldManager=imagefactory.dev%2Fcredentials"),
        "{}",
        asked.query
    );
    asked.echo();
    assert!(world.api.is_quiet_for(LONG).await);
}

#[tokio::test(start_paused = true)]
async fn another_content_is_patched_within_seconds() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(Some("tenant-acme"))]);
    world.api.expect(CREATE).await.echo();
    write(world.source.path(), "acme.json", TWO);
    let changed = Instant::now();
    let asked = world.api.expect(PATCH).await;
    assert_eq!(content(&asked.body), "eyJhdXRocyI6eyJyLmlvIjp7ImF1dGgiOiJkSGR2In19fQ==");
    assert!(changed.elapsed() <= PERIOD);
    asked.echo();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_without_its_namespace_gets_nothing_until_it_has_one() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(None)]);
    assert!(world.api.is_quiet_for(Duration::from_secs(100)).await);
    world.tenants.take(Event::Apply(object(tenant(Some("elsewhere")))));
    assert!(
        world.api.is_quiet_for(Duration::from_secs(100)).await,
        "a status does not point elsewhere"
    );
    world.tenants.take(Event::Apply(object(tenant(Some("tenant-acme")))));
    let touched = Instant::now();
    world.api.expect(CREATE).await.echo();
    assert_eq!(touched.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_there_yet_is_tried_again_later() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(Some("tenant-acme"))]);
    for _ in 0..3 {
        world
            .api
            .expect(CREATE)
            .await
            .fail(404, "NotFound", "namespaces \"tenant-acme\" not found");
    }
    world.api.expect(CREATE).await.echo();
    assert!(world.api.is_quiet_for(LONG).await);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_read_takes_nothing_away_and_is_told() {
    let mut world = world(&[("acme.json", ONE)]);
    world.token_exists().await;
    world.list([tenant(Some("tenant-acme"))]);
    world.api.expect(CREATE).await.echo();
    std::fs::remove_dir_all(world.source.path()).unwrap();
    assert!(world.api.is_quiet_for(Duration::from_secs(60)).await);
    let waits: Vec<_> = world
        .ready
        .states()
        .into_iter()
        .filter(|gate| gate.waits_for.is_some())
        .collect();
    assert_eq!(waits.iter().map(|gate| gate.name).collect::<Vec<_>>(), ["source"]);
}

#[tokio::test(start_paused = true)]
async fn the_scanners_token_is_random_and_made_without_a_read() {
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut world = world(&[]);
        let asked = world.api.expect(TOKEN).await;
        assert_eq!(asked.body["metadata"]["name"], "imagefactory-trivy-token");
        tokens.push(asked.body["data"]["token"].as_str().unwrap().to_owned());
        asked.echo();
        assert!(world.api.is_quiet_for(LONG).await);
    }
    assert_ne!(tokens[0], tokens[1]);
    assert!(
        tokens.iter().all(|token| token.len() >= 56),
        "256 bits, in text, in base64"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_can_not_be_made_is_tried_again_and_told() {
    let mut world = world(&[]);
    world
        .api
        .expect(TOKEN)
        .await
        .answer(403, &failure(403, "Forbidden", "secrets is forbidden"));
    let asked = world.api.expect(TOKEN).await;
    let gate = world
        .ready
        .states()
        .into_iter()
        .find(|gate| gate.name == "scanner-token")
        .unwrap();
    assert!(gate.waits_for.unwrap().contains("secrets is forbidden"));
    asked.echo();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        world
            .ready
            .states()
            .iter()
            .all(|gate| gate.name != "scanner-token" || gate.waits_for.is_none())
    );
}
