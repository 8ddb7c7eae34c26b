//! A finished build or scan goes last, as it was read, and only where somebody says so.

use std::time::Duration;

use imagefactory_crds::retention::Retention;
use imagefactory_crds::{Build, ImageScan};
use jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, Server, object, server};
use crate::watches::Hubs;
use crate::watches::{Guarded, trim};

const THERE: &str = "DELETE /apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme";

struct World {
    hubs: Hubs,
    context: Arc<Context>,
    server: Server,
}

fn later() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000)
}

impl World {
    /// The tenant acme with the project web, and this as the chart's value.
    fn new(platform: Retention) -> Self {
        let (client, server) = server();
        let hubs = Hubs::default();
        let mut context = (*testing::context(client, &hubs)).clone();
        let mut settings = (*context.settings).clone();
        settings.builds.retention = platform;
        context.settings = Arc::new(settings);
        context.clock = later;
        let world = Self {
            hubs,
            context: Arc::new(context),
            server,
        };
        world.see_project(&json!({}));
        let settings = object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "TenantSettings",
            "metadata": {"name": "settings", "namespace": "tenant-acme"}, "spec": {},
        }));
        let settings = Event::Apply(Guarded(Ok(settings)));
        world.hubs.tenant_settings.take(settings);
        world
    }

    fn see_project(&self, spec: &Value) {
        let mut project = testing::project("web", 1);
        project["spec"] = spec.clone();
        self.hubs.projects.take(Event::Apply(Guarded(Ok(object(project)))));
    }

    /// A build with a generated name that failed at this hour.
    fn see_build(&self, suffix: &str, hour: i64, change: &Value) {
        let build = ended("Build", suffix, hour, change);
        self.hubs.builds.take(Event::Apply(Guarded(Ok(object(build)))));
    }

    /// A rerun of a project, with this status, as the stores keep it.
    fn see_rerun(&self, of: &str, project: &str, status: &Value) {
        let mut build = ended("Build", "zzzzz", 9, &json!({}));
        build["spec"] = json!({"projectRef": {"name": project}, "rerunOf": {"name": of}});
        build["status"] = status.clone();
        let mut build: Build = object(build);
        trim::build(&mut build);
        self.hubs.builds.take(Event::Apply(Guarded(Ok(build))));
    }

    /// The same of a scan, as the stores keep it.
    fn see_scan(&self, suffix: &str, hour: i64, change: &Value) {
        let mut scan: ImageScan = object(ended("ImageScan", suffix, hour, change));
        trim::image_scan(&mut scan);
        self.hubs.image_scans.take(Event::Apply(Guarded(Ok(scan))));
    }

    fn see_pod_of(&self, build: &str) {
        let pod = object(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "tenant-acme",
            "uid": "p", "labels": {"imagefactory.dev/build-uid": build}}}),
        );
        self.hubs.pods.take(Event::Apply(Guarded(Ok(pod))));
    }

    /// A round in which these builds are removed, in this order, and nothing else is asked.
    async fn removes(&mut self, names: &[&str]) -> Vec<Value> {
        let paths: Vec<String> = names.iter().map(|name| format!("builds/web-{name}")).collect();
        self.removes_each(&paths).await
    }

    /// The same of builds and scans.
    async fn removes_each(&mut self, paths: &[impl AsRef<str>]) -> Vec<Value> {
        let staged = Staged::default();
        let Self { context, server, .. } = self;
        let answering = async {
            let mut bodies = Vec::new();
            for path in paths {
                let line = format!("{THERE}/{}", path.as_ref());
                let asked = tokio::time::timeout(Duration::from_secs(10), server.expect(&line)).await;
                let asked = asked.unwrap_or_else(|_| panic!("nobody asks: {line}"));
                bodies.push(asked.body.clone());
                asked.answer(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
            }
            assert!(server.is_quiet_for(Duration::from_millis(50)).await);
            bodies
        };
        let ((), bodies) = tokio::join!(sweep(&staged, context), answering);
        bodies
    }
}

/// A run with a generated name that failed at this hour, with a status changed like this.
fn ended(kind: &str, suffix: &str, hour: i64, change: &Value) -> Value {
    let ended = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
    let name = format!("web-{suffix}");
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Build", "message": "",
        "lastTransitionTime": ended});
    let mut run = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "generateName": "web-", "namespace": "tenant-acme", "uid": format!("{kind}-{name}"),
            "resourceVersion": "7"},
        "spec": {"projectRef": {"name": "web"}, "image": "registry.example.com/output/acme/web:1"},
        "status": {"completionTime": ended, "startTime": ended, "conditions": [condition]},
    });
    for (key, value) in change.as_object().unwrap() {
        run["status"][key] = value.clone();
    }
    run
}

fn newest(most: u32) -> Retention {
    Retention {
        max_builds: Some(most),
        ..Retention::default()
    }
}

#[tokio::test]
async fn nothing_goes_where_nobody_says_so() {
    let mut world = World::new(Retention::default());
    world.see_build("bbbbb", 1, &json!({}));
    world.see_build("ccccc", 2, &json!({}));
    world.removes(&[]).await;
}

#[tokio::test]
async fn the_oldest_go_first_and_only_as_they_were_read() {
    let mut world = World::new(newest(1));
    world.see_build("ddddd", 3, &json!({}));
    world.see_build("ccccc", 2, &json!({}));
    world.see_build("bbbbb", 1, &json!({}));
    let bodies = world.removes(&["bbbbb", "ccccc"]).await;
    assert_eq!(
        bodies[0]["preconditions"],
        json!({"uid": "Build-web-bbbbb", "resourceVersion": "7"})
    );
}

#[tokio::test]
async fn what_the_project_says_comes_before_the_chart_and_an_unseen_project_loses_nothing() {
    let mut world = World::new(newest(1));
    world.see_build("bbbbb", 1, &json!({}));
    world.see_build("ccccc", 2, &json!({}));
    world.see_project(&json!({"retention": {}}));
    world.removes(&[]).await;
    world.see_project(&json!({"retention": {"maxAge": "999h"}}));
    world.removes(&["bbbbb"]).await;
    let gone = object(testing::project("web", 2));
    world.hubs.projects.take(Event::Delete(Guarded(Ok(gone))));
    world.removes(&[]).await;
}

#[tokio::test]
async fn a_build_stays_while_a_pod_of_it_is_there() {
    let mut world = World::new(newest(1));
    world.see_build("bbbbb", 1, &json!({}));
    world.see_build("ccccc", 2, &json!({}));
    world.see_build("ddddd", 3, &json!({}));
    world.see_pod_of("Build-web-bbbbb");
    world.removes(&["ccccc"]).await;
}

#[tokio::test]
async fn a_build_stays_while_a_rerun_of_its_project_needs_it_and_goes_when_that_has_ended() {
    let mut world = World::new(newest(1));
    for (suffix, hour) in [("bbbbb", 1), ("ccccc", 2), ("ddddd", 3), ("fffff", 4)] {
        world.see_build(suffix, hour, &json!({}));
    }
    let queued = json!({"resolvedSpec": {"inputsOf": "web-bbbbb"}, "phase": "Queued"});
    world.see_rerun("web-ccccc", "web", &queued);
    world.removes(&["ddddd"]).await;
    world.see_rerun("web-ccccc", "web", &json!({"phase": "Queued"}));
    world.removes(&[]).await;
    world.see_rerun("web-ccccc", "other", &queued);
    world.removes(&["bbbbb", "ccccc", "ddddd"]).await;
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Build", "message": "",
        "lastTransitionTime": "1970-01-01T09:00:00Z"});
    world.see_rerun(
        "web-ccccc",
        "web",
        &json!({"conditions": [condition], "resolvedSpec": queued["resolvedSpec"]}),
    );
    world.removes(&["bbbbb", "ccccc", "ddddd"]).await;
}

#[tokio::test]
async fn a_build_stays_until_its_staged_image_is_on_the_list_of_what_expires() {
    let mut world = World::new(newest(1));
    let staged = json!({"repository": "r.example.com/staging/acme/builds/web/x",
        "digest": format!("sha256:{}", "a".repeat(64)), "size": 1});
    world.see_build("bbbbb", 998, &json!({"staged": staged}));
    world.see_build("ccccc", 999, &json!({}));
    world.removes(&[]).await;
    let mut listed = Staged::default();
    listed.sweep(&world.context).await;
    let build = world.context.stores.builds.state();
    let build = build.iter().find(|build| build.name_any() == "web-bbbbb").unwrap();
    assert!(listed.is_done_with(build, &world.context));
    assert!(!Staged::default().is_done_with(build, &world.context));
}

#[tokio::test]
async fn scans_go_as_builds_do_and_each_kind_is_counted_by_itself() {
    let mut world = World::new(newest(2));
    for (suffix, hour) in [("ddddd", 3), ("ccccc", 2), ("bbbbb", 1)] {
        world.see_scan(suffix, hour, &json!({}));
    }
    world.see_build("fffff", 2, &json!({}));
    world.see_build("ggggg", 3, &json!({}));
    let bodies = world.removes_each(&["imagescans/web-bbbbb"]).await;
    assert_eq!(
        bodies[0]["preconditions"],
        json!({"uid": "ImageScan-web-bbbbb", "resourceVersion": "7"})
    );
    world.see_build("hhhhh", 4, &json!({}));
    world.removes_each(&["builds/web-fffff", "imagescans/web-bbbbb"]).await;
    world.see_project(&json!({"retention": {"maxAge": "998h"}}));
    world
        .removes_each(&["builds/web-fffff", "imagescans/web-bbbbb", "imagescans/web-ccccc"])
        .await;
}

#[tokio::test]
async fn a_scan_stays_while_a_pod_of_it_is_there_and_the_newest_good_one_stays() {
    let mut world = World::new(newest(1));
    let good = json!({"conditions": [{"type": "Succeeded", "status": "True", "reason": "Scanned", "message": "",
        "lastTransitionTime": "1970-01-01T00:00:00Z"}]});
    world.see_scan("bbbbb", 1, &good);
    world.see_scan("ccccc", 2, &good);
    world.see_scan("ddddd", 3, &json!({}));
    world.see_scan("fffff", 4, &json!({"completionTime": null}));
    world.see_pod_of("ImageScan-web-ddddd");
    world.see_scan("ggggg", 5, &json!({}));
    world.removes_each(&["imagescans/web-bbbbb"]).await;
}

#[tokio::test]
async fn a_round_gives_up_when_the_api_server_keeps_failing() {
    let mut world = World::new(newest(1));
    let letters = "bcdfghjklmnpqrst";
    for (hour, letter) in (1..).zip(letters.chars()) {
        world.see_build(&letter.to_string().repeat(5), hour, &json!({}));
    }
    let World { context, server, .. } = &mut world;
    let answering = async {
        for _ in 0..FAILURES {
            server.asked().await.fail(500, "InternalError", "down");
        }
        assert!(server.is_quiet_for(Duration::from_millis(50)).await);
    };
    let staged = Staged::default();
    tokio::join!(sweep(&staged, context), answering);
}
