//! What the operator does, as its edge does it: a pass reads the watches' stores, asks the queue and the core, and sends
//! its requests one by one; the dispatcher follows the watches. It may die, or fail, between any two requests.

use super::mind::{Mind, Numbers, Question, Request, Wants};
use super::state::{Asked, Copy, Flight, Job, JobState, Pod, PodState, Real, Small, State, Step};
use super::view::Target;
use crate::build::names::Stage;
use crate::dispatch::{Claim, Holding, Queue, Slot, claim, id_of};

/// A new process: an empty queue, filled from the stores and from what the API server says lives.
pub(super) fn restart(state: &mut State, mind: &mut Mind, caches_lag: bool) {
    let settings = &mind.world(0).settings.dispatch;
    let ageing = jiff::SignedDuration::from_secs(settings.ageing_seconds);
    state.queue = Queue::new(settings.max_builds, ageing);
    state.flights.fill(None);
    state.touched.fill(false);
    state.asked.clear();
    if !caches_lag {
        state.seen = state.real.iter().map(Real::seen).collect();
    }
    seed(state, mind);
}

fn seed(state: &mut State, mind: &mut Mind) {
    for of in 0..state.real.len() {
        let copy = state.seen[of].copy;
        let runs = match claim(mind.status(copy.status)) {
            Claim::Holds { .. } => true,
            Claim::Waits { .. } | Claim::Settled => has_live_pod(state, mind, of),
        };
        if runs && !copy.gone {
            seed_hold(state, mind, of);
        }
    }
    for of in 0..state.real.len() {
        let lives = state.real[of].pods.iter().find(|pod| pod.state.is_live()).copied();
        let Some(pod) = lives else { continue };
        let id = id_of(&mind.world(of).build).unwrap();
        if state.queue.holds(&id.uid) {
            continue;
        }
        if state.seen[of].copy.gone {
            state.queue.hold(&unknown(mind, of, pod.attempt.into()));
        } else {
            seed_hold(state, mind, of);
        }
    }
    for of in 0..state.real.len() {
        let copy = state.seen[of].copy;
        if !copy.gone && matches!(claim(mind.status(copy.status)), Claim::Waits { .. }) {
            let question = Question {
                pod: None,
                scan: None,
                publish: None,
                earlier_pod: None,
                earlier_job: None,
                ..question(state, mind, of)
            };
            if let Wants::Slot(application) = mind.wants(&question)
                && !state.queue.holds(&application.id.uid)
            {
                let _ = state.queue.apply(&application);
            }
        }
    }
    state.queue.open();
    let _ = state.queue.woken();
}

fn seed_hold(state: &mut State, mind: &mut Mind, of: usize) {
    let holding = mind.holding(of, state.seen[of].copy, Some(state.refs));
    let holding = holding.unwrap_or_else(|| unknown(mind, of, u32::MAX));
    state.queue.hold(&holding);
}

fn unknown(mind: &Mind, of: usize, turn: u32) -> Holding {
    Holding {
        id: id_of(&mind.world(of).build).unwrap(),
        turn,
        demand: None,
        limits: None,
    }
}

fn has_live_pod(state: &State, mind: &mut Mind, of: usize) -> bool {
    let seen = &state.seen[of];
    let attempt = mind.numbers(of, seen.copy).build;
    let is_it = |pod: &Pod| [attempt, attempt - 1].contains(&pod.attempt.into());
    seen.pods.iter().any(|pod| is_it(pod) && pod.state.is_live())
}

fn question(state: &State, mind: &mut Mind, of: usize) -> Question {
    let (seen, real) = (&state.seen[of], &state.real[of]);
    let numbers = mind.numbers(of, seen.copy);
    let status = mind.status(seen.copy.status);
    let settled = mind.gist(seen.copy.status).settled;
    let was_made = status.is_some_and(|status| {
        status.start_time.is_some() && status.next_attempt_at.is_none() && status.staged.is_none()
    });
    let shown = find_pod(&seen.pods, numbers.build);
    let pod = shown.or_else(|| find_pod(&real.pods, numbers.build).filter(|_| was_made && !settled));
    let publishes = may_be_published(state, mind, of);
    let mut question = Question {
        of,
        now: state.now,
        refs: state.refs,
        build: seen.copy,
        pod,
        scan: find_job(state, of, Step::Scan, numbers.scan),
        publish: find_job(state, of, Step::Publish, numbers.publish)
            .or_else(|| real_job(real, numbers.publish).filter(|_| publishes)),
        earlier_pod: None,
        earlier_job: None,
    };
    let due = mind.gist(seen.copy.status).next_attempt_at;
    if due.is_some_and(|at| at <= state.now) && !settled {
        earlier(state, of, numbers, &mut question);
    }
    question
}

/// Whether a job may publish it: then one that the watch does not show is asked for.
fn may_be_published(state: &State, mind: &Mind, of: usize) -> bool {
    let gist = mind.gist(state.seen[of].copy.status);
    gist.publishable.is_some() && gist.next_attempt_at.is_none() && !gist.settled
}

fn real_job(real: &Real, attempt: u32) -> Option<(Job, Option<Job>)> {
    let is_it = |job: &&Job| job.step == Step::Publish && u32::from(job.attempt) == attempt;
    real.jobs.iter().find(is_it).map(|job| (*job, Some(*job)))
}

/// What the attempt before left behind. There is none before the first: no pod and no job has its number.
fn earlier(state: &State, of: usize, numbers: Numbers, question: &mut Question) {
    let (seen, real) = (&state.seen[of], &state.real[of]);
    match numbers.stage {
        Stage::Build => {
            let before = numbers.build - 1;
            question.earlier_pod = find_pod(&seen.pods, before).or_else(|| find_pod(&real.pods, before));
        }
        Stage::Scan => question.earlier_job = find_job(state, of, Step::Scan, numbers.scan - 1),
        Stage::Publish => question.earlier_job = find_job(state, of, Step::Publish, numbers.publish - 1),
    }
}

fn find_pod(pods: &[Pod], attempt: u32) -> Option<Pod> {
    pods.iter().find(|pod| u32::from(pod.attempt) == attempt).copied()
}

/// The job as its watch shows it, with its pod as the other watch does.
fn find_job(state: &State, of: usize, step: Step, attempt: u32) -> Option<(Job, Option<Job>)> {
    let seen = &state.seen[of];
    let is_it = |job: &&Job| job.step == step && u32::from(job.attempt) == attempt;
    let job = seen.jobs.iter().find(is_it)?;
    let pod = seen.job_pods.iter().find(|pod| is_it(pod) && pod.life == job.life);
    Some((*job, pod.copied()))
}

/// Begins a pass.
pub(super) fn begin(state: &mut State, mind: &mut Mind, of: usize) {
    if state.seen[of].copy.gone || state.flights[of].is_some() {
        return;
    }
    let question = question(state, mind, of);
    let slot = match mind.wants(&question) {
        Wants::Slot(application) => state.queue.apply(&application),
        Wants::Nothing => {
            withdraw(state, mind, of);
            Slot::NotYet
        }
        Wants::Runs => Slot::NotYet,
    };
    let _ = state.queue.woken();
    let plan = mind.decide(&question, slot);
    if !mind.plans[plan as usize].is_empty() {
        state.flights[of] = Some(Flight {
            read: question.build,
            plan,
            at: 0,
        });
    }
}

fn withdraw(state: &mut State, mind: &Mind, of: usize) {
    let id = id_of(&mind.world(of).build).unwrap();
    if let Some(doubt) = state.queue.withdraw(&id)
        && !state
            .asked
            .iter()
            .any(|asked| asked.doubt == doubt && asked.runs.is_none())
    {
        state.asked.push(Asked { of, doubt, runs: None });
    }
}

/// Sends the next request of a pass.
pub(super) fn send(state: &mut State, mind: &Mind, of: usize) {
    let Some(flight) = state.flights[of] else { return };
    let requests = &mind.plans[flight.plan as usize];
    let stands = perform(state, of, flight, requests[usize::from(flight.at)]);
    let next = flight.at + 1;
    let goes_on = stands && usize::from(next) < requests.len();
    state.flights[of] = goes_on.then_some(Flight { at: next, ..flight });
}

/// The pass ends, and does not know that its request is on its way.
pub(super) fn give_up(state: &mut State, of: usize) {
    if let Some(flight) = state.flights[of].take() {
        state.budget.late -= 1;
        state.late.push((of, flight));
    }
}

/// A request arrives that nobody waits for.
pub(super) fn arrive(state: &mut State, mind: &Mind, index: usize) {
    let (of, flight) = state.late.remove(index);
    let request = mind.plans[flight.plan as usize][usize::from(flight.at)];
    let _ = perform(state, of, flight, request);
}

/// Whether the pass goes on.
fn perform(state: &mut State, of: usize, flight: Flight, request: Request) -> bool {
    match request {
        Request::CreatePod { attempt } => create_pod(state, of, attempt),
        Request::CreateJob {
            step,
            attempt,
            digest,
            policy,
        } => create_job(state, of, (step, attempt, digest, policy)),
        Request::EndPod(target) => shorten(&mut state.real[of], &state.seen[of].pods, target),
        Request::Delete(target) => delete(&mut state.real[of], target),
        Request::Status(status) => {
            let real = &mut state.real[of];
            if real.copy != flight.read {
                return false;
            }
            real.copy = Copy { status, ..real.copy };
        }
    }
    true
}

fn create_pod(state: &mut State, of: usize, attempt: Small) {
    if find_pod(&state.real[of].pods, attempt.into()).is_some() {
        return;
    }
    let seen = &state.seen[of];
    let is_known = |life: &Small| seen.pods.iter().any(|pod| (pod.attempt, pod.life) == (attempt, *life));
    let pod = Pod {
        attempt,
        life: (0..).find(|life| !is_known(life)).unwrap(),
        state: PodState::Waits,
        dying: false,
        short: false,
        created: state.now,
    };
    state.real[of].pods.push(pod);
}

fn create_job(state: &mut State, of: usize, made: (Step, Small, Small, Small)) {
    let (step, attempt, digest, policy) = made;
    let is_it = |job: &&Job| (job.step, job.attempt) == (step, attempt);
    if state.real[of].jobs.iter().any(|job| is_it(&job)) {
        return;
    }
    let seen = &state.seen[of];
    let known: Vec<Small> = seen
        .jobs
        .iter()
        .chain(&seen.job_pods)
        .filter(is_it)
        .map(|job| job.life)
        .collect();
    let job = Job {
        step,
        attempt,
        life: (0..).find(|life| !known.contains(life)).unwrap(),
        digest,
        policy,
        state: JobState::Made,
        short: false,
        created: state.now,
    };
    state.real[of].jobs.push(job);
}

/// Only a pod that is as it was seen: the patch carries its resourceVersion.
fn shorten(real: &mut Real, seen: &[Pod], target: Target) {
    match target {
        Target::Pod(attempt, life) => {
            let shown = seen.iter().find(|pod| (pod.attempt, pod.life) == (attempt, life));
            for pod in &mut real.pods {
                pod.short |= Some(&*pod) == shown;
            }
        }
        Target::Job(step, attempt, life) => {
            for job in &mut real.jobs {
                job.short |= (job.step, job.attempt, job.life) == (step, attempt, life);
            }
        }
    }
}

/// A pod without a node is gone at once; one with a node is ended by its kubelet first.
fn delete(real: &mut Real, target: Target) {
    match target {
        Target::Pod(attempt, life) => {
            let is_it = |pod: &Pod| (pod.attempt, pod.life) == (attempt, life);
            real.pods.retain(|pod| !is_it(pod) || pod.state != PodState::Waits);
            real.pods
                .iter_mut()
                .filter(|pod| is_it(pod))
                .for_each(|pod| pod.dying = true);
        }
        Target::Job(step, attempt, life) => real
            .jobs
            .retain(|job| (job.step, job.attempt, job.life) != (step, attempt, life)),
    }
}

/// What the dispatcher does when a watch showed something of a build.
pub(super) fn look(state: &mut State, mind: &mut Mind, of: usize) {
    state.touched[of] = false;
    let copy = state.seen[of].copy;
    if copy.gone {
        return withdraw(state, mind, of);
    }
    let id = id_of(&mind.world(of).build).unwrap();
    let lives = has_live_pod(state, mind, of);
    match claim(mind.status(copy.status)) {
        Claim::Settled if lives => {}
        Claim::Settled => state.queue.release(&id, u32::MAX),
        Claim::Waits { turn } if !lives => state.queue.release(&id, turn.saturating_sub(1)),
        Claim::Holds { .. } | Claim::Waits { .. } => {
            if let Some(holding) = mind.holding(of, copy, None) {
                state.queue.hold(&holding);
            }
        }
    }
    let _ = state.queue.woken();
}

/// Asks the API server about a doubt once no pass over its build goes on, or acts on what it said.
pub(super) fn find_out(state: &mut State, index: usize) {
    if state.flights[state.asked[index].of].is_some() && state.asked[index].runs.is_none() {
        return;
    }
    let asked = &mut state.asked[index];
    match asked.runs {
        None => asked.runs = Some(state.real[asked.of].live_pods() > 0),
        Some(runs) => {
            let asked = state.asked.remove(index);
            if !runs {
                state.queue.dispel(&asked.doubt);
                let _ = state.queue.woken();
            }
        }
    }
}
