//! What a RUN step can't reach.

use imagefactory_core::step::buildkit::EXIT_DAEMON;
use serde_json::json;

use super::pod::{Builder, Order};

/// What any step may try against the kernel and the node. Each line that it prints says `CAN` or `CANNOT`, and what.
pub const PROBES: &str = include_str!("probes.sh");
/// What it may try against the daemon and the pod, after [`PROBES`].
const OF_THE_DAEMON: &str = include_str!("daemon.sh");

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_reaches_neither_the_daemon_nor_the_node_nor_a_token() {
    let builder = Builder::create();
    let dockerfile = format!("FROM debian:bookworm-slim\nRUN <<'PROBES'\n{PROBES}{OF_THE_DAEMON}PROBES\n");
    let order = Order {
        dockerfile: &dockerfile,
        step: json!({"labels": [{"name": "note", "value": "marker-of-the-step"}]}),
        ..Order::default()
    };
    let built = builder.build("probes", &order).await;
    let log = &built.logs[0];
    assert_eq!(built.codes, [0], "{log}");
    let said = |word: &str| -> Vec<&str> {
        let lines = log.lines().filter_map(|line| line.split_once(word));
        lines.map(|(_, what)| what).collect()
    };
    let (can, cannot) = (said(" CAN "), said(" CANNOT "));
    assert_eq!(can, ["write its own root", "run a shell in its own root"], "{log}");
    assert!(cannot.len() >= 40, "every probe was made: {log}");
    assert!(
        cannot
            .iter()
            .any(|what| what.starts_with("read the memory of /usr/bin/buildkitd")),
        "{log}"
    );
    assert!(
        log.contains(" SEEN buildkitd"),
        "processes are seen, and so were tried: {log}"
    );
    // The daemon's own log line tells labels; a step's environment and files do not.
    assert!(!log.contains("IMAGEFACTORY_STEP"), "{log}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_that_kills_the_daemon_or_its_client_gets_no_image_and_a_code_of_its_own() {
    let builder = Builder::create();
    for (program, told) in [
        ("buildkitd", "buildkitd "),
        ("buildctl", "buildctl was ended by signal 9"),
    ] {
        let dockerfile = format!(
            "FROM debian:bookworm-slim\nRUN for p in /proc/[0-9]*; do \
             case $(tr '\\0' ' ' <$p/cmdline) in /usr/bin/{program}*) kill -9 ${{p#/proc/}};; esac; done; sleep 3\n"
        );
        let order = Order {
            dockerfile: &dockerfile,
            ..Order::default()
        };
        let built = builder.build(&format!("kills-{program}"), &order).await;
        assert_eq!(built.codes, [i64::from(EXIT_DAEMON)], "{program}: {:?}", built.logs);
        let last = built.logs[0].trim_end().lines().next_back().unwrap();
        assert!(last.starts_with(&format!("imagefactory: {told}")), "{program}: {last}");
    }
}
