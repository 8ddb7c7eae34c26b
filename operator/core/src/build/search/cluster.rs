//! What the cluster, its users and the clock do.

use super::mind::Mind;
use super::state::{End, Job, JobState, Pod, PodState, Real, State, Step};

/// What may happen in a case beside what always may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct May {
    pub(super) break_steps: bool,
    pub(super) evict: bool,
    pub(super) get_stuck: bool,
    pub(super) fail_policy: bool,
    pub(super) break_jobs: bool,
    pub(super) publish_late: bool,
    pub(super) cancel: bool,
    pub(super) delete: bool,
    pub(super) crash: bool,
    /// A new process may begin with caches that lag.
    pub(super) lag_at_start: bool,
    /// A request may fail, applied or not.
    pub(super) fail_requests: bool,
    /// Which watches may lag behind the others: all of them, or they come together.
    pub(super) lag_apart: bool,
}

/// Every next state of one build's objects, with a word for it.
pub(super) fn objects(state: &State, of: usize, may: May) -> Vec<(&'static str, State)> {
    let real = &state.real[of];
    let mut next = Vec::new();
    for (index, pod) in real.pods.iter().enumerate() {
        for (word, then) in pod_steps(*pod, real, state.budget.deletions, may) {
            let mut state = state.clone();
            if word == "pod is deleted by hand" {
                state.budget.deletions -= 1;
            }
            match then {
                Some(pod) => state.real[of].pods[index] = pod,
                None => {
                    state.real[of].pods.remove(index);
                }
            }
            next.push((word, state));
        }
    }
    for (index, job) in real.jobs.iter().enumerate() {
        for (word, then) in job_steps(*job, real, state.budget.deletions, may) {
            let mut state = state.clone();
            if word == "job is deleted by hand" {
                state.budget.deletions -= 1;
            }
            match then {
                Some(job) => put_job(&mut state.real[of], index, job),
                None => {
                    state.real[of].jobs.remove(index);
                }
            }
            next.push((word, state));
        }
    }
    next
}

/// A publish that ends well, or breaks off late, has set the tag.
fn put_job(real: &mut Real, index: usize, job: Job) {
    if job.step == Step::Publish && matches!(job.state, JobState::Over(End::Good | End::Late)) {
        real.published = Some(job.digest);
    }
    real.jobs[index] = job;
}

type Next<T> = Vec<(&'static str, Option<T>)>;

fn pod_steps(pod: Pod, real: &Real, deletions: u8, may: May) -> Next<Pod> {
    let to = |state| Some(Pod { state, ..pod });
    let mut next: Next<Pod> = Vec::new();
    let mut push = |allowed: bool, word, pod| {
        if allowed {
            next.push((word, pod));
        }
    };
    let runs = pod.state == PodState::Runs;
    let has_node = runs || pod.state == PodState::Stuck;
    push(pod.state == PodState::Waits, "pod gets a node", to(PodState::Runs));
    push(
        pod.state == PodState::Waits && may.get_stuck,
        "pod is stuck",
        to(PodState::Stuck),
    );
    push(pod.state == PodState::Stuck, "pod is stuck no more", to(PodState::Runs));
    push(runs, "image is pushed", to(PodState::Pushed));
    push(runs && may.break_steps, "step fails", to(PodState::Broken));
    push(runs && may.evict, "pod is evicted", to(PodState::Evicted));
    push(has_node && pod.short, "kubelet ends pod", to(PodState::TimedOut));
    push(
        deletions > 0,
        "pod is deleted by hand",
        if has_node {
            Some(Pod { dying: true, ..pod })
        } else {
            None
        },
    );
    push(pod.dying, "pod is gone", None);
    push(real.copy.gone, "pod is collected", None);
    next
}

fn job_steps(job: Job, real: &Real, deletions: u8, may: May) -> Next<Job> {
    let to = |state| Some(Job { state, ..job });
    let mut next: Next<Job> = Vec::new();
    let mut push = |allowed: bool, word, job| {
        if allowed {
            next.push((word, job));
        }
    };
    let runs = job.state == JobState::Runs;
    let publishes = job.step == Step::Publish;
    push(job.state == JobState::Made, "job's pod runs", to(JobState::Runs));
    push(runs, "job's pod ends well", to(JobState::Over(End::Good)));
    push(
        runs && !publishes && may.fail_policy,
        "policy says no",
        to(JobState::Over(End::Bad)),
    );
    push(
        runs && may.break_jobs,
        "job's pod breaks",
        to(JobState::Over(End::Broken)),
    );
    push(
        runs && publishes && may.publish_late,
        "job's pod breaks after the tag",
        to(JobState::Over(End::Late)),
    );
    push(
        runs && job.short,
        "kubelet ends job's pod",
        to(JobState::Over(End::TimedOut)),
    );
    if let JobState::Over(end) = job.state {
        push(true, "job is told", to(JobState::Told(end)));
    }
    push(deletions > 0, "job is deleted by hand", None);
    push(real.copy.gone, "job is swept", None);
    next
}

/// What users do to one build.
pub(super) fn user(state: &State, of: usize, may: May) -> Vec<(&'static str, State)> {
    let copy = state.real[of].copy;
    let mut next = Vec::new();
    if may.cancel && !copy.cancelled && !copy.gone {
        let mut state = state.clone();
        state.real[of].copy.cancelled = true;
        next.push(("build is cancelled", state));
    }
    if may.delete && !copy.gone {
        let mut state = state.clone();
        state.real[of].copy.gone = true;
        next.push(("build is deleted", state));
    }
    next
}

/// What concerns everybody: suspension, entitlement, policy, time.
pub(super) fn everybody(state: &State, mind: &Mind) -> Vec<(&'static str, State)> {
    let mut next = Vec::new();
    let budget = state.budget;
    let mut change = |allowed: bool, word, change: fn(&mut State)| {
        if allowed {
            let mut state = state.clone();
            change(&mut state);
            next.push((word, state));
        }
    };
    change(
        budget.suspensions > 0 && !state.refs.suspended,
        "tenant is suspended",
        |state| {
            state.refs.suspended = true;
            state.budget.suspensions -= 1;
        },
    );
    change(state.refs.suspended, "tenant goes on", |state| {
        state.refs.suspended = false;
    });
    change(budget.withdrawals > 0, "capability is withdrawn", |state| {
        state.refs.withdrawn = true;
        state.budget.withdrawals -= 1;
    });
    change(budget.policies > 0, "policy changes", |state| {
        state.refs.policy += 1;
        state.budget.policies -= 1;
    });
    change(budget.deadlines > 0, "every deadline passes", |state| {
        state.now += 7200;
        state.budget.deadlines -= 1;
    });
    if let Some(at) = next_attempt(state, mind) {
        let mut state = state.clone();
        state.now = at;
        next.push(("time for the next attempt", state));
    }
    next
}

/// When the next attempt is due, if one is waited for.
pub(super) fn next_attempt(state: &State, mind: &Mind) -> Option<i32> {
    let builds = state.real.iter().filter(|real| !real.copy.gone);
    builds
        .filter_map(|real| mind.gist(real.copy.status).next_attempt_at)
        .filter(|at| *at > state.now)
        .min()
}
