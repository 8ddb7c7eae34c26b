//! `scan` and `install` as a pod runs them: the scanner is a script that keeps what it was told.

use std::env::var;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use imagefactory_core::step::{Report, STEP_VARIABLE, ScanStep, Scanned};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::registry::Digest;

use super::support::Pod;

/// Writes what it was called with and the report or SBOM that it was asked for.
const SCANNER: &str = r#"#!/bin/sh
{ echo "token=${TRIVY_TOKEN-none} step=${IMAGEFACTORY_STEP-none} plain=${HTTP_PROXY-none} but=${NO_PROXY-none}"; for word; do echo "$word"; done; } >> "$CALLS"
for word; do case "$word" in --output=*) echo "$1" > "${word#--output=}";; esac; done
"#;

struct Scene {
    pod: Pod,
    step: ScanStep,
}

impl Scene {
    fn new(scanner: &str) -> Self {
        let pod = Pod::trusting(&[]);
        pod.write("bin/trivy", scanner);
        fs::set_permissions(pod.path("bin/trivy"), fs::Permissions::from_mode(0o755)).unwrap();
        let step = ScanStep {
            repository: "r.example.com/staging/acme/shop/web".to_owned(),
            digests: vec![Digest::of(b"one").to_string(), Digest::of(b"two").to_string()],
            resolved: false,
            kept_apart: None,
            server_url: "http://trivy:4954".to_owned(),
            timeout_seconds: 1800,
        };
        Self { pod, step }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command
            .arg(name)
            .env_clear()
            .env(STEP_VARIABLE, serde_json::to_string(&self.step).unwrap())
            .env("PATH", format!("{}:/usr/bin:/bin", self.pod.path("bin").display()))
            .env("CALLS", self.pod.path("calls"))
            .env("PIDS", self.pod.path("pids"))
            .env("TRIVY_TOKEN", "t0ken")
            .env("TERMINATION_LOG", self.pod.path("log"))
            .env("IMAGEFACTORY_ROOT", self.pod.path(""));
        command
    }

    fn run(&self) -> Report<Scanned> {
        self.command("scan").output().unwrap();
        Report::decode(&self.read("log")).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.pod.path(path)).unwrap()
    }
}

#[test]
fn each_image_is_scanned_by_its_digest_and_only_the_scan_has_the_token() {
    let scene = Scene::new(SCANNER);
    scene.pod.write("reports/0/report.json", "of an earlier run");
    assert_eq!(scene.run(), Report::Done(Scanned { images: 2 }));
    for number in 0..2 {
        assert_eq!(scene.read(&format!("reports/{number}/report.json")), "image\n");
        assert_eq!(scene.read(&format!("reports/{number}/sbom.json")), "convert\n");
    }
    let calls = scene.read("calls");
    let calls: Vec<Vec<&str>> = calls
        .split("token=")
        .skip(1)
        .map(|call| call.lines().collect())
        .collect();
    assert_eq!(calls.len(), 4);
    let image = format!("{}@{}", scene.step.repository, scene.step.digests[0]);
    let report = scene.pod.path("reports/0/report.json");
    let (first, second) = (&calls[0], &calls[1]);
    assert_eq!(
        (first[0], first[1], *first.last().unwrap()),
        ("t0ken step=none plain=http://127.0.0.1:1 but=trivy", "image", &*image)
    );
    for wanted in [
        "--server=http://trivy:4954",
        "--format=json",
        "--scanners=vuln",
        "--list-all-pkgs",
        "--image-src=remote",
        "--skip-java-db-update",
        "--timeout=1800s",
    ] {
        assert!(first.contains(&wanted), "{wanted}: {first:?}");
    }
    assert_eq!(
        (second[0], second[1]),
        ("none step=none plain=none but=none", "convert")
    );
    assert!(second.contains(&"--format=cyclonedx") && second.ends_with(&[&*report.display().to_string()]));
}

#[test]
fn what_is_found_in_images_of_a_registry_that_nobody_vouches_for_is_kept_apart() {
    let mut scene = Scene::new(SCANNER);
    scene.run();
    assert!(!scene.read("calls").contains("--file-patterns"));
    scene.step.kept_apart = Some("acme".to_owned());
    assert_eq!(scene.run(), Report::Done(Scanned { images: 2 }));
    let calls = scene.read("calls");
    let option = "--file-patterns=pip:^image-factory-scanned-for-acme$";
    assert_eq!(calls.lines().filter(|line| *line == option).count(), 2, "{calls}");
    for bad in ["", "**", "a/b", "a,b"] {
        scene.step.kept_apart = Some(bad.to_owned());
        assert!(matches!(scene.run(), Report::Failed(_)), "{bad:?}");
    }
}

/// A registry at that address that breaks off TLS, and asks for a password in plain text. Returns where, and what is told of
/// each connection: whether it began with a handshake.
fn downgrading(host: &str) -> (SocketAddr, Receiver<bool>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0];
            let by_tls = stream.read_exact(&mut first).is_ok() && first == [0x16];
            if !by_tls {
                let answer =
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
            }
            if tell.send(by_tls).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// Private addresses are those that its library would speak plain text to.
#[test]
#[ignore = "needs the real scanner, as TRIVY, and the private address of REGISTRY"]
fn real_scanner_never_asks_a_registry_in_plain_text() {
    let registry = var("REGISTRY").expect("REGISTRY names the registry");
    let (host, _) = registry.rsplit_once(':').expect("it has a port");
    let (address, told) = downgrading(host);
    let mut scene = Scene::new("");
    fs::remove_file(scene.pod.path("bin/trivy")).unwrap();
    symlink(
        var("TRIVY").expect("TRIVY names the scanner"),
        scene.pod.path("bin/trivy"),
    )
    .unwrap();
    scene.step.repository = format!("{address}/staging/acme/shop/web");
    let Report::Failed(failure) = scene.run() else {
        panic!("an image was scanned that is nowhere")
    };
    assert_eq!(failure.reason, "ScannerFailed", "{}", failure.message);
    let by_tls: Vec<_> = told.try_iter().collect();
    assert!(!by_tls.is_empty() && by_tls.iter().all(|by_tls| *by_tls), "{by_tls:?}");
}

#[test]
fn a_scanner_that_fails_fails_the_step_with_its_last_words() {
    let scene = Scene::new("#!/bin/sh\necho 'FATAL no such image' >&2\nexit 3\n");
    let Report::Failed(failure) = scene.run() else {
        panic!("not a failure")
    };
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Scan, "ScannerFailed")
    );
    assert!(failure.message.contains("FATAL no such image"), "{}", failure.message);

    let scene = Scene::new("#!/bin/sh\nif [ \"$1\" = convert ]; then exit 1; fi\n");
    let Report::Failed(failure) = scene.run() else {
        panic!("not a failure")
    };
    assert_eq!(failure.reason, "SbomFailed");
}

#[test]
fn names_that_could_be_options_are_not_given_to_the_scanner() {
    for (repository, digest) in [
        ("--server=http://evil", Digest::of(b"one").to_string()),
        ("r.example.com/app", "--debug".to_owned()),
        ("r.example.com/app", String::new()),
    ] {
        let mut scene = Scene::new(SCANNER);
        scene.step.repository = repository.to_owned();
        scene.step.digests = vec![digest];
        let Report::Failed(failure) = scene.run() else {
            panic!("{repository} was scanned")
        };
        assert_eq!(failure.reason, "InvalidStep");
        assert!(!scene.pod.path("calls").exists());
    }
}

#[test]
fn the_kubelet_s_signal_ends_the_scanner_too() {
    let scene = Scene::new("#!/bin/sh\necho $$ > \"$PIDS.part\"; mv \"$PIDS.part\" \"$PIDS\"\nexec sleep 300\n");
    let mut child = scene
        .command("scan")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !scene.pod.path("pids").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let scanner: i32 = scene.read("pids").trim().parse().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // Killed before the worker ended: what is left of it, if anything, is on its way out.
    let is_gone = || {
        let status = fs::read_to_string(format!("/proc/{scanner}/stat")).unwrap_or_default();
        let state = status.rsplit(") ").next().and_then(|rest| rest.chars().next());
        matches!(state, None | Some('Z' | 'X'))
    };
    let ends = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        is_gone()
    });
    assert!(ends, "the scanner goes on");
    assert!(!scene.pod.path("log").exists());
}

#[test]
fn the_program_installs_itself_without_being_told_a_step() {
    let scene = Scene::new(SCANNER);
    let output = scene.command("install").env_remove(STEP_VARIABLE).output().unwrap();
    assert!(output.status.success());
    assert_eq!(Report::decode(&scene.read("log")), Some(Report::Done(())));
    let again = Command::new(scene.pod.path("imagefactory/worker"))
        .env("TERMINATION_LOG", scene.pod.path("log"))
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1), "it runs, and wants to be told what to do");
}
