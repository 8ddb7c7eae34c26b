//! A state of the small world: what the API server holds, what the operator has seen of it, what it is about to do.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::dispatch::{Doubt, Queue};

/// Number of an attempt, a life, a digest.
pub(super) type Small = u8;
/// A status that was written, as [`super::mind::Mind`] keeps it.
pub(super) type StatusId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PodState {
    /// Without a node.
    Waits,
    /// On a node that can't pull its image.
    Stuck,
    Runs,
    /// Ended with an image in staging.
    Pushed,
    /// A step of the tenant failed.
    Broken,
    Evicted,
    TimedOut,
}

impl PodState {
    pub(super) fn is_live(self) -> bool {
        matches!(self, Self::Waits | Self::Stuck | Self::Runs)
    }
}

/// The pod that builds. `life` tells pods of one name apart, as a uid does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pod {
    pub(super) attempt: Small,
    pub(super) life: Small,
    pub(super) state: PodState,
    /// Being deleted.
    pub(super) dying: bool,
    /// Its deadline was lowered.
    pub(super) short: bool,
    pub(super) created: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Scan,
    Publish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Good,
    /// The policy says no.
    Bad,
    /// The container broke off.
    Broken,
    /// It broke off after the tag was set.
    Late,
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum JobState {
    Made,
    Runs,
    /// Its pod has ended, and the job does not say so yet.
    Over(End),
    Told(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) step: Step,
    pub(super) attempt: Small,
    pub(super) life: Small,
    /// What it scans or publishes.
    pub(super) digest: Small,
    /// Policy that it judges by.
    pub(super) policy: Small,
    pub(super) state: JobState,
    pub(super) short: bool,
    pub(super) created: i32,
}

/// A Build. Two that are equal have the same resourceVersion: what is written back never stood there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Copy {
    pub(super) gone: bool,
    pub(super) cancelled: bool,
    pub(super) status: StatusId,
}

/// What the API server and the registry hold of one build.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Real {
    pub(super) copy: Copy,
    pub(super) pods: Vec<Pod>,
    pub(super) jobs: Vec<Job>,
    pub(super) published: Option<Small>,
}

/// What the operator's watches have shown of one build: three of them, and each may lag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) copy: Copy,
    pub(super) pods: Vec<Pod>,
    /// As the watch of jobs shows them.
    pub(super) jobs: Vec<Job>,
    /// As the watch of pods shows those of jobs.
    pub(super) job_pods: Vec<Job>,
}

/// A pass whose requests are being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    pub(super) read: Copy,
    pub(super) plan: u32,
    pub(super) at: Small,
}

/// What a build refers to, and what the user and the cluster may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refs {
    pub(super) suspended: bool,
    pub(super) withdrawn: bool,
    pub(super) policy: Small,
}

/// How often what never ends by itself may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Pods or jobs deleted by hand.
    pub(super) deletions: Small,
    pub(super) suspensions: Small,
    pub(super) withdrawals: Small,
    pub(super) policies: Small,
    /// The clock moves past every deadline.
    pub(super) deadlines: Small,
    /// Requests that are given up and arrive all the same, at any later time: of a frozen process, or a slow network.
    pub(super) late: Small,
}

/// Whether something runs on a slot: not asked yet, or what the API server said.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) of: usize,
    pub(super) doubt: Doubt,
    pub(super) runs: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) now: i32,
    pub(super) refs: Refs,
    pub(super) budget: Budget,
    pub(super) real: Vec<Real>,
    pub(super) seen: Vec<Seen>,
    pub(super) flights: Vec<Option<Flight>>,
    /// Requests on their way that nobody waits for any more.
    pub(super) late: Vec<(usize, Flight)>,
    /// Builds that the dispatcher has yet to look at.
    pub(super) touched: Vec<bool>,
    pub(super) asked: Vec<Asked>,
    pub(super) queue: Queue,
}

impl Copy {
    pub(super) const NEW: Self = Self {
        gone: false,
        cancelled: false,
        status: 0,
    };
}

impl Real {
    pub(super) fn new() -> Self {
        Self {
            copy: Copy::NEW,
            pods: Vec::new(),
            jobs: Vec::new(),
            published: None,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            copy: self.copy,
            pods: self.pods.clone(),
            jobs: self.jobs.clone(),
            job_pods: self.jobs.clone(),
        }
    }

    pub(super) fn live_pods(&self) -> usize {
        self.pods.iter().filter(|pod| pod.state.is_live()).count()
    }
}

impl State {
    /// Tells states apart. A collision among millions is next to impossible with 128 bits.
    pub(super) fn fingerprint(&self) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            (self.now, self.refs, self.budget, &self.real, &self.seen).hash(&mut hasher);
            (&self.flights, &self.late, &self.touched).hash(&mut hasher);
            for asked in &self.asked {
                (asked.of, asked.runs).hash(&mut hasher);
            }
            let doubts = self.asked.iter().map(|asked| &asked.doubt);
            self.queue.fingerprint(doubts, &mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}
