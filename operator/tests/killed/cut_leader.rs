//! An operator that leads, whose line to the API server is cut in silence: it ends itself before another one leads, and the
//! next process in its place waits, and follows, also when its connections die under it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use imagefactory_crds::Tenant;
use imagefactory_rig::control_plane::{ControlPlane, free_port};
use imagefactory_rig::door::text;
use imagefactory_rig::process::Process;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::line::{Line, State};
use crate::{plane, programs};

/// The chart's.
const LEASE: Duration = Duration::from_secs(15);
/// Longest until a process leads, follows or is gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// An operator, and its plain port.
struct Operator {
    process: Process,
    plain: u16,
}

impl Operator {
    fn start(name: &str, plane: &ControlPlane, kubeconfig: PathBuf) -> Self {
        let port = free_port().unwrap();
        let mut command = Command::new(programs().operator);
        command
            .args([
                "run".as_ref(),
                "--config".as_ref(),
                plane.dir().join("operator.yaml").as_os_str(),
            ])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--lease-seconds", &LEASE.as_secs().to_string()])
            .env("KUBECONFIG", kubeconfig)
            .env_remove("POD_NAME");
        Self {
            process: Process::start(name, plane.dir(), &mut command).unwrap(),
            plain: port,
        }
    }

    async fn leads(&self) -> bool {
        let metrics = text(self.plain, "/metrics").await.unwrap_or_default();
        metrics.lines().any(|line| line == "imagefactory_leader 1")
    }

    /// Seconds since its watch of a resource was last heard of.
    async fn silent(&self, resource: &str) -> Option<f64> {
        let metrics = text(self.plain, "/metrics").await?;
        let sample = format!("imagefactory_watch_last_event_seconds{{resource=\"{resource}\"}} ");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(&sample))?
            .parse()
            .ok()
    }

    async fn is_ready(&self) -> bool {
        text(self.plain, "/readyz").await.is_some()
    }
}

/// Waits until it is so, and gives the time that it took.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

/// Settings as the chart writes them, but for where logs are kept.
fn write_settings(plane: &ControlPlane) {
    let mut settings: Settings = serde_yaml::from_str(include_str!("../../src/config/testdata/config.yaml")).unwrap();
    settings.object_store.url = format!("file://{}", plane.dir().display());
    std::fs::write(
        plane.dir().join("operator.yaml"),
        serde_yaml::to_string(&settings).unwrap(),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
async fn a_leader_that_is_cut_off_is_gone_before_another_leads_and_the_next_in_its_place_follows() {
    let _alone = crate::ALONE.lock().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let plane = plane(&programs().root).await;
    write_settings(&plane);
    let line = Line::to(plane.port()).await;
    let over_the_line = || plane.kubeconfig_by(line.port, "operator").unwrap();
    let mut first = Operator::start("first", &plane, over_the_line());
    until("the first leads", async || first.leads().await).await;
    let second = Operator::start("second", &plane, plane.kubeconfig("operator"));
    until("the second is ready", async || second.is_ready().await).await;

    line.set(State::Silent).await;
    let cut = Instant::now();
    until("the first is gone", async || {
        assert!(!second.leads().await || first.process.lives().is_err(), "two lead");
        first.process.lives().is_err()
    })
    .await;
    let gone = cut.elapsed();
    until("the second leads", async || second.leads().await).await;
    println!(
        "figure: the leader is gone after {gone:?}, the next one leads after {:?}",
        cut.elapsed()
    );
    assert!(gone < LEASE, "{gone:?}");

    // As the kubelet does it.
    let mut again = Operator::start("again", &plane, over_the_line());
    until("it answers", async || text(again.plain, "/livez").await.is_some()).await;
    // For longer than one try to open a connection.
    sleep(Duration::from_secs(12)).await;
    assert!(!again.is_ready().await);
    line.set(State::Carries).await;
    let took = until("it follows", async || again.is_ready().await).await;
    println!("figure: the next in its place follows {took:?} after the line carries again");
    again.process.lives().unwrap();
    assert!(second.leads().await && !again.leads().await);
    hears_of_what_is_new(&plane, &line, &again).await;
}

/// Its connections die in silence, and others can be opened: so it is where one of several API servers is gone.
async fn hears_of_what_is_new(plane: &ControlPlane, line: &Line, follower: &Operator) {
    line.set(State::Carries).await;
    let tenant = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "new"},
        "spec": {"owners": [{"kind": "User", "name": "olga@example.com"}]},
    });
    let tenant: Tenant = serde_json::from_value(tenant).unwrap();
    let tenants = Api::all(plane.client("load").await.unwrap());
    tenants.create(&PostParams::default(), &tenant).await.unwrap();
    let created = Instant::now();
    until("it hears of a new Tenant", async || {
        let silent = follower.silent("tenants").await;
        silent.is_some_and(|seconds| seconds < created.elapsed().as_secs_f64())
    })
    .await;
    println!("figure: over a new connection it hears after {:?}", created.elapsed());
}
