//! From a staged image to its removal, through the list and a job, and never while its build runs.

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::staging::Slot;
use imagefactory_core::step::StagedName;
use jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, Server, object, server};
use crate::watches::Guarded;
use crate::watches::Hubs;

const JOBS: &str = "/apis/batch/v1/namespaces/image-factory-work/jobs";
const PODS: &str = "/api/v1/namespaces/image-factory-work/pods";

struct World {
    hubs: Hubs,
    context: Arc<Context>,
    server: Server,
    staged: Staged,
}

fn day_later() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(86_400 + 1200)
}

fn two_hours_after_that() -> Timestamp {
    day_later() + SignedDuration::from_hours(2)
}

fn week_after_that() -> Timestamp {
    two_hours_after_that() + SignedDuration::from_hours(7 * 24)
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
        let staged = json!({"repository": "r.example.com/staging/acme/builds/web/b",
            "digest": format!("sha256:{}", "a".repeat(64)), "size": 1});
        self.see(succeeded, json!({"staged": staged}));
    }

    /// One that began then and of which its status says this.
    fn see(&self, succeeded: &str, mut status: Value) {
        let condition = json!({"type": "Succeeded", "status": succeeded, "reason": "R", "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z"});
        status["startTime"] = json!("1970-01-01T00:00:00Z");
        status["conditions"] = json!([condition]);
        let build = object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": "b"},
            "spec": {"projectRef": {"name": "web"}}, "status": status,
        }));
        self.hubs.builds.take(Event::Apply(Guarded(Ok(build))));
    }

    /// Has expired images removed by a job, which is given back with that state.
    async fn removing(&mut self, state: &str) -> Value {
        self.round(&[]).await;
        self.later();
        let (get, post) = (format!("GET {JOBS}"), format!("POST {JOBS}"));
        let answers = [(get.as_str(), list(&[])), (post.as_str(), json!({"metadata": {}}))];
        let mut job = self.round(&answers).await[1].clone();
        job["status"] = json!({"conditions": [{"type": state, "status": "True"}]});
        job["metadata"]["uid"] = json!("u");
        job
    }

    /// A round that finds a job which is over, and whose pod tells this of its images.
    async fn ends(&mut self, job: &Value, told: &Value) {
        let name = job["metadata"]["name"].as_str().unwrap();
        let (get, pods) = (format!("GET {JOBS}"), format!("GET {PODS}"));
        let delete = format!("DELETE {JOBS}/{name}");
        let message = json!({"done": {"images": told}}).to_string();
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "unstage", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 0, "message": message}}}]}});
        let pod = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod]});
        let mut answers = vec![(get.as_str(), list(std::slice::from_ref(job))), (pods.as_str(), pod)];
        answers.push((delete.as_str(), json!({"metadata": {}})));
        self.round(&answers).await;
    }

    fn later(&mut self) {
        self.at(day_later);
    }

    fn much_later(&mut self) {
        self.at(two_hours_after_that);
    }

    fn at(&mut self, clock: fn() -> Timestamp) {
        self.context = Arc::new(Context {
            clock,
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
    world.ends(&job, &json!(["removed"])).await;
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
async fn a_job_that_failed_is_left_for_an_hour_and_its_images_are_tried_again_an_hour_after_that() {
    let mut world = World::new();
    world.see_build("True");
    let mut job = world.removing("Failed").await;
    let get = format!("GET {JOBS}");
    job["metadata"]["creationTimestamp"] = json!("1970-01-02T00:00:00Z");
    world.round(&[(&get, list(&[job.clone()]))]).await;
    job["metadata"]["creationTimestamp"] = json!("1970-01-01T23:00:00Z");
    let delete = format!("DELETE {JOBS}/{}", job["metadata"]["name"].as_str().unwrap());
    world
        .round(&[(&get, list(&[job])), (&delete, json!({"metadata": {}}))])
        .await;
    assert_eq!(world.listed().await, 1);
    world.much_later();
    let post = format!("POST {JOBS}");
    world
        .round(&[(&get, list(&[])), (&post, json!({"metadata": {}}))])
        .await;
}

#[tokio::test]
async fn an_attempt_that_may_have_pushed_is_removed_whatever_became_of_its_build() {
    let mut world = World::new();
    world.see("False", json!({"attempts": 2}));
    let job = world.removing("Complete").await;
    assert_eq!(world.listed().await, 2);
    for tag in ["attempt-1", "attempt-2"] {
        assert!(job.to_string().contains(tag), "{tag}: {job}");
    }
    world.ends(&job, &json!(["absent", "removed"])).await;
    assert_eq!(world.listed().await, 0);
}

#[tokio::test]
async fn an_image_that_can_t_be_removed_does_not_keep_others_on_the_list_and_is_tried_later() {
    let mut world = World::new();
    world.see("False", json!({"attempts": 3}));
    let job = world.removing("Complete").await;
    // The third is told nothing of, as by a job that was ended.
    world.ends(&job, &json!(["failed", "removed"])).await;
    let archive = world.context.keeper.archive().clone();
    let mut left: Vec<_> = archive.staged().await.unwrap().into_iter().collect();
    left.sort();
    assert_eq!(left, ["b-attempt-1", "b-attempt-3"]);
    assert!(
        archive
            .expired(world.context.now(), &|_| true)
            .await
            .unwrap()
            .is_empty(),
        "not in the way of others"
    );
    world.much_later();
    assert_eq!(archive.expired(world.context.now(), &|_| true).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_job_whose_pod_is_gone_has_removed_nothing_that_is_known_of() {
    let mut world = World::new();
    world.see_build("True");
    let job = world.removing("Complete").await;
    world.ends(&job, &json!([])).await;
    assert_eq!(world.listed().await, 1);
}

#[tokio::test]
async fn a_tenant_whose_images_can_t_be_removed_hides_nothing_of_others_however_many_are_due() {
    let mut world = World::new();
    world.see_build("True");
    world.round(&[]).await;
    let archive = world.context.keeper.archive().clone();
    let slot = Slot::after(Timestamp::UNIX_EPOCH).unwrap();
    for number in 0..501 {
        let expiry = Expiry {
            tenant: "gone".to_owned(),
            namespace: "tenant-gone".to_owned(),
            build: "b".to_owned(),
            build_uid: number.to_string(),
            repository: format!("r.example.com/staging/gone/builds/web/{number}"),
            failing_since: None,
            image: StagedName::Tag("attempt-1".to_owned()),
        };
        archive
            .list_staged(&slot, &format!("gone-{number}"), &expiry)
            .await
            .unwrap();
    }
    world.later();
    let failed = json!({"metadata": {"name": "unstage-x", "creationTimestamp": "1970-01-02T00:00:00Z",
        "labels": {"imagefactory.dev/tenant": "gone"}},
        "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
    let (get, post) = (format!("GET {JOBS}"), format!("POST {JOBS}"));
    let answers = [
        (get.as_str(), list(&[failed])),
        (post.as_str(), json!({"metadata": {}})),
    ];
    let bodies = tokio::time::timeout(Duration::from_secs(60), world.round(&answers)).await;
    assert_eq!(
        bodies.expect("a job for the others")[1]["metadata"]["labels"]["imagefactory.dev/tenant"],
        "acme"
    );
}

#[tokio::test]
async fn an_image_that_can_t_be_removed_for_a_week_is_given_up() {
    let mut world = World::new();
    world.see_build("True");
    let job = world.removing("Complete").await;
    world.ends(&job, &json!(["failed"])).await;
    assert_eq!(world.listed().await, 1);
    world.at(week_after_that);
    let (get, post) = (format!("GET {JOBS}"), format!("POST {JOBS}"));
    let answers = [(get.as_str(), list(&[])), (post.as_str(), json!({"metadata": {}}))];
    let mut job = world.round(&answers).await[1].clone();
    job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    job["metadata"]["uid"] = json!("u");
    world.ends(&job, &json!(["failed"])).await;
    assert_eq!(world.listed().await, 0);
}

#[tokio::test]
async fn a_build_that_is_deleted_before_it_was_looked_at_is_listed_by_what_is_left_of_it() {
    let mut world = World::new();
    let labels = json!({"imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web",
        "imagefactory.dev/build": "hello", "imagefactory.dev/build-uid": "b",
        "imagefactory.dev/stage": "scan", "imagefactory.dev/attempt": "1"});
    let job = object(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "scan-b-1",
        "namespace": "image-factory-work", "labels": labels, "creationTimestamp": "1970-01-01T00:00:00Z"}}),
    );
    world.hubs.jobs.take(Event::Apply(Guarded(Ok(job))));
    let unstages = world.removing("Complete").await;
    assert_eq!(world.listed().await, 1);
    assert!(unstages.to_string().contains("builds/web/b"), "{unstages}");
}
