//! One contender at work on a control plane that nobody used before: at a pace, and with everything at once.
//! `peers` does the same with more contenders and figures of its own.

use std::time::Duration;

use imagefactory_crds::names::tenant_namespace;
use tokio::time::{Instant, sleep};

use super::Sizes;
use crate::audit;
use crate::error::{BenchError, Result};
use crate::load::{self, Units};
use crate::observer::{Observer, Track};
use crate::output::{Contender, Figures, percentile};
use crate::recorded::Recorded;
use crate::rig::{Memory, NO_LIMIT, Operator, Peer, Peers, Places, Process, Rig, Team, USERS};

const TEAM: Team = Team {
    name: "acme",
    concurrent: 10_000,
};
/// What follows a build's end, as the counts of its project, falls on it and not on the next figure.
const SETTLE: Duration = Duration::from_secs(3);

/// A contender that is up, and everything that looks at it.
pub(super) struct Block {
    /// The control plane below.
    pub rig: Rig,
    /// Who it is.
    pub contender: Contender,
    /// What it brings to its end.
    pub units: Units,
    observer: Observer,
    processes: Vec<Process>,
}

/// What work took.
pub(super) struct Work {
    tracks: Vec<Track>,
    cpu: Duration,
    /// The contender's.
    pub requests: audit::Requests,
    /// Those of the controller of jobs, service accounts and quotas.
    pub controllers: audit::Requests,
    /// Those of everybody, the load and the kubelet's double among them.
    pub everybody: audit::Requests,
    began: Instant,
}

/// Paces, requests, rate and processor time.
pub(super) async fn take(places: &Places, contender: Contender, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let (block, sample) = Block::start(places, contender).await?;
    if contender == Contender::Operator {
        tell_requests(&sample, "through every state", 1, contender, figures)?;
    }
    for pace in [10, 20] {
        let work = block.at_pace(sizes.paced, pace).await?;
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let figure = format!("create to pod at {pace} builds/s, {name}");
            figures.add(&figure, "ms", contender, work.wait(share))?;
        }
        let figure = format!("processor time per build at {pace} builds/s");
        figures.add(&figure, "ms", contender, work.cpu_per_unit())?;
    }
    block.drain(sizes.drain, figures).await
}

/// Many at once.
pub(super) async fn long(places: &Places, contender: Contender, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let (block, _) = Block::start(places, contender).await?;
    block.drain(sizes.long_drain, figures).await
}

impl Block {
    /// The operator or a contender that decides nothing, and what the operator asked for one build through every state.
    pub(super) async fn start(places: &Places, contender: Contender) -> Result<(Self, audit::Requests)> {
        let (rig, operator) = Rig::start(places, &[TEAM], Some(NO_LIMIT)).await?;
        let namespace = tenant_namespace(TEAM.name);
        let offset = audit::end(&rig.plane.audit_log())?;
        // The operator's in every block: it warms the API server up, and is what the other one repeats.
        let recorded = Recorded::take(&rig.client, &namespace).await?;
        sleep(SETTLE).await;
        let sample = audit::since(&rig.plane.audit_log(), offset, &["operator"])?;
        let more: &[&str] = if contender == Contender::NullOnePod {
            &["--one-pod"]
        } else {
            &[]
        };
        let process = if contender == Contender::Operator {
            operator.process
        } else {
            drop::<Operator>(operator);
            let path = rig.plane.dir().join("recorded.json");
            recorded.write(&path)?;
            rig.null(&path, more)?
        };
        sleep(SETTLE).await;
        let mut block = Self {
            observer: Observer::start(&rig.plane.client("watcher").await?),
            rig,
            contender,
            units: Units::Builds(namespace),
            processes: vec![process],
        };
        block.lives()?;
        Ok((block, sample))
    }

    /// Tekton or Shipwright, after one unit: that warms the API server up here too.
    pub(super) async fn of(places: &Places, contender: Contender, peer: Peer) -> Result<Self> {
        let peers = Peers::start(places, peer).await?;
        let watcher = peers.rig.plane.client("watcher").await?;
        let mut block = Self {
            observer: Observer::of_runs(&watcher, &peers.resource, peers.label),
            rig: peers.rig,
            contender,
            units: peers.units,
            processes: peers.processes,
        };
        let first = block.units.create(&block.rig.client, "first");
        block.work("first", 1, first).await?;
        block.lives()?;
        Ok(block)
    }

    /// Fails if anything of it has ended.
    pub(super) fn lives(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::lives)?;
        self.rig.plane.lives()
    }

    /// Has so many units made in a second.
    pub(super) async fn at_pace(&self, count: usize, per_second: u32) -> Result<Work> {
        let prefix = format!("pace{per_second}-");
        let made = load::at_pace(&self.rig.client, &self.units, &prefix, count, per_second);
        self.work(&prefix, count, made).await
    }

    /// Has all made at once.
    pub(super) async fn at_once(&self, count: usize) -> Result<Work> {
        let made = load::at_once(&self.rig.client, &self.units, "drain-", count);
        self.work("drain-", count, made).await
    }

    /// What its processes hold of memory, in MiB, each told by `kib`.
    pub(super) fn memory(&self, kib: impl Fn(Memory) -> u64) -> Result<f64> {
        let held = self.processes.iter().map(|process| process.memory().map(&kib));
        Ok(held.sum::<Result<u64>>()? as f64 / 1024.0)
    }

    /// Rate, memory, processor time and requests with everything at once.
    async fn drain(mut self, builds: usize, figures: &mut Figures) -> Result<()> {
        let work = self.at_once(builds).await?;
        let contender = self.contender;
        figures.add(&format!("drain of {builds}"), "builds/s", contender, work.rate())?;
        let figure = format!("processor time per build, drain of {builds}");
        figures.add(&figure, "ms", contender, work.cpu_per_unit())?;
        let figure = format!("resident memory at its peak, drain of {builds}");
        figures.add(&figure, "MiB", contender, self.memory(|memory| memory.peak)?)?;
        tell_requests(
            &work.requests,
            &format!("drain of {builds}"),
            builds,
            contender,
            figures,
        )?;
        self.lives()
    }

    fn cpu(&self) -> Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Has units made and waits for the end of all.
    async fn work(&self, prefix: &str, count: usize, made: impl Future<Output = Result<()>>) -> Result<Work> {
        let log = self.rig.plane.audit_log();
        let (offset, cpu, began) = (audit::end(&log)?, self.cpu()?, Instant::now());
        made.await?;
        let tracks = self
            .observer
            .wait_for(prefix, count, |track| track.ended.is_some())
            .await
            .map_err(|error| BenchError::Wrong(format!("{error}; its last words: {}", self.last_words())))?;
        sleep(SETTLE).await;
        let bad = tracks.iter().filter(|track| !track.good).count();
        if bad > 0 {
            return Err(BenchError::Wrong(format!(
                "{bad} of {count} of {prefix}… did not succeed"
            )));
        }
        Ok(Work {
            tracks,
            cpu: self.cpu()?.saturating_sub(cpu),
            requests: audit::since(&log, offset, self.contender.users())?,
            controllers: audit::since(&log, offset, &["controllers"])?,
            everybody: audit::since(&log, offset, &USERS)?,
            began,
        })
    }

    fn last_words(&self) -> String {
        let words = self.processes.iter().map(Process::last_words);
        words.collect::<Vec<_>>().join(" | ")
    }
}

impl Work {
    /// Units that ended in a second, from the first create to the last end.
    pub(super) fn rate(&self) -> f64 {
        let last = self.tracks.iter().filter_map(|track| track.ended).max();
        let took = last.unwrap_or(self.began).saturating_duration_since(self.began);
        self.tracks.len() as f64 / took.as_secs_f64()
    }

    /// From a unit to its pod, in milliseconds: what that share of all took at most.
    pub(super) fn wait(&self, share: f64) -> f64 {
        percentile(self.tracks.iter().filter_map(Track::wait).collect(), share)
    }

    /// Milliseconds of processor time.
    pub(super) fn cpu_per_unit(&self) -> f64 {
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
