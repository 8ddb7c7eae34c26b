//! The webhook's and the audit's real programs, killed at any moment while people are refused through a real API server.
//! Each refusal that was answered is on record once; one that was not answered is there at most once. And the programs of
//! webhook and operator cut off from their API server ([`cut`], [`cut_leader`]), and the audit without its database ([`database`]).
//!
//! `IMAGEFACTORY_KILLS` says how often (20 in `make test`, 200 in `make soak`), `IMAGEFACTORY_WEBHOOK` where the webhook's
//! program is; by default it is looked for beside the operator's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says why it ends"
)]

mod asking;
mod cut;
mod cut_leader;
mod database;
mod line;
mod listed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use imagefactory_rig::control_plane::{ControlPlane, Parts};
use imagefactory_rig::door::{Door, Programs, namespace};
use imagefactory_rig::process::Process;
use imagefactory_rig::setup;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use asking::{Asking, Tally, Who};

/// Held by each test, however many threads they are run with: they wait for what has to be done within seconds.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How long what was spooled or counted may take to become entries: a window of folding is a minute.
const PATIENCE: Duration = Duration::from_secs(150);

fn programs() -> Programs {
    let operator = PathBuf::from(env!("CARGO_BIN_EXE_operator"));
    let beside = operator.with_file_name("webhook");
    let webhook = std::env::var_os("IMAGEFACTORY_WEBHOOK").map_or(beside, PathBuf::from);
    assert!(
        webhook.is_file(),
        "no webhook: cargo build --package imagefactory-webhook --bin webhook"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Programs {
        webhook,
        operator,
        root,
    }
}

async fn plane(root: &Path) -> ControlPlane {
    let tools = std::env::var_os("IMAGEFACTORY_TOOLS").map_or(root.join(".cluster/bin"), PathBuf::from);
    let parts = Parts {
        controllers: true,
        audit: false,
        without: &["ServiceAccount", "ResourceQuota"],
    };
    let plane = ControlPlane::start(&tools, parts).await;
    let plane = plane.unwrap_or_else(|error| panic!("{error}; hack/tools/build.sh etcd kubernetes makes the programs"));
    let client = plane.client("load").await.unwrap();
    let settings = serde_yaml::from_str(include_str!("../../src/config/testdata/config.yaml")).unwrap();
    setup::platform(&client, &root.join("charts/image-factory/files/crds"), &settings)
        .await
        .unwrap();
    plane
}

/// A tenant that may not build, whose team asks to all the same.
async fn unentitled(client: &Client) {
    namespace(client, "tenant-acme", Some("acme"), "webhook").await.unwrap();
    let tenant: imagefactory_crds::Tenant = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
        "spec": {"owners": [{"kind": "Group", "name": "acme-team"}]},
    }))
    .unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &tenant)
        .await
        .unwrap();
}

/// A moment that is another one in each round, and the same ones in each run.
fn moment(round: u64) -> Duration {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Duration::from_micros(20_000 + (mixed >> 32) % 600_000)
}

/// Kills one or the other, at moments of their own, and starts it again at once.
async fn kill(door: &Door, rounds: u64) -> [Process; 2] {
    let mut webhook = door.webhook(true).unwrap();
    let mut audit = door.audit(&door.database()).unwrap();
    door.webhook_is_ready().await.unwrap();
    door.audit_is_ready().await.unwrap();
    for round in 0..rounds {
        // Some of the rounds meet a process that has hardly begun, most one at work.
        if round % 5 != 4 {
            door.webhook_is_ready().await.unwrap();
        }
        sleep(moment(round)).await;
        if round % 3 != 1 {
            webhook.kill();
            webhook = door.webhook(true).unwrap();
        }
        if round % 3 != 0 {
            audit.kill();
            audit = door.audit(&door.database()).unwrap();
        }
    }
    door.webhook_is_ready().await.unwrap();
    door.audit_is_ready().await.unwrap();
    [webhook, audit]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
async fn a_refusal_that_was_answered_is_on_record_once_whoever_was_killed_meanwhile() {
    let _alone = ALONE.lock().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let rounds = std::env::var("IMAGEFACTORY_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let programs = programs();
    let plane = plane(&programs.root).await;
    let client = plane.client("load").await.unwrap();
    let door = Door::prepare(&plane, programs.clone()).await.unwrap();
    unentitled(&client).await;
    door.is_asked().await.unwrap();

    let asking = Asking::begin(&client, 4, Who::Some);
    // They live until what they have is told.
    let running = kill(&door, rounds).await;
    let tally = asking.end().await;
    println!(
        "figure: {} kills, {} refusals answered, {} not",
        rounds,
        tally.answered(),
        tally.unanswered()
    );
    assert!(
        tally.answered() as u64 > rounds,
        "hardly anybody was answered: {tally:?}"
    );

    is_on_record(&programs.operator, &door.database(), &tally).await;
    drop(running);
    listed::is_folded(&programs.operator, &door.database());
}

/// Waits until each refusal that was answered is on record once, in a chain that is whole.
async fn is_on_record(operator: &Path, database: &str, tally: &Tally) {
    let until = Instant::now() + PATIENCE;
    let mut wrong = listed::compare(operator, database, tally);
    while !wrong.is_empty() && Instant::now() < until {
        sleep(Duration::from_secs(2)).await;
        wrong = listed::compare(operator, database, tally);
    }
    assert_eq!(wrong, Vec::<String>::new(), "of {} answered", tally.answered());
    listed::verify(operator, database);
}
