//! The watcher that belongs to nobody: when each build was seen, when its pod, when its end, all by its own clock.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use imagefactory_core::build::status::is_settled;
use imagefactory_crds::Build;
use imagefactory_crds::build::Phase;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_STAGE};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::{BenchError, Result};

/// What was seen of one build.
#[derive(Clone, Copy, Debug, Default)]
pub struct Track {
    /// The build itself.
    pub created: Option<Instant>,
    /// The pod of its first attempt.
    pub pod: Option<Instant>,
    /// Its end.
    pub ended: Option<Instant>,
    /// Whether it succeeded.
    pub good: bool,
}

impl Track {
    /// From the build to its pod.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        Some(self.pod?.saturating_duration_since(self.created?))
    }
}

type Tracks = Arc<Mutex<HashMap<String, Track>>>;

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
        let tracks = Tracks::default();
        let builds = watcher(Api::<Build>::all(client.clone()), watcher::Config::default());
        let pods = watcher(
            Api::<PartialObjectMeta<Pod>>::all(client.clone()),
            watcher::Config::default().labels(&format!("{LABEL_STAGE}=build")),
        );
        let watch = watch(
            tracks.clone(),
            builds.default_backoff().applied_objects(),
            pods.default_backoff().applied_objects(),
        );
        Self {
            tracks,
            task: tokio::spawn(watch),
        }
    }

    /// What was seen of builds whose name begins so.
    #[must_use]
    pub fn of(&self, prefix: &str) -> Vec<Track> {
        let tracks = lock(&self.tracks);
        let ours = tracks.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(_, track)| *track).collect()
    }

    /// Waits until so many builds whose name begins so have come that far. Patience is counted from the last that did.
    ///
    /// # Errors
    /// When none comes that far for long.
    pub async fn wait_for(&self, prefix: &str, count: usize, far: impl Fn(&Track) -> bool) -> Result<Vec<Track>> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (mut reached, mut since) = (0, Instant::now());
        while since.elapsed() < PATIENCE {
            let tracks = self.of(prefix);
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
            what: format!("{count} builds {prefix}…, of which {reached} came that far"),
            seconds: PATIENCE.as_secs(),
        })
    }
}

fn lock(tracks: &Tracks) -> MutexGuard<'_, HashMap<String, Track>> {
    tracks.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch<P: ResourceExt>(
    tracks: Tracks,
    builds: impl Stream<Item = watcher::Result<Build>>,
    pods: impl Stream<Item = watcher::Result<P>>,
) {
    let (mut builds, mut pods) = (pin!(builds), pin!(pods));
    loop {
        tokio::select! {
            Some(Ok(build)) = builds.next() => {
                let now = Instant::now();
                let mut tracks = lock(&tracks);
                let track = tracks.entry(build.name_any()).or_default();
                track.created.get_or_insert(now);
                if is_settled(build.status.as_ref()) && track.ended.is_none() {
                    track.ended = Some(now);
                    track.good = build.status.and_then(|status| status.phase) == Some(Phase::Succeeded);
                }
            }
            Some(Ok(pod)) = pods.next() => {
                let now = Instant::now();
                if let Some(build) = pod.labels().get(LABEL_BUILD) {
                    lock(&tracks).entry(build.clone()).or_default().pod.get_or_insert(now);
                }
            }
            else => return,
        }
    }
}
