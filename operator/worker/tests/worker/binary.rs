//! The worker as a pod runs it: told by the environment, answering by the termination message.

use std::fs;
use std::process::{Child, Command, Output};
use std::time::Duration;

use imagefactory_core::step::{CachePlace, PushStep, Pushed, Report, STEP_VARIABLE};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::registry::Digest;

use super::support::{FakeRegistry, Pod};

struct Run {
    output: Output,
    message: String,
}

impl Run {
    fn report(&self) -> Report<Pushed> {
        Report::decode(&self.message).unwrap()
    }

    fn log(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }
}

/// Asks it to end, as the kubelet does; what it ended with.
async fn ended_by_the_kubelet(mut child: Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.unwrap().unwrap().code()
}

async fn worker(pod: &Pod, arguments: &[&str], step: &str) -> Run {
    let log = pod.path("termination-log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command
        .args(arguments)
        .env_clear()
        .env(STEP_VARIABLE, step)
        .env("TERMINATION_LOG", &log)
        .env("IMAGEFACTORY_ROOT", pod.path(""))
        .env("SSL_CERT_FILE", pod.path("ca.pem"))
        .env("RUST_LOG", "trace");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    Run {
        output,
        message: fs::read_to_string(log).unwrap_or_default(),
    }
}

async fn pushing() -> (FakeRegistry, Pod, Digest, String) {
    let registry = FakeRegistry::basic("staging", "hunter2").await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("credentials/staging", &registry.host, "staging", "hunter2");
    let digest = pod.layout_image(&[b"one"]);
    let step = PushStep {
        repository: format!("{}/staging/acme/web", registry.host),
        credential_prefix: format!("{}/staging/acme", registry.host),
        tag: "attempt-1".to_owned(),
        max_bytes: 1 << 20,
        platforms: Vec::new(),
        cache: None,
        deadline: None,
    };
    (registry, pod, digest, serde_json::to_string(&step).unwrap())
}

#[tokio::test]
async fn a_step_that_is_done_says_so_and_shows_no_secret() {
    let (registry, pod, digest, step) = pushing().await;
    let run = worker(&pod, &["push"], &step).await;
    assert!(run.output.status.success(), "{}", run.log());
    assert!(matches!(run.report(), Report::Done(pushed) if pushed.digest == digest.as_str()));
    assert!(run.log().contains("image is in staging"), "{}", run.log());
    let (password, header) = ("hunter2", super::support::registry::basic("staging", "hunter2"));
    assert!(
        !run.log().contains(password) && !run.log().contains(&header),
        "at the most talkative level"
    );
    assert!(run.output.stdout.is_empty());
    let bundle = fs::read_to_string(pod.path("ca.pem")).unwrap();
    assert!(bundle.contains("BEGIN CERTIFICATE") && registry.ca_pem.len() >= bundle.len());
}

#[tokio::test]
async fn a_step_that_failed_says_why() {
    let (_registry, pod, _digest, step) = pushing().await;
    pod.write("layout/index.json", "{}");
    let run = worker(&pod, &["push"], &step).await;
    assert_eq!(run.output.status.code(), Some(1));
    let Report::Failed(failure) = run.report() else {
        panic!("not a failure: {}", run.message)
    };
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Build, "InvalidLayout")
    );
    assert!(
        run.log().contains("InvalidLayout") && run.log().contains("index.json"),
        "{}",
        run.log()
    );
}

#[tokio::test]
async fn a_step_that_is_not_understood_is_the_factory_s_failure() {
    let pod = Pod::trusting(&[]);
    for (arguments, step) in [
        (vec!["push"], "{}"),
        (vec!["push"], ""),
        (vec!["evaluate"], "[]"),
        (vec!["format"], "{}"),
        (vec![], "{}"),
    ] {
        let run = worker(&pod, &arguments, step).await;
        assert_eq!(run.output.status.code(), Some(1));
        let Report::Failed(failure) = run.report() else {
            panic!("not a failure: {}", run.message)
        };
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Infrastructure, "InvalidStep"),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn the_kubelet_s_signal_ends_a_step_at_once() {
    let pod = Pod::trusting(&[]);
    let (_registry, stuck, _digest, step) = pushing().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let step = step.replace(&_registry.host, &format!("localhost:{port}"));
    stuck.credential("credentials/staging", &format!("localhost:{port}"), "u", "p");
    let child = Command::new(env!("CARGO_BIN_EXE_worker"))
        .arg("push")
        .env(STEP_VARIABLE, step)
        .env("TERMINATION_LOG", pod.path("log"))
        .env("IMAGEFACTORY_ROOT", stuck.path(""))
        .env_remove("SSL_CERT_FILE")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It has connected, so it waits for an answer that never comes.
    let _connection = silent.accept().await.unwrap();
    assert_eq!(ended_by_the_kubelet(child).await, Some(143));
    assert!(!pod.path("log").exists());
}

#[tokio::test]
async fn an_image_that_is_staged_is_told_before_its_cache_is_sent_and_a_signal_takes_nothing_of_it_back() {
    let (registry, pod, digest, step) = pushing().await;
    let mut step: PushStep = serde_json::from_str(&step).unwrap();
    let place = CachePlace {
        repository: format!("{}/staging/acme/cache/web", registry.host),
        tag: "kaniko".to_owned(),
        max_bytes: 1 << 20,
    };
    step.cache = Some(place);
    pod.write("cache/out/k:1/index.json", "one");
    registry.state().hangs_at = Some("acme/cache".to_owned());
    let child = Command::new(env!("CARGO_BIN_EXE_worker"))
        .arg("push")
        .env(STEP_VARIABLE, serde_json::to_string(&step).unwrap())
        .env("TERMINATION_LOG", pod.path("log"))
        .env("IMAGEFACTORY_ROOT", pod.path(""))
        .env("SSL_CERT_FILE", pod.path("ca.pem"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let hangs = async {
        while !registry.seen().iter().any(|seen| seen.path.contains("acme/cache")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hangs).await.unwrap();
    let told = |text: &str| matches!(Report::<Pushed>::decode(text), Some(Report::Done(pushed)) if pushed.digest == digest.as_str());
    assert!(told(&fs::read_to_string(pod.path("log")).unwrap_or_default()));
    assert_eq!(ended_by_the_kubelet(child).await, Some(0));
    assert!(told(&fs::read_to_string(pod.path("log")).unwrap()));
}

/// What runs beside our own clients (Git's transport) knows the authorities by `SSL_CERT_FILE` alone.
#[tokio::test]
async fn the_written_bundle_is_what_other_clients_trust() {
    let (registry, pod, _digest, step) = pushing().await;
    assert!(worker(&pod, &["push"], &step).await.output.status.success());
    for (bundle, trusted) in [("ca.pem", true), ("empty.pem", false)] {
        pod.write("empty.pem", "");
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                "binary::child_that_knows_the_bundle_by_the_environment",
                "--ignored",
            ])
            .env("SSL_CERT_FILE", pod.path(bundle))
            .env("TEST_URL", format!("https://{}/v2/", registry.host));
        let output = tokio::task::spawn_blocking(move || child.output())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            output.status.success(),
            trusted,
            "{bundle}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[tokio::test]
#[ignore = "started by the test above, with an environment of its own"]
async fn child_that_knows_the_bundle_by_the_environment() {
    super::support::server::install_provider();
    let url = std::env::var("TEST_URL").unwrap();
    let client = reqwest::Client::builder().build().unwrap();
    assert_eq!(client.get(url).send().await.unwrap().status(), 401);
}
