//! One contender at work on a control plane that nobody used before: at a pace, and with everything at once.

use std::time::Duration;

use imagefactory_crds::names::tenant_namespace;
use tokio::time::{Instant, sleep};

use super::Sizes;
use crate::audit;
use crate::error::{BenchError, Result};
use crate::load;
use crate::observer::{Observer, Track};
use crate::output::{Contender, Figures, percentile};
use crate::recorded::Recorded;
use crate::rig::{NO_LIMIT, Operator, Places, Process, Rig, Team};

const TEAM: Team = Team {
    name: "acme",
    concurrent: 10_000,
};
/// What follows a build's end, as the counts of its project, falls on it and not on the next figure.
const SETTLE: Duration = Duration::from_secs(3);

/// A contender that is up, and everything that looks at it.
struct Block {
    rig: Rig,
    observer: Observer,
    contender: Contender,
    process: Process,
    namespace: String,
}

/// What work took.
struct Work {
    tracks: Vec<Track>,
    cpu: Duration,
    requests: audit::Requests,
    began: Instant,
}

/// Paces, requests, rate and processor time.
pub(super) async fn take(places: &Places, contender: Contender, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let block = Block::start(places, contender, figures).await?;
    for pace in [10, 20] {
        let prefix = format!("pace{pace}-");
        let made = load::at_pace(&block.rig.client, &block.namespace, &prefix, sizes.paced, pace);
        let work = block.work(&prefix, sizes.paced, made).await?;
        let waits: Vec<_> = work.tracks.iter().filter_map(Track::wait).collect();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let figure = format!("create to pod at {pace} builds/s, {name}");
            figures.add(&figure, "ms", contender, percentile(waits.clone(), share))?;
        }
        let figure = format!("processor time per build at {pace} builds/s");
        figures.add(&figure, "ms", contender, work.cpu_per_build())?;
    }
    block.drain(sizes.drain, figures).await
}

/// Many at once.
pub(super) async fn long(places: &Places, contender: Contender, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let block = Block::start(places, contender, figures).await?;
    block.drain(sizes.long_drain, figures).await
}

impl Block {
    async fn start(places: &Places, contender: Contender, figures: &mut Figures) -> Result<Self> {
        let (rig, operator) = Rig::start(places, &[TEAM], Some(NO_LIMIT)).await?;
        let namespace = tenant_namespace(TEAM.name);
        let offset = audit::end(&rig.plane.audit_log())?;
        // The operator's in every block: it warms the API server up, and is what the other one repeats.
        let recorded = Recorded::take(&rig.client, &namespace).await?;
        sleep(SETTLE).await;
        if contender == Contender::Operator {
            tell_requests(
                &audit::since(&rig.plane.audit_log(), offset, "operator")?,
                "through every state",
                1,
                contender,
                figures,
            )?;
        }
        let mut process = match contender {
            Contender::Operator => operator.process,
            Contender::Null => {
                drop::<Operator>(operator);
                let path = rig.plane.dir().join("recorded.json");
                recorded.write(&path)?;
                rig.null(&path)?
            }
        };
        sleep(SETTLE).await;
        process.lives()?;
        let observer = Observer::start(&rig.plane.client("watcher").await?);
        Ok(Self {
            rig,
            observer,
            contender,
            process,
            namespace,
        })
    }

    /// Rate, memory, processor time and requests with everything at once.
    async fn drain(mut self, builds: usize, figures: &mut Figures) -> Result<()> {
        let made = load::at_once(&self.rig.client, &self.namespace, "drain-", builds);
        let work = self.work("drain-", builds, made).await?;
        let last = work
            .tracks
            .iter()
            .filter_map(|track| track.ended)
            .max()
            .unwrap_or(work.began);
        let rate = builds as f64 / last.saturating_duration_since(work.began).as_secs_f64();
        let contender = self.contender;
        figures.add(&format!("drain of {builds}"), "builds/s", contender, rate)?;
        let figure = format!("processor time per build, drain of {builds}");
        figures.add(&figure, "ms", contender, work.cpu_per_build())?;
        let figure = format!("resident memory at its peak, drain of {builds}");
        figures.add(&figure, "MiB", contender, self.process.memory()?.peak as f64 / 1024.0)?;
        tell_requests(
            &work.requests,
            &format!("drain of {builds}"),
            builds,
            contender,
            figures,
        )?;
        self.process.lives()?;
        self.rig.plane.lives()
    }

    /// Has builds made and waits for the end of all.
    async fn work(&self, prefix: &str, builds: usize, made: impl Future<Output = Result<()>>) -> Result<Work> {
        let log = self.rig.plane.audit_log();
        let (offset, cpu, began) = (audit::end(&log)?, self.process.cpu()?, Instant::now());
        made.await?;
        let tracks = self
            .observer
            .wait_for(prefix, builds, |track| track.ended.is_some())
            .await
            .map_err(|error| BenchError::Wrong(format!("{error}; its last words: {}", self.process.last_words())))?;
        sleep(SETTLE).await;
        let bad = tracks.iter().filter(|track| !track.good).count();
        if bad > 0 {
            return Err(BenchError::Wrong(format!(
                "{bad} of {builds} builds {prefix}… did not succeed"
            )));
        }
        Ok(Work {
            tracks,
            cpu: self.process.cpu()?.saturating_sub(cpu),
            requests: audit::since(&log, offset, self.contender.as_str())?,
            began,
        })
    }
}

impl Work {
    fn cpu_per_build(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.tracks.len() as f64
    }
}

fn tell_requests(
    requests: &audit::Requests,
    what: &str,
    builds: usize,
    contender: Contender,
    figures: &mut Figures,
) -> Result<()> {
    let kinds = [
        ("creates and status writes", requests.mutating()),
        ("creates", requests.creates),
        ("status writes", requests.statuses),
        ("Events", requests.events),
        ("deletes", requests.deletes),
        ("other writes", requests.others),
        ("refused writes", requests.refused),
        ("gets", requests.gets),
    ];
    for (kind, count) in kinds {
        let figure = format!("{kind} per build, {what}");
        figures.add(&figure, "requests", contender, count as f64 / builds as f64)?;
    }
    Ok(())
}
