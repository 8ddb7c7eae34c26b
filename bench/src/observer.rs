//! The watcher that belongs to nobody: when each unit of work was seen, when its pod, when its end, all by its own clock.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use imagefactory_core::build::status::is_settled;
use imagefactory_crds::Build;
use imagefactory_crds::build::Phase;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_STAGE};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::{BenchError, Result};

/// What was seen of one unit of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Track {
    /// The unit itself.
    pub created: Option<Instant>,
    /// The pod of its first attempt.
    pub pod: Option<Instant>,
    /// Its end.
    pub ended: Option<Instant>,
    /// Whether it succeeded.
    pub good: bool,
}

impl Track {
    /// From the unit to its pod.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        Some(self.pod?.saturating_duration_since(self.created?))
    }
}

type Tracks = Arc<Mutex<HashMap<String, Track>>>;

/// What an event of a unit's says.
struct Seen {
    name: String,
    /// Whether it succeeded. None while it has not ended.
    good: Option<bool>,
}

impl Seen {
    fn of_build(build: &Build) -> Self {
        let good = || build.status.as_ref().and_then(|status| status.phase) == Some(Phase::Succeeded);
        Self {
            name: build.name_any(),
            good: is_settled(build.status.as_ref()).then(good),
        }
    }

    /// Of an object that has a condition `Succeeded`, which is unknown until it has ended.
    fn of_run(run: &DynamicObject) -> Self {
        let conditions = run.data["status"]["conditions"].as_array();
        let succeeded = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Succeeded");
        Self {
            name: run.name_any(),
            good: succeeded.and_then(|condition| match condition["status"].as_str() {
                Some("True") => Some(true),
                Some("False") => Some(false),
                _ => None,
            }),
        }
    }
}

/// The watcher. It ends when it is dropped.
pub struct Observer {
    tracks: Tracks,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Watches builds and their pods.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        let builds = watcher(Api::<Build>::all(client.clone()), watcher::Config::default());
        let builds = builds.default_backoff().applied_objects();
        Self::of(
            client,
            builds.map_ok(|build| Seen::of_build(&build)),
            &format!("{LABEL_STAGE}=build"),
            LABEL_BUILD,
        )
    }

    /// Watches objects that have a condition `Succeeded`, and pods with a label that says which of them each belongs to.
    #[must_use]
    pub fn of_runs(client: &Client, resource: &ApiResource, label: &'static str) -> Self {
        let runs = Api::<DynamicObject>::all_with(client.clone(), resource);
        let runs = watcher(runs, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        Self::of(client, runs.map_ok(|run| Seen::of_run(&run)), label, label)
    }

    fn of(
        client: &Client,
        units: impl Stream<Item = watcher::Result<Seen>> + Send + 'static,
        pods: &str,
        label: &'static str,
    ) -> Self {
        let tracks = Tracks::default();
        let pods = watcher(
            Api::<PartialObjectMeta<Pod>>::all(client.clone()),
            watcher::Config::default().labels(pods),
        );
        let watch = watch(tracks.clone(), units, pods.default_backoff().applied_objects(), label);
        Self {
            tracks,
            task: tokio::spawn(watch),
        }
    }

    /// What was seen of units whose name begins so.
    #[must_use]
    pub fn seen(&self, prefix: &str) -> Vec<Track> {
        let tracks = lock(&self.tracks);
        let ours = tracks.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(_, track)| *track).collect()
    }

    /// Waits until so many units whose name begins so have come that far. Patience is counted from the last that did.
    ///
    /// # Errors
    /// When none comes that far for long.
    pub async fn wait_for(&self, prefix: &str, count: usize, far: impl Fn(&Track) -> bool) -> Result<Vec<Track>> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (mut reached, mut since) = (0, Instant::now());
        while since.elapsed() < PATIENCE {
            let tracks = self.seen(prefix);
            let now = tracks.iter().filter(|track| far(track)).count();
            if now >= count {
                return Ok(tracks);
            }
            if now > reached {
                (reached, since) = (now, Instant::now());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(BenchError::TooLong {
            what: format!("{count} of {prefix}…, of which {reached} came that far"),
            seconds: PATIENCE.as_secs(),
        })
    }
}

fn lock(tracks: &Tracks) -> MutexGuard<'_, HashMap<String, Track>> {
    tracks.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch<P: ResourceExt>(
    tracks: Tracks,
    units: impl Stream<Item = watcher::Result<Seen>>,
    pods: impl Stream<Item = watcher::Result<P>>,
    label: &str,
) {
    let (mut units, mut pods) = (pin!(units), pin!(pods));
    loop {
        tokio::select! {
            Some(Ok(unit)) = units.next() => {
                let now = Instant::now();
                let mut tracks = lock(&tracks);
                let track = tracks.entry(unit.name).or_default();
                track.created.get_or_insert(now);
                if let (Some(good), None) = (unit.good, track.ended) {
                    (track.ended, track.good) = (Some(now), good);
                }
            }
            Some(Ok(pod)) = pods.next() => {
                let now = Instant::now();
                if let Some(unit) = pod.labels().get(label) {
                    lock(&tracks).entry(unit.clone()).or_default().pod.get_or_insert(now);
                }
            }
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good(conditions: &Value) -> Option<bool> {
        let run = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
        Seen::of_run(&serde_json::from_value(run).unwrap()).good
    }

    #[test]
    fn a_run_has_ended_once_its_condition_says_whether_it_succeeded() {
        let with = |status: &str| json!([{"type": "Ready", "status": "True"}, {"type": "Succeeded", "status": status}]);
        assert_eq!(good(&with("Unknown")), None);
        assert_eq!(good(&with("True")), Some(true));
        assert_eq!(good(&with("False")), Some(false));
        assert_eq!(good(&json!([])), None);
        assert_eq!(good(&Value::Null), None);
    }
}
