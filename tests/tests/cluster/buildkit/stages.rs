//! An ordinary Dockerfile, and one with a secret.

use serde_json::json;

use super::layout::Layout;
use super::pod::{Builder, Order, SECRET};

const THREE_STAGES: &str = r#"FROM debian:bookworm-slim AS base
ARG GREETING
RUN printf '%s' "$GREETING" > /hello && chown 1000:1001 /hello && chmod 640 /hello && ln -s hello /link
FROM debian:bookworm-slim AS tools
COPY --from=base /hello /copied
RUN mkdir /made && cp -a /copied /made/kept && chmod u+s /made/kept && ln -s kept /made/link
FROM scratch
COPY --from=base /hello /link /
COPY --from=tools /made /made
COPY tree /tree
COPY --chown=5:6 --chmod=711 tree/one /changed
"#;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_dockerfile_of_three_stages_becomes_a_layout_with_modes_owners_and_links() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: THREE_STAGES,
        step: json!({
            "buildArgs": [{"name": "GREETING", "value": "a=b, \"c\" $HOME"}],
            "labels": [{"name": "org.example.note", "value": "x=y,z"}],
        }),
        ..Order::default()
    };
    let built = builder.build("stages", &order).await;
    assert_eq!(built.codes, [0], "{:?}", built.logs);
    let layout = Layout::read(&built.found);
    let images = layout.images();
    assert_eq!(images.len(), 1, "one platform, and no attestation");
    let image = images.values().next().unwrap();
    let files = [
        ("hello", "-rw-r----- 1000/1001"),
        // A link that is named itself is followed, as docker build does it.
        ("link", "-rw-r----- 1000/1001"),
        ("made/link", "lrwxrwxrwx 0/0 -> kept"),
        ("made/kept", "-rwSr----- 1000/1001"),
        ("tree/one", "-rw-r----- 0/0"),
        ("tree/deep/two", "-rwxr-xr-x 0/0"),
        ("tree/link", "lrwxrwxrwx 0/0 -> deep/two"),
        ("changed", "-rwx--x--x 5/6"),
    ];
    for (path, expected) in files {
        assert_eq!(image.file(path).as_deref(), Some(expected), "{path}: {:?}", image.files);
    }
    assert_eq!(image.file("tree/ignored.txt"), None);
    assert_eq!(image.config["config"]["Labels"]["org.example.note"], "x=y,z");
    let size = image.files.iter().find(|line| line.ends_with(" hello")).unwrap();
    assert!(size.contains(" 14 "), "the argument came through as it was: {size}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_secret_is_read_by_a_step_and_stays_in_no_layer_log_or_configuration() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: "FROM debian:bookworm-slim\n\
                     RUN --mount=type=secret,id=token test \"$(cat /run/secrets/token | wc -c)\" = 26 && touch /read\n\
                     FROM scratch\nCOPY --from=0 /read /read\nCOPY --from=0 /run /run\n",
        step: json!({"secrets": [{"id": "token", "path": "/secrets/token"}]}),
        ..Order::default()
    };
    let built = builder.build("secret", &order).await;
    assert_eq!(built.codes, [0], "{:?}", built.logs);
    let layout = Layout::read(&built.found);
    assert!(layout.images().values().all(|image| image.file("read").is_some()));
    assert!(!built.found.contains("\nSECRET "), "{}", built.found);
    assert!(!built.logs[0].contains(SECRET));
    assert!(
        layout
            .images()
            .values()
            .all(|image| !image.config.to_string().contains(SECRET))
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_that_fails_fails_the_build_and_its_log_ends_with_why() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: "FROM debian:bookworm-slim\nRUN echo it-broke >&2 && exit 7\n",
        ..Order::default()
    };
    let built = builder.build("fails", &order).await;
    assert_eq!(built.codes, [1]);
    let log = built.logs[0].trim_end();
    assert!(log.contains("it-broke"), "{log}");
    assert!(log.lines().next_back().unwrap().contains("exit code: 7"), "{log}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_is_told_to_end_ends_at_once() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: "FROM debian:bookworm-slim\nRUN echo now-sleeping && sleep 600\n",
        ..Order::default()
    };
    builder.start("ends", &order);
    imagefactory_tests::wait::until("the step sleeps", 120, async || {
        builder.log("ends", "build-0").contains(" now-sleeping\n").then_some(())
    })
    .await;
    let took = builder.end("ends");
    assert!(took.as_secs() < 15, "SIGTERM was not heard: {took:?}");
}
