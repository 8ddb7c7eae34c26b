//! A webhook whose line to the API server is cut, while that one goes on asking it: it refuses once what it knows is too
//! old, and needs nobody to help it when it hears again.

use std::time::Duration;

use imagefactory_crds::Tenant;
use imagefactory_rig::control_plane::ControlPlane;
use imagefactory_rig::door::{Door, namespace};
use imagefactory_rig::process::Process;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::asking::build;
use crate::line::{Line, State};
use crate::{plane, programs};

/// How old what is known may be here. A watch then lasts for eight seconds.
const LIMIT: Duration = Duration::from_secs(24);
/// Longest until a line that carries again is used: a connection that is being opened is given up after ten seconds, and
/// the next one begun two seconds later.
const AGAIN: Duration = Duration::from_secs(30);
/// What is watched.
const WATCHED: [&str; 6] = [
    "tenants",
    "tenantsettings",
    "projects",
    "namespaces",
    "imagepolicies",
    "sorrecords",
];

/// What became of a request for a build.
#[derive(Debug)]
enum Answer {
    LetIn,
    NotEntitled,
    /// The webhook knows too little.
    Unavailable(Box<Status>),
}

/// A webhook behind a line, and a team that may build.
struct Scene {
    plane: ControlPlane,
    client: Client,
    door: Door,
    line: Line,
    webhook: Process,
    asked: u32,
}

impl Scene {
    async fn begin() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let programs = programs();
        let plane = plane(&programs.root).await;
        let line = Line::to(plane.port()).await;
        let door = Door::prepare(&plane, programs).await.unwrap();
        let client = impatient(&plane).await;
        namespace(&client, "tenant-acme", Some("acme"), "webhook")
            .await
            .unwrap();
        let tenant = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"owners": [{"kind": "Group", "name": "acme-team"}]},
        });
        let tenant: Tenant = serde_json::from_value(tenant).unwrap();
        let tenants = Api::all(client.clone());
        tenants.create(&PostParams::default(), &tenant).await.unwrap();
        let webhook = webhook(&plane, &door, &line);
        door.webhook_is_ready().await.unwrap();
        door.is_asked().await.unwrap();
        let mut scene = Self {
            plane,
            client,
            door,
            line,
            webhook,
            asked: 0,
        };
        let refused = |answer: &Answer| matches!(answer, Answer::NotEntitled);
        scene.until("the webhook is asked", AGAIN, refused).await;
        scene.gives_back().await;
        scene
    }

    /// Whether the team may build, said where the API server is.
    async fn may_build(&self, may: bool) {
        let reason = format!("a test, after {} requests", self.asked);
        let change = json!({"spec": {"capabilities": {"build": may, "changeReason": reason}}});
        let tenants: Api<Tenant> = Api::all(self.client.clone());
        tenants
            .patch("acme", &PatchParams::default(), &Patch::Merge(&change))
            .await
            .unwrap();
    }

    /// The team may build again, and does.
    async fn gives_back(&mut self) {
        self.may_build(true).await;
        let let_in = |answer: &Answer| matches!(answer, Answer::LetIn);
        self.until("what was given back is let in", AGAIN, let_in).await;
    }

    /// Asks for a build, and again where the webhook did not answer in time: others want the machine too.
    async fn ask(&mut self) -> Answer {
        for _ in 0..5 {
            self.asked += 1;
            let request = build("paula", &format!("build-{}", self.asked));
            match self.client.request::<Value>(request).await {
                Ok(_) => return Answer::LetIn,
                Err(kube::Error::Api(status)) => match (status.code, status.reason.as_str()) {
                    (403, "tenant_capability_not_entitled") => return Answer::NotEntitled,
                    (503, "decision_unavailable") => return Answer::Unavailable(status),
                    (500, _) if status.message.contains("failed calling webhook") => {}
                    _ => panic!("{status:?}"),
                },
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the webhook answers nobody");
    }

    /// Asks until the answer is so, and gives what it took and every answer before.
    async fn until(&mut self, what: &str, longest: Duration, so: impl Fn(&Answer) -> bool) -> (Duration, Vec<Answer>) {
        let (begun, mut before) = (Instant::now(), Vec::new());
        loop {
            let answer = self.ask().await;
            if so(&answer) {
                return (begun.elapsed(), before);
            }
            assert!(begun.elapsed() < longest, "waited in vain until {what}: {answer:?}");
            before.push(answer);
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ages that the webhook tells, by what is watched.
    async fn ages(&self) -> Vec<(&'static str, f64)> {
        let metrics = self.door.says("/metrics").await.unwrap();
        let age = |resource: &'static str| {
            let sample = format!("imagefactory_webhook_cache_age_seconds{{resource=\"{resource}\"}} ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&sample));
            (resource, value.unwrap().parse().unwrap())
        };
        WATCHED.map(age).to_vec()
    }

    /// What was withdrawn at that moment is let in for as long as what is known may be old, and then nothing is.
    async fn closes(&mut self, withdrawn: Instant) {
        let (mut let_in, mut last) = (0, Duration::ZERO);
        while withdrawn.elapsed() < LIMIT + Duration::from_secs(10) {
            let asked = withdrawn.elapsed();
            match self.ask().await {
                Answer::LetIn => {
                    assert!(asked <= LIMIT, "let in {asked:?} after it was withdrawn");
                    (let_in, last) = (let_in + 1, asked);
                }
                Answer::Unavailable(status) => says_what_is_old(&status),
                Answer::NotEntitled => panic!("it was heard of over a line that is cut"),
            }
            sleep(Duration::from_millis(200)).await;
        }
        println!("figure: {let_in} let in, the last one {last:?} after it was withdrawn");
        let ages = self.ages().await;
        assert!(ages.iter().all(|(_, age)| *age > LIMIT.as_secs_f64()), "{ages:?}");
        // By design: refusing with a reason is more than an API server says that finds nobody.
        assert_eq!(self.door.answers("/readyz").await.unwrap().0, 200);
    }

    /// It hears again, by itself: no answer is a wrong one until it is the right one.
    async fn hears_again(&mut self) {
        self.line.set(State::Carries).await;
        let refused = |answer: &Answer| matches!(answer, Answer::NotEntitled);
        let (took, before) = self.until("what was withdrawn is refused", AGAIN, refused).await;
        println!("figure: decides by what is true {took:?} after the line carries again");
        let wrong = before.iter().find(|answer| !matches!(answer, Answer::Unavailable(_)));
        assert!(wrong.is_none(), "{wrong:?}");
        self.webhook.lives().unwrap();
    }
}

/// A client that is told 503 at once, and does not try again itself.
async fn impatient(plane: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig("load")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn webhook(plane: &ControlPlane, door: &Door, line: &Line) -> Process {
    let mut command = door.webhook_command(false);
    command
        .args(["--stale-seconds", &LIMIT.as_secs().to_string()])
        .env("KUBECONFIG", plane.kubeconfig_by(line.port, "operator").unwrap());
    Process::start("webhook", plane.dir(), &mut command).unwrap()
}

fn says_what_is_old(status: &Status) {
    let caused = status.details.as_ref().map(|details| &details.causes);
    let what = caused
        .and_then(|causes| Some(causes.first()?.message.as_str()))
        .unwrap_or_default();
    assert!(WATCHED.iter().any(|watched| what.contains(watched)), "{status:?}");
    for part in [
        "Nothing can be decided now",
        "more than 24 are not trusted",
        "Try again in a minute.",
    ] {
        assert!(status.message.contains(part), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
async fn a_webhook_that_is_cut_off_refuses_when_it_knows_too_little_and_decides_by_what_is_true_when_it_hears_again() {
    let _alone = crate::ALONE.lock().await;
    let mut scene = Scene::begin().await;
    for cut in [State::Silent, State::Closed] {
        println!("figure: the line is {cut:?}");
        scene.line.set(cut).await;
        scene.may_build(false).await;
        scene.closes(Instant::now()).await;
        scene.hears_again().await;
        scene.gives_back().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
async fn connections_that_died_in_silence_are_replaced_before_anything_is_refused_for_it() {
    let _alone = crate::ALONE.lock().await;
    let mut scene = Scene::begin().await;
    // Those that there are die, and others can be opened: a firewall forgot them, or the API server's node is gone.
    scene.line.set(State::Carries).await;
    scene.may_build(false).await;
    let refused = |answer: &Answer| matches!(answer, Answer::NotEntitled);
    let (took, before) = scene.until("what was withdrawn is refused", LIMIT, refused).await;
    println!("figure: heard of over a new connection after {took:?}");
    let closed = before.iter().find(|answer| !matches!(answer, Answer::LetIn));
    assert!(closed.is_none(), "{closed:?}");
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        assert!(matches!(scene.ask().await, Answer::NotEntitled), "it knows enough");
        sleep(Duration::from_millis(500)).await;
    }
    let ages = scene.ages().await;
    assert!(ages.iter().all(|(_, age)| *age < LIMIT.as_secs_f64()), "{ages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
async fn a_webhook_that_begins_while_it_is_cut_off_refuses_and_says_what_it_waits_for_until_it_hears() {
    let _alone = crate::ALONE.lock().await;
    let mut scene = Scene::begin().await;
    scene.webhook.kill();
    scene.line.set(State::Silent).await;
    scene.webhook = webhook(&scene.plane, &scene.door, &scene.line);
    scene.may_build(false).await;
    let begun = Instant::now();
    let waits = loop {
        match scene.door.answers("/readyz").await {
            Some(answer) => break answer,
            None => assert!(begun.elapsed() < AGAIN, "nobody answers"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert_ne!(waits.0, 200);
    for watched in WATCHED {
        assert!(
            waits.1.contains(&format!("the first list of {watched}:")),
            "{}",
            waits.1
        );
    }
    match scene.ask().await {
        Answer::Unavailable(status) => assert!(status.message.contains("was not read yet"), "{status:?}"),
        answer => panic!("{answer:?}"),
    }
    // For longer than one try to open a connection.
    sleep(Duration::from_secs(15)).await;
    scene.hears_again().await;
    assert_eq!(scene.door.answers("/readyz").await.unwrap().0, 200);
}
