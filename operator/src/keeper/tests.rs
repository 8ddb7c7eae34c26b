//! Logs are kept through failures of either side, once each, and nothing goes before they are.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicBool as Flag;

use async_trait::async_trait;
use futures::stream::BoxStream as Stream;
use kube::runtime::watcher::Event;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::testing::{self, Asked, Server, object, server};
use crate::watches::Guarded;

/// A store that fails while it is told to: to write, or to be read.
#[derive(Debug, Default)]
struct Shaky {
    inner: InMemory,
    fails: Flag,
    is_deaf: Flag,
    written: StdMutex<Vec<String>>,
}

impl std::fmt::Display for Shaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shaky")
    }
}

fn out_of_order() -> object_store::Error {
    let source = "out of order".into();
    object_store::Error::Generic { store: "shaky", source }
}

#[async_trait]
impl ObjectStore for Shaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(out_of_order());
        }
        self.written.lock().unwrap().push(path.to_string());
        self.inner.put_opts(path, payload, opts).await
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.is_deaf.load(Ordering::SeqCst) {
            return Err(out_of_order());
        }
        self.inner.get_opts(path, options).await
    }
    fn delete_stream(
        &self,
        paths: Stream<'static, object_store::Result<Path>>,
    ) -> Stream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> Stream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct World {
    store: Arc<Shaky>,
    hubs: Hubs,
    context: Arc<Context>,
    server: Server,
    stop: CancellationToken,
}

impl World {
    /// A keeper that runs, on a store that can be made to fail.
    fn new() -> Self {
        let store = Arc::new(Shaky::default());
        let (client, server) = server();
        let hubs = Hubs::default();
        let context = Context {
            keeper: Keeper::new(Archive::on(store.clone(), 1 << 20)),
            ..(*testing::context(client, &hubs)).clone()
        };
        let (context, stop) = (Arc::new(context), CancellationToken::new());
        tokio::spawn(run(context.clone(), hubs.clone(), stop.clone()));
        Self {
            store,
            hubs,
            context,
            server,
            stop,
        }
    }

    fn see_pod(&self, pod: &Value) -> Pod {
        let pod: Pod = object(pod.clone());
        self.hubs.pods.take(Event::Apply(Guarded(Ok(pod.clone()))));
        pod
    }

    fn see_pod_go(&self, pod: &Value) {
        self.hubs.pods.take(Event::Delete(Guarded(Ok(object(pod.clone())))));
    }

    fn see_build(&self, build: Value) {
        self.hubs.builds.take(Event::Apply(Guarded(Ok(object(build)))));
    }

    fn see_build_go(&self, build: Value) {
        self.hubs.builds.take(Event::Delete(Guarded(Ok(object(build)))));
    }

    /// A process before this one has kept this.
    async fn was_kept(&self, path: &str, log: &'static str) {
        let (path, options) = (Path::from(path), PutOptions::default());
        self.store.inner.put_opts(&path, log.into(), options).await.unwrap();
    }

    /// Logs of which this became, as the metrics say.
    fn counted(&self, result: &str) -> u64 {
        let counted = self.context.metrics.encode().unwrap();
        let series = format!("imagefactory_logs_total{{result=\"{result}\"}} ");
        let found = counted.lines().find_map(|line| line.strip_prefix(&series));
        found.map_or(0, |count| count.parse().unwrap())
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("did not come to pass");
    }

    /// Within an hour: the clock stands still for nobody.
    async fn log_is_asked_for(&mut self) -> Asked {
        let asked = tokio::time::timeout(Duration::from_secs(3600), self.server.expect(LOG));
        asked.await.expect("the log is asked for")
    }

    fn written(&self) -> Vec<String> {
        self.store.written.lock().unwrap().clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn pod(uid: &str, containers: &[&str]) -> Value {
    let statuses: Vec<Value> = containers
        .iter()
        .map(|name| {
            json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "containerID": "containerd://1", "finishedAt": "1970-01-01T00:00:00Z"}}})
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "hello-build-1", "namespace": "tenant-acme", "uid": uid, "labels": {
            "imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web", "imagefactory.dev/build": "hello",
            "imagefactory.dev/build-uid": "b", "imagefactory.dev/attempt": "1", "imagefactory.dev/stage": "build",
        }},
        "status": {"phase": "Succeeded", "containerStatuses": statuses},
    })
}

fn build(logs: &Value) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": "b"},
        "spec": {"projectRef": {"name": "web"}},
        "status": {"logs": logs},
    })
}

const LOG: &str = "GET /api/v1/namespaces/tenant-acme/pods/hello-build-1/log";
const PUSH: &str = "logs/acme/web/b/1/build-push.log";

#[tokio::test(start_paused = true)]
async fn a_log_is_kept_once_whoever_tells_of_its_container_and_the_pod_may_go_then() {
    let mut world = World::new();
    let seen = world.see_pod(&pod("one", &["push"]));
    world.context.keeper.look(&seen, None);
    assert!(world.context.keeper.is_busy("b"), "its end is worth waiting for");
    assert!(!world.context.keeper.is_safe(&seen, None));
    let asked = world.log_is_asked_for().await;
    assert_eq!(asked.query, "&container=push");
    asked.text("hello\n");
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.context.keeper.kept("b")[0].bytes, 6);
    world.see_pod(&pod("one", &["push"]));
    assert!(
        world.server.is_quiet_for(Duration::from_secs(5)).await,
        "a log is asked for once"
    );
    assert_eq!(world.written(), [PUSH]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_fails_builds_do_not_wait_and_pods_do_and_the_log_is_kept_later() {
    let mut world = World::new();
    world.store.fails.store(true, Ordering::SeqCst);
    let mut woken = world.context.keeper.woken();
    let seen = world.see_pod(&pod("one", &["push"]));
    world.log_is_asked_for().await.text("hello");
    world
        .until(|world| world.context.keeper.0.store_fails.load(Ordering::SeqCst))
        .await;
    assert!(
        !world.context.keeper.is_busy("b"),
        "a build's end does not wait for a store that fails"
    );
    assert!(world.context.keeper.await_all("b"));
    assert!(!world.context.keeper.is_safe(&seen, None), "but its pod stays");
    world.store.fails.store(false, Ordering::SeqCst);
    world.log_is_asked_for().await.text("hello");
    assert_eq!(woken.next().await.unwrap().name, "hello");
    assert!(world.context.keeper.is_safe(&seen, None));
    assert_eq!(world.written(), [PUSH]);
    let counted = world.context.metrics.encode().unwrap();
    for line in [
        "log_failures_total{cause=\"store\"} 1",
        "logs_total{result=\"whole\"} 1",
        "logs_kept_bytes_total 5",
    ] {
        assert!(counted.contains(&format!("imagefactory_{line}")), "{line} in {counted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_does_not_hold_back_its_build_and_is_tried_again() {
    let mut world = World::new();
    let mut woken = world.context.keeper.woken();
    let seen = world.see_pod(&pod("one", &["push"]));
    world
        .server
        .expect(LOG)
        .await
        .fail(500, "InternalError", "the node is away");
    world.until(|world| !world.context.keeper.is_busy("b")).await;
    assert!(
        !world.context.keeper.await_all("b"),
        "others' logs are not held back for it"
    );
    assert!(!world.context.keeper.is_safe(&seen, None));
    world.log_is_asked_for().await.text("late");
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    let woken = woken.next().await.unwrap();
    assert_eq!(woken.name, "hello", "and its build may say so, though nobody waited");
}

/// A pod whose containers ended a day ago.
fn old(uid: &str, containers: &[&str]) -> Value {
    let mut old = pod(uid, containers);
    for status in old["status"]["containerStatuses"].as_array_mut().unwrap() {
        status["state"]["terminated"]["finishedAt"] = "1969-12-31T00:00:00Z".into();
    }
    old
}

#[tokio::test(start_paused = true)]
async fn a_log_that_the_api_server_knows_nothing_of_for_long_is_lost_and_its_pod_may_go() {
    let mut world = World::new();
    let seen = world.see_pod(&old("one", &["push"]));
    world
        .server
        .expect(LOG)
        .await
        .fail(404, "NotFound", "container not found");
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.context.keeper.kept("b"), []);
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_has_just_begun_anew_and_knows_no_container_yet_costs_no_log() {
    let mut world = World::new();
    let seen = world.see_pod(&pod("one", &["push"]));
    for (code, reason) in [(404, "NotFound"), (400, "BadRequest")] {
        world
            .log_is_asked_for()
            .await
            .fail(code, reason, "container not available");
        world.until(|world| !world.context.keeper.is_busy("b")).await;
        assert!(!world.context.keeper.is_safe(&seen, None));
    }
    world.log_is_asked_for().await.text("there it is");
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.written(), [PUSH]);
}

#[tokio::test(start_paused = true)]
async fn the_log_of_another_pod_of_the_same_name_is_never_kept_in_its_place() {
    let mut world = World::new();
    let first = world.see_pod(&pod("one", &["push"]));
    let asked = world.log_is_asked_for().await;
    world.see_pod(&pod("two", &[]));
    asked.text("of another build");
    world.until(|world| world.context.keeper.is_safe(&first, None)).await;
    assert_eq!(world.context.keeper.kept("b"), [], "status must not claim it");
}

#[tokio::test(start_paused = true)]
async fn what_status_says_is_kept_is_not_asked_for_again_by_a_new_process() {
    let mut world = World::new();
    let log = json!({"attempt": 1, "stage": "build", "container": "push", "bytes": 5});
    world.see_build(build(
        &json!({"location": "memory://logs/acme/web/b", "containers": [log]}),
    ));
    let seen = world.see_pod(&pod("one", &["push"]));
    assert!(world.server.is_quiet_for(Duration::from_secs(5)).await);
    let told = recorded(&world.context.stores, &seen);
    assert!(world.context.keeper.is_safe(&seen, told.as_ref()));
    let other: Pod = object(pod("one", &["push", "build"]));
    assert!(
        !world.context.keeper.is_safe(&other, told.as_ref()),
        "one of two is not all"
    );
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_status_is_forgotten_and_what_does_not_is_remembered() {
    let mut world = World::new();
    world.see_build(build(&Value::Null));
    world.see_pod(&pod("one", &["push"]));
    world.log_is_asked_for().await.text("12345");
    world.until(|world| !world.context.keeper.kept("b").is_empty()).await;
    sleep(2 * TIDY).await;
    assert_eq!(
        world.context.keeper.kept("b").len(),
        1,
        "the build's next write says it"
    );
    let log = json!({"attempt": 1, "stage": "build", "container": "push", "bytes": 5});
    world.see_build(build(
        &json!({"location": "memory://logs/acme/web/b", "containers": [log]}),
    ));
    sleep(2 * TIDY).await;
    assert_eq!(world.context.keeper.kept("b"), []);
    assert_eq!(world.context.keeper.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_of_a_build_that_is_gone_is_neither_read_again_nor_lost() {
    let mut world = World::new();
    let log = json!({"attempt": 1, "stage": "build", "container": "push", "bytes": 5});
    let told = build(&json!({"location": "memory://logs/acme/web/b", "containers": [log]}));
    world.was_kept(PUSH, "12345").await;
    world.see_build(told.clone());
    world.see_pod(&pod("one", &["push"]));
    // As a namespace that goes takes them along.
    world.see_build_go(told);
    let seen = world.see_pod(&pod("one", &["push"]));
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    world.see_pod_go(&pod("one", &["push"]));
    sleep(2 * TIDY).await;
    assert_eq!(world.counted("lost"), 0);
    assert_eq!(world.counted("whole"), 0, "it was counted when it was kept");
    assert!(world.server.is_quiet_for(Duration::from_secs(5)).await);
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_goes_with_its_build_before_it_was_kept_is_lost() {
    let mut world = World::new();
    world.see_pod(&pod("one", &[]));
    // The keeper hears of pods by now.
    sleep(Duration::from_secs(1)).await;
    world.see_pod_go(&pod("one", &["push"]));
    world.until(|world| world.counted("lost") == 1).await;
    assert_eq!(world.context.keeper.kept("b"), []);
    assert!(world.server.is_quiet_for(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_kept_before_its_status_said_so_is_told_though_nobody_has_it_any_more() {
    let mut world = World::new();
    world.was_kept(PUSH, "12345").await;
    world.see_build(build(&Value::Null));
    let seen = world.see_pod(&pod("one", &["push"]));
    let asked = world.log_is_asked_for().await;
    asked.fail(404, "NotFound", "container not found");
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.context.keeper.kept("b")[0].bytes, 5);
    assert_eq!(world.counted("lost"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_lies_there_from_before_a_container_ended_is_not_taken_for_its_log() {
    let mut world = World::new();
    world.was_kept(PUSH, "12345").await;
    let mut later = pod("two", &["push"]);
    later["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2999-01-01T00:00:00Z".into();
    let seen = world.see_pod(&later);
    let asked = world.log_is_asked_for().await;
    asked.fail(404, "NotFound", "container not found");
    world.see_pod_go(&later);
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.context.keeper.kept("b"), [], "never say kept when it is not");
    assert_eq!(world.counted("lost"), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_cannot_be_asked_nothing_is_called_lost() {
    let world = World::new();
    world.was_kept(PUSH, "12345").await;
    world.store.is_deaf.store(true, Ordering::SeqCst);
    let seen = world.see_pod(&pod("one", &["push"]));
    world
        .until(|world| world.context.keeper.0.store_fails.load(Ordering::SeqCst))
        .await;
    world.see_pod_go(&pod("one", &["push"]));
    assert!(!world.context.keeper.is_safe(&seen, None));
    assert_eq!(world.context.keeper.waiting(), 1);
    world.store.is_deaf.store(false, Ordering::SeqCst);
    world.until(|world| world.context.keeper.is_safe(&seen, None)).await;
    assert_eq!(world.counted("lost"), 0);
}
