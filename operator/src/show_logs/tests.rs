//! Builds and scans are found by the words that people know from kubectl, and what can't be found is told with what to do.

use clap::Parser;
use futures::FutureExt;
use futures::future::BoxFuture;
use imagefactory_core::build::logs::{EndedContainer, Origin};
use serde_json::{Value, json};

use super::*;
use crate::archive::{LogSource, Reader};
use crate::config::{Cli, Command};
use crate::testing::{Server, server};

struct Text(&'static str);

impl LogSource for Text {
    fn open(&self) -> BoxFuture<'_, Result<Reader, kube::Error>> {
        let reader: Reader = Box::pin(futures::io::Cursor::new(self.0.as_bytes()));
        async { Ok(reader) }.boxed()
    }
}

/// A store with a log of the container `scan` and one of `evaluate`.
async fn archive() -> Archive {
    let archive = Archive::in_memory(1 << 20);
    for (container, text) in [("scan", "found nothing"), ("evaluate", "it passes")] {
        let container = EndedContainer {
            origin: Origin {
                tenant: "acme".to_owned(),
                project: "web".to_owned(),
                work: Work::Scan,
                build: "nightly".to_owned(),
                build_uid: "u".to_owned(),
                attempt: 1,
                stage: "scan".to_owned(),
            },
            container: container.to_owned(),
            namespace: "image-factory-work".to_owned(),
            pod: "p".to_owned(),
            pod_uid: "p".to_owned(),
            finished: None,
        };
        archive.keep(&container, &Text(text)).await.unwrap();
    }
    archive
}

fn args(words: &[&str]) -> LogsArgs {
    match Cli::parse_from(["operator", "logs"].iter().chain(words)).command {
        Command::Logs(args) => args,
        other => panic!("{other:?}"),
    }
}

fn run(kind: &str) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "nightly", "namespace": "tenant-acme", "uid": "u"},
        "spec": {"projectRef": {"name": "web"}, "image": "registry.example.com/images/acme/web:1"},
    })
}

fn path(plural: &str) -> String {
    format!("GET /apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/{plural}/nightly")
}

/// What is printed for these words, while the API server answers: by plural of a kind, whether it is there.
async fn printed(words: &[&str], asked: &[(&str, bool)]) -> Result<String, ShowLogsError> {
    let (client, mut server) = server();
    let (args, archive, mut output) = (args(words), archive().await, Vec::new());
    let showing = show(&args, async { Ok(client) }, &archive, &mut output);
    let (shown, ()) = tokio::join!(showing, answer(&mut server, asked));
    shown.map(|()| String::from_utf8(output).unwrap())
}

async fn answer(server: &mut Server, asked: &[(&str, bool)]) {
    for (plural, is_there) in asked {
        let request = server.expect(&path(plural)).await;
        match (is_there, *plural) {
            (false, _) => request.fail(404, "NotFound", "it is not there"),
            (true, "builds") => request.answer(200, &run("Build")),
            (true, _) => request.answer(200, &run("ImageScan")),
        }
    }
}

const BOTH: &str =
    "==> 1/scan-evaluate.log (9 bytes) <==\nit passes\n==> 1/scan-scan.log (13 bytes) <==\nfound nothing\n";

#[tokio::test]
async fn a_scan_is_named_by_its_kind_as_for_kubectl() {
    for word in [
        "imagescan",
        "imagescans",
        "iscan",
        "ImageScan",
        "imagescan.imagefactory.dev",
    ] {
        let name = format!("{word}/nightly");
        let printed = printed(&["-n", "tenant-acme", &name], &[("imagescans", true)]).await;
        assert_eq!(printed.unwrap(), BOTH, "{word}");
    }
}

#[tokio::test]
async fn a_build_needs_no_kind_and_may_have_one() {
    for words in [
        &["tenant-acme/nightly"][..],
        &["--namespace", "tenant-acme", "nightly"],
        &["-n", "tenant-acme", "build/nightly"],
        &["-n", "tenant-acme", "ifb/nightly"],
    ] {
        assert_eq!(printed(words, &[("builds", true)]).await.unwrap(), BOTH, "{words:?}");
    }
}

#[tokio::test]
async fn what_is_gone_is_found_by_its_uid_whatever_it_was_and_a_container_by_its_name() {
    assert_eq!(printed(&["acme/web/u"], &[]).await.unwrap(), BOTH);
    let one = printed(&["acme/web/u", "-c", "scan", "--attempt", "1"], &[]).await;
    assert_eq!(one.unwrap(), "==> 1/scan-scan.log (13 bytes) <==\nfound nothing\n");
    let none = printed(&["acme/web/u", "--attempt", "2"], &[]).await.unwrap_err();
    assert_eq!(none.to_string(), "no log is kept of acme/web/u");
}

#[tokio::test]
async fn one_of_the_other_kind_is_pointed_at() {
    let error = printed(&["tenant-acme/nightly"], &[("builds", false), ("imagescans", true)]).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "there is no Build nightly in tenant-acme, but an ImageScan of that name: --namespace tenant-acme imagescan/nightly"
    );
    let words = ["-n", "tenant-acme", "iscan/nightly"];
    let error = printed(&words, &[("imagescans", false), ("builds", true)]).await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("--namespace tenant-acme build/nightly")
    );
}

#[tokio::test]
async fn what_cannot_be_found_is_told_with_what_to_do() {
    let words = ["-n", "tenant-acme", "imagescan/nightly"];
    let error = printed(&words, &[("imagescans", false), ("builds", false)]).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "could not read the ImageScan nightly in tenant-acme; if it is gone, name it as <tenant>/<project>/<uid>"
    );
    for (words, told) in [
        (&["imagescan/nightly"][..], "--namespace tenant-acme imagescan/nightly"),
        (&["-n", "tenant-acme", "tenant/acme"], "imagescan/<name>"),
        (&["nightly"], "--namespace <namespace> imagescan/<scan>"),
        (&["-n", "tenant-acme", "acme/web/u"], "<tenant>/<project>/<uid>"),
        (&["-n", "..", "nightly"], "<namespace>/<build>"),
        (&["tenant-acme/.."], "<namespace>/<build>"),
    ] {
        let error = printed(words, &[]).await.unwrap_err().to_string();
        assert!(error.contains(told), "{words:?}: {error}");
    }
}
