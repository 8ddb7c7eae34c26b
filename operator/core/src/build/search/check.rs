//! What must hold in every state, and after every step.

use imagefactory_crds::build::Phase;

use super::mind::Mind;
use super::state::{End, JobState, Real, State, Step};

/// How many build pods may live at a time: in the cluster, and for each tenant the builds that are its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Caps {
    pub(super) cluster: usize,
    pub(super) tenants: Vec<(usize, Vec<usize>)>,
}

/// What is wrong with a state, if something is.
pub(super) fn state(state: &State, mind: &Mind, caps: &Caps) -> Result<(), String> {
    let live: Vec<usize> = state.real.iter().map(Real::live_pods).collect();
    if let Some(of) = live.iter().position(|live| *live > 1) {
        return Err(format!("build {of} has {} live pods", live[of]));
    }
    if live.iter().sum::<usize>() > caps.cluster {
        return Err("more build pods live than the cluster may have".to_owned());
    }
    for (cap, builds) in &caps.tenants {
        if builds.iter().map(|of| live[*of]).sum::<usize>() > *cap {
            return Err("more build pods live than a tenant may have".to_owned());
        }
    }
    for real in state.real.iter().filter(|real| !real.copy.gone) {
        published(real, mind)?;
    }
    Ok(())
}

fn published(real: &Real, mind: &Mind) -> Result<(), String> {
    let gist = mind.gist(real.copy.status);
    let publishes = real.jobs.iter().filter(|job| job.step == Step::Publish);
    for job in publishes.filter(|job| !matches!(job.state, JobState::Told(_))) {
        if gist.publishable != Some(job.digest) {
            return Err(format!(
                "digest {} is published, {:?} may be",
                job.digest, gist.publishable
            ));
        }
    }
    let is_told = real.jobs.iter().any(|job| {
        job.step == Step::Publish && matches!(job.state, JobState::Over(End::Good) | JobState::Told(End::Good))
    });
    if is_told && gist.settled && gist.phase != Some(Phase::Succeeded) {
        return Err(format!("an image was published, and its build is {:?}", gist.phase));
    }
    match real.published {
        Some(digest) if gist.publishable != Some(digest) => {
            Err(format!("digest {digest} was published, {:?} may be", gist.publishable))
        }
        Some(_) if gist.phase == Some(Phase::Cancelled) => Err("a cancelled build was published".to_owned()),
        None if gist.phase == Some(Phase::Succeeded) => Err("a build succeeded without an image".to_owned()),
        Some(_) | None => Ok(()),
    }
}

/// What is wrong with a step, if something is: what was settled stays as it was.
pub(super) fn step(before: &State, after: &State, mind: &Mind) -> Result<(), String> {
    for (before, after) in before.real.iter().zip(&after.real) {
        let (was, is) = (mind.gist(before.copy.status), mind.gist(after.copy.status));
        let core = |gist: &super::mind::Gist| {
            let status = gist.status.as_ref()?;
            let conditions: Vec<_> = status
                .conditions
                .iter()
                .map(|it| (it.type_.clone(), it.status.clone(), it.reason.clone()))
                .collect();
            Some((status.phase, status.output.clone(), status.verdict.clone(), conditions))
        };
        if was.settled && core(was) != core(is) {
            return Err("a settled status was changed".to_owned());
        }
    }
    Ok(())
}

/// What must hold once nothing happens any more.
pub(super) fn end(state: &State, mind: &Mind) -> Result<(), String> {
    for (of, real) in state.real.iter().enumerate() {
        let gist = mind.gist(real.copy.status);
        if real.copy.gone {
            continue;
        }
        if !gist.settled {
            return Err(format!("build {of} never settles: {:?}", gist.status));
        }
        if real.live_pods() > 0
            || real
                .jobs
                .iter()
                .any(|job| matches!(job.state, JobState::Made | JobState::Runs))
        {
            return Err(format!("something of build {of} runs on: {real:?}"));
        }
        if gist.phase == Some(Phase::Succeeded) && real.published != gist.staged {
            return Err(format!("build {of} succeeded with another image"));
        }
    }
    match state.queue.holding().as_slice() {
        [] => Ok(()),
        held => Err(format!("slots are never given back: {held:?}")),
    }
}
