//! A cache that goes out of one daemon and into the next.

use serde_json::json;

use super::pod::{Builder, Order};

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_second_build_takes_its_steps_from_the_cache_of_the_first() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: "FROM debian:bookworm-slim AS made\nRUN date +%N > /when\nFROM scratch\nCOPY --from=made /when /\n",
        step: json!({"cacheImport": "/cache/project", "cacheExport": "/cache/project"}),
        times: 2,
        ..Order::default()
    };
    let built = builder.build("cache", &order).await;
    assert_eq!(built.codes, [0, 0], "{:?}", built.logs);
    let cached = |log: &str| log.lines().filter(|line| line.ends_with(" CACHED")).count();
    assert_eq!(cached(&built.logs[0]), 0, "{}", built.logs[0]);
    assert!(cached(&built.logs[1]) >= 2, "{}", built.logs[1]);
}
