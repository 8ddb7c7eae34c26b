//! From a staged image to its removal, through the list and a job, and never while its build runs.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, Server, object, server};
use crate::watches::Guarded;
use crate::watches::Hubs;

const JOBS: &str = "/apis/batch/v1/namespaces/image-factory-work/jobs";

struct World {
    hubs: Hubs,
    context: Arc<Context>,
    server: Server,
    staged: Staged,
}

fn day_later() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(86_400 + 1200)
}

impl World {
    fn new() -> Self {
        let (client, server) = server();
        let hubs = Hubs::default();
        Self {
            context: testing::context(client, &hubs),
            hubs,
            server,
            staged: Staged::default(),
        }
    }

    /// A build that began at the beginning of time and has staged an image.
    fn see_build(&self, succeeded: &str) {
        let condition = json!({"type": "Succeeded", "status": succeeded, "reason": "R", "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z"});
        let build = object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": "b"},
            "spec": {"projectRef": {"name": "web"}},
            "status": {"startTime": "1970-01-01T00:00:00Z", "conditions": [condition], "staged": {
                "repository": "r.example.com/staging/acme/builds/web/b",
                "digest": format!("sha256:{}", "a".repeat(64)), "size": 1}},
        }));
        self.hubs.builds.take(Event::Apply(Guarded(Ok(build))));
    }

    fn later(&mut self) {
        self.context = Arc::new(Context {
            clock: day_later,
            ..(*self.context).clone()
        });
    }

    async fn listed(&self) -> usize {
        self.context.keeper.archive().staged().await.unwrap().len()
    }

    /// A round, in which the API server is asked this and answers this.
    async fn round(&mut self, answers: &[(&str, Value)]) -> Vec<Value> {
        let Self {
            context,
            server,
            staged,
            ..
        } = self;
        let answering = async {
            let mut bodies = Vec::new();
            for (line, answer) in answers {
                let asked = server.expect(line).await;
                bodies.push(asked.body.clone());
                asked.answer(200, answer);
            }
            bodies
        };
        let (result, bodies) = tokio::join!(staged.round(context), answering);
        result.unwrap();
        bodies
    }
}

fn list(jobs: &[Value]) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "JobList", "metadata": {}, "items": jobs})
}

#[tokio::test]
async fn an_image_is_listed_when_it_is_staged_and_removed_by_a_job_when_its_time_is_over() {
    let mut world = World::new();
    world.see_build("True");
    world.round(&[]).await;
    assert_eq!(world.listed().await, 1);
    world.later();
    let get = format!("GET {JOBS}");
    let post = format!("POST {JOBS}");
    let bodies = world
        .round(&[(&get, list(&[])), (&post, json!({"metadata": {}}))])
        .await;
    let mut job = bodies[1].clone();
    assert_eq!(job["metadata"]["labels"]["imagefactory.dev/stage"], "unstage");
    assert_eq!(
        job["metadata"]["labels"].get("imagefactory.dev/build-uid"),
        None,
        "it is no build's"
    );
    // While it runs there is no other.
    world.round(&[(&get, list(&[job.clone()]))]).await;
    assert_eq!(world.listed().await, 1);
    job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    job["metadata"]["uid"] = json!("u");
    let delete = format!("DELETE {JOBS}/{}", job["metadata"]["name"].as_str().unwrap());
    world
        .round(&[(&get, list(&[job])), (&delete, json!({"metadata": {}}))])
        .await;
    assert_eq!(world.listed().await, 0);
    world.round(&[]).await;
    assert_eq!(world.listed().await, 0, "it is not listed again");
}

#[tokio::test]
async fn the_image_of_a_build_that_runs_stays_however_long_it_takes() {
    let mut world = World::new();
    world.see_build("Unknown");
    world.round(&[]).await;
    world.later();
    world.round(&[]).await;
    assert_eq!(world.listed().await, 1);
}

#[tokio::test]
async fn the_image_of_a_build_that_was_deleted_is_removed_all_the_same_after_a_restart_too() {
    let mut world = World::new();
    world.see_build("True");
    world.round(&[]).await;
    let hubs = Hubs::default();
    world.context = Arc::new(Context {
        stores: hubs.stores(),
        ..(*world.context).clone()
    });
    world.hubs = hubs;
    world.staged = Staged::default();
    world.later();
    let bodies = world
        .round(&[
            (&format!("GET {JOBS}"), list(&[])),
            (&format!("POST {JOBS}"), json!({"metadata": {}})),
        ])
        .await;
    assert!(bodies[1].to_string().contains("builds/web/b"));
}

#[tokio::test]
async fn a_job_that_failed_is_left_for_an_hour_and_its_images_are_tried_again_then() {
    let mut world = World::new();
    world.see_build("True");
    world.round(&[]).await;
    world.later();
    let (get, post) = (format!("GET {JOBS}"), format!("POST {JOBS}"));
    let bodies = world
        .round(&[(&get, list(&[])), (&post, json!({"metadata": {}}))])
        .await;
    let mut job = bodies[1].clone();
    job["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    job["metadata"]["uid"] = json!("u");
    job["metadata"]["creationTimestamp"] = json!("1970-01-02T00:00:00Z");
    world.round(&[(&get, list(&[job.clone()]))]).await;
    job["metadata"]["creationTimestamp"] = json!("1970-01-01T23:00:00Z");
    let delete = format!("DELETE {JOBS}/{}", job["metadata"]["name"].as_str().unwrap());
    let answers = [
        (get.as_str(), list(&[job])),
        (delete.as_str(), json!({"metadata": {}})),
        (post.as_str(), json!({"metadata": {}})),
    ];
    world.round(&answers).await;
    assert_eq!(world.listed().await, 1);
}
