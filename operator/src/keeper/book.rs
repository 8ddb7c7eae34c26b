//! Which logs are being kept, are kept, or are lost: in memory, by build. What is kept and stands in status is
//! forgotten; a new process finds the rest again from pods and statuses.

use std::collections::HashMap;
use std::time::Duration;

use imagefactory_core::build::logs::{EndedContainer, Origin};
use imagefactory_core::work::Work;
use imagefactory_crds::build::{KeptLog, KeptLogs};
use imagefactory_crds::{Build, ImageScan};
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

/// How long the end of a build is held back for its logs, so that one write says both.
pub(super) const HOLD: Duration = Duration::from_secs(5);

/// What became of a log.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Not tried yet, or being copied.
    Waiting,
    /// The store fails; tried again.
    StoreFails,
    /// The log can't be read; tried again.
    Unreadable,
    /// Safe.
    Kept(KeptLog),
    /// There is nothing to keep any more.
    Lost,
}

struct Entry {
    container: EndedContainer,
    seen: Instant,
    state: State,
}

/// A Build or an ImageScan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// A Build.
    Build(ObjectRef<Build>),
    /// An ImageScan.
    Scan(ObjectRef<ImageScan>),
}

impl Run {
    /// What a log is of.
    pub(super) fn of(origin: &Origin) -> Self {
        let namespace = origin.build_namespace();
        match origin.work {
            Work::Build => Self::Build(ObjectRef::new(&origin.build).within(&namespace)),
            Work::Scan => Self::Scan(ObjectRef::new(&origin.build).within(&namespace)),
        }
    }
}

struct Record {
    build: Run,
    entries: Vec<Entry>,
    /// Somebody waits until all of it is decided.
    awaited: bool,
}

/// What the status of a build tells.
pub(super) struct Told {
    pub(super) is_settled: bool,
    pub(super) logs: Option<KeptLogs>,
}

impl Told {
    fn tells(&self, log: &KeptLog) -> bool {
        self.logs.as_ref().is_some_and(|logs| logs.containers.contains(log))
    }
}

/// All logs that are not both kept and recorded.
#[derive(Default)]
pub(super) struct Book(HashMap<String, Record>);

impl Book {
    /// Takes a container in; whether it is a new one.
    pub(super) fn note(&mut self, container: &EndedContainer, now: Instant) -> bool {
        let origin = &container.origin;
        let record = self.0.entry(origin.build_uid.clone()).or_insert_with(|| Record {
            build: Run::of(origin),
            entries: Vec::new(),
            awaited: false,
        });
        if record.entries.iter().any(|entry| entry.is(container)) {
            return false;
        }
        record.entries.push(Entry {
            container: container.clone(),
            seen: now,
            state: State::Waiting,
        });
        true
    }

    /// Says what became of a log. Returns the build to wake: if somebody waited for this one, or if nobody did any more,
    /// since it could not be read, and now it is safe after all.
    pub(super) fn set(&mut self, container: &EndedContainer, state: State) -> Option<Run> {
        let record = self.0.get_mut(&container.origin.build_uid)?;
        let entry = record.entries.iter_mut().find(|entry| entry.is(container))?;
        let is_late = entry.state == State::Unreadable && matches!(state, State::Kept(_));
        entry.state = state;
        let wakes = (record.awaited || is_late) && !record.entries.iter().any(Entry::is_pending);
        record.awaited &= !wakes;
        wakes.then(|| record.build.clone())
    }

    /// Logs of a build that are safe.
    pub(super) fn kept(&self, build_uid: &str) -> Vec<KeptLog> {
        let kept = |entry: &Entry| match &entry.state {
            State::Kept(log) => Some(log.clone()),
            State::Waiting | State::StoreFails | State::Unreadable | State::Lost => None,
        };
        self.entries(build_uid).filter_map(kept).collect()
    }

    /// Whether logs of a build are about to be safe, and worth waiting for.
    pub(super) fn is_busy(&self, build_uid: &str, now: Instant) -> bool {
        self.entries(build_uid)
            .any(|entry| entry.state == State::Waiting && now.duration_since(entry.seen) < HOLD)
    }

    /// Whether logs of a build will still be kept; if so, its build is woken when that is decided.
    pub(super) fn await_all(&mut self, build_uid: &str) -> bool {
        let Some(record) = self.0.get_mut(build_uid) else {
            return false;
        };
        record.awaited = record.entries.iter().any(Entry::is_pending);
        record.awaited
    }

    /// Whether nothing of this container's log is lost if its pod goes.
    pub(super) fn is_safe(&self, container: &EndedContainer) -> bool {
        self.entries(&container.origin.build_uid)
            .any(|entry| entry.is(container) && matches!(entry.state, State::Kept(_) | State::Lost))
    }

    /// Logs that are not safe.
    pub(super) fn waiting(&self) -> usize {
        let unsafe_ones = |entry: &&Entry| !matches!(entry.state, State::Kept(_) | State::Lost);
        self.0
            .values()
            .flat_map(|record| &record.entries)
            .filter(unsafe_ones)
            .count()
    }

    /// Forgets what status says, and what nobody will ask for. `known` tells of the build of a uid, none if it is gone;
    /// `has_pod` whether a pod is there.
    pub(super) fn forget(
        &mut self,
        known: impl Fn(&Run, &str) -> Option<Told>,
        has_pod: impl Fn(&EndedContainer) -> bool,
    ) {
        for (uid, record) in &mut self.0 {
            let build = known(&record.build, uid);
            record.entries.retain(|entry| match (&entry.state, &build) {
                (State::Kept(log), Some(build)) if build.tells(log) => false,
                (State::Kept(_), Some(Told { is_settled: false, .. })) => true,
                (State::Kept(_) | State::Lost, _) => has_pod(&entry.container),
                (State::Waiting | State::StoreFails | State::Unreadable, _) => true,
            });
        }
        self.0.retain(|_, record| !record.entries.is_empty());
    }

    fn entries(&self, build_uid: &str) -> impl Iterator<Item = &Entry> {
        self.0.get(build_uid).into_iter().flat_map(|record| &record.entries)
    }
}

impl Entry {
    fn is(&self, container: &EndedContainer) -> bool {
        self.container.pod_uid == container.pod_uid && self.container.container == container.container
    }

    /// Whether status waits for it: an unreadable log may stay so for an hour, and others are not held back for it.
    fn is_pending(&self) -> bool {
        matches!(self.state, State::Waiting | State::StoreFails)
    }
}
