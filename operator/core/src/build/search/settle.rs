//! Where a state goes when nothing more goes wrong: everything that is begun comes to its end, watches show all,
//! every build is looked at again and again. It must come to rest, and rest must be an end.

use std::collections::HashSet;

use super::mind::Mind;
use super::state::{End, Job, JobState, Pod, PodState, Real, State, Step};
use super::{check, cluster, operator};

/// States from which it is known that they settle.
#[derive(Default)]
pub(super) struct Known(HashSet<u128>);

/// Rounds after which something goes round in circles: many more than the longest way takes.
const ROUNDS: usize = 120;

/// Whether the state comes to a good end.
pub(super) fn settles(state: &State, mind: &mut Mind, known: &mut Known) -> Result<(), String> {
    let mut state = state.clone();
    let mut way = Vec::new();
    for _ in 0..ROUNDS {
        let here = state.fingerprint();
        if known.0.contains(&here) {
            known.0.extend(way);
            return Ok(());
        }
        way.push(here);
        round(&mut state, mind);
        if state.fingerprint() != here {
            continue;
        }
        if let Some(at) = cluster::next_attempt(&state, mind) {
            state.now = at;
            continue;
        }
        check::end(&state, mind)?;
        known.0.extend(way);
        return Ok(());
    }
    Err(format!("it never comes to rest: {:?}", state.real))
}

fn round(state: &mut State, mind: &mut Mind) {
    state.refs.suspended = false;
    while !state.late.is_empty() {
        operator::arrive(state, mind, 0);
    }
    for of in 0..state.real.len() {
        while state.flights[of].is_some() {
            operator::send(state, mind, of);
        }
        show(state, of, 7);
        operator::look(state, mind, of);
        operator::begin(state, mind, of);
        while state.flights[of].is_some() {
            operator::send(state, mind, of);
        }
        advance(&mut state.real[of]);
    }
    while !state.asked.is_empty() {
        operator::find_out(state, 0);
    }
}

/// Watches show what there is: 1 that of builds, 2 that of pods, 4 that of jobs.
pub(super) fn show(state: &mut State, of: usize, watches: u8) {
    let real = &state.real[of];
    let seen = &mut state.seen[of];
    if watches & 1 > 0 {
        state.touched[of] |= seen.copy != real.copy;
        seen.copy = real.copy;
    }
    if watches & 2 > 0 {
        state.touched[of] |= seen.pods != real.pods;
        seen.pods.clone_from(&real.pods);
        seen.job_pods.clone_from(&real.jobs);
    }
    if watches & 4 > 0 {
        seen.jobs.clone_from(&real.jobs);
    }
}

fn advance(real: &mut Real) {
    let gone = real.copy.gone;
    real.pods.retain(|pod| !gone && !pod.dying);
    real.jobs.retain(|_| !gone);
    for pod in &mut real.pods {
        pod.state = pod_state(*pod);
    }
    for job in &mut real.jobs {
        job.state = job_state(*job);
        if job.step == Step::Publish && job.state == JobState::Over(End::Good) {
            real.published = Some(job.digest);
        }
    }
}

fn pod_state(pod: Pod) -> PodState {
    match pod.state {
        PodState::Runs | PodState::Stuck if pod.short => PodState::TimedOut,
        PodState::Waits | PodState::Stuck => PodState::Runs,
        PodState::Runs => PodState::Pushed,
        ended => ended,
    }
}

fn job_state(job: Job) -> JobState {
    match job.state {
        JobState::Runs if job.short => JobState::Over(End::TimedOut),
        JobState::Made => JobState::Runs,
        JobState::Runs => JobState::Over(End::Good),
        JobState::Over(end) | JobState::Told(end) => JobState::Told(end),
    }
}
