//! What the operator holds of builds that have ended, and how it comes back to them.

use std::time::Duration;

use imagefactory_crds::names::tenant_namespace;
use tokio::time::{Instant, sleep};

use super::Sizes;
use crate::audit;
use crate::double::LIVE;
use crate::error::Result;
use crate::load::{self, Units};
use crate::observer::{Observer, Track};
use crate::output::{Contender, Figures};
use crate::recorded::{Recorded, seed};
use crate::rig::{LEASE, NO_LIMIT, Operator, Places, Rig, Team};

const TEAM: Team = Team {
    name: "acme",
    concurrent: 10_000,
};
/// How long it is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(20);

/// Memory, restart, and what a restart writes.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let (rig, operator) = Rig::start(places, &[TEAM], Some(NO_LIMIT)).await?;
    let namespace = tenant_namespace(TEAM.name);
    let recorded = Recorded::take(&rig.client, &namespace).await?;
    drop::<Operator>(operator);
    let names = load::names("finished-", sizes.finished);
    let (most, rest) = names.split_at(sizes.finished * 4 / 5);

    seed(&rig.client, &namespace, &recorded, most.to_vec()).await?;
    let operator = settled(&rig, most.len(), None, figures).await?;
    let before = operator.process.memory()?.pss;
    drop(operator);
    seed(&rig.client, &namespace, &recorded, rest.to_vec()).await?;
    let operator = settled(&rig, sizes.finished, Some(sizes.finished), figures).await?;
    let after = operator.process.memory()?;
    let slope = after.pss.saturating_sub(before) as f64 / rest.len().max(1) as f64;
    let ours = Contender::Operator;
    figures.add("memory per further finished build (Pss)", "KiB", ours, slope)?;
    let figure = format!("memory with {} finished (Pss)", sizes.finished);
    figures.add(&figure, "MiB", ours, after.pss as f64 / 1024.0)?;
    killed(&rig, &namespace, operator, sizes, figures).await
}

/// An operator that has checked every build and was left alone since.
async fn settled(rig: &Rig, builds: usize, told: Option<usize>, figures: &mut Figures) -> Result<Operator> {
    // The lease of the one before, which did not give it back, is over by then.
    sleep(LEASE).await;
    let offset = audit::end(&rig.plane.audit_log())?;
    let began = Instant::now();
    let mut operator = rig.operator(&format!("operator-over-{builds}"))?;
    operator.leads().await?;
    let leads = began.elapsed();
    operator.has_checked(builds).await?;
    let checked = began.elapsed();
    sleep(IDLE).await;
    if let Some(builds) = told {
        let ours = Contender::Operator;
        let requests = audit::since(&rig.plane.audit_log(), offset, &["operator"])?;
        let writes = requests.mutating() + requests.others + requests.events + requests.deletes;
        figures.add(
            &format!("start over {builds} finished: writes"),
            "requests",
            ours,
            writes as f64,
        )?;
        figures.add(
            &format!("start over {builds} finished: leads after"),
            "s",
            ours,
            leads.as_secs_f64(),
        )?;
        let figure = format!("start over {builds} finished: all checked after");
        figures.add(&figure, "s", ours, checked.as_secs_f64())?;
        let figure = format!("start over {builds} finished: memory at its peak (RSS)");
        figures.add(&figure, "MiB", ours, operator.process.memory()?.peak as f64 / 1024.0)?;
    }
    Ok(operator)
}

/// With live builds beside the finished ones: memory, and kill -9.
async fn killed(rig: &Rig, namespace: &str, operator: Operator, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let ours = Contender::Operator;
    let observer = Observer::start(&rig.plane.client("watcher").await?);
    load::at_once(&rig.client, &Units::Builds(namespace.to_owned()), LIVE, sizes.live).await?;
    observer.wait_for(LIVE, sizes.live, |track| track.pod.is_some()).await?;
    sleep(IDLE).await;
    let memory = operator.process.memory()?;
    let what = format!("{} finished and {} live", sizes.finished, sizes.live);
    figures.add(
        &format!("memory with {what} (Pss)"),
        "MiB",
        ours,
        memory.pss as f64 / 1024.0,
    )?;
    figures.add(
        &format!("memory with {what} (RSS)"),
        "MiB",
        ours,
        memory.rss as f64 / 1024.0,
    )?;

    // What the kubelet does with a container that ended: the pod is the same, and the lease is its own.
    let again = format!("operator-over-{}", sizes.finished);
    let mut operator = operator;
    for (pod, how) in [(again.as_str(), "its container"), ("operator-other", "its pod")] {
        drop(operator);
        let dead = Instant::now();
        operator = rig.operator(pod)?;
        let name = format!("next-in-{pod}");
        load::create(&rig.client, namespace, &name).await?;
        let tracks = observer.wait_for(&name, 1, |track| track.pod.is_some()).await?;
        let made = tracks
            .iter()
            .filter_map(|track: &Track| track.pod)
            .max()
            .unwrap_or(dead);
        let figure = format!(
            "kill -9 with {what}, {how} started anew: to the next new pod (lease {} s)",
            LEASE.as_secs()
        );
        figures.add(&figure, "s", ours, made.saturating_duration_since(dead).as_secs_f64())?;
        operator.has_checked(sizes.finished + sizes.live).await?;
        let figure = format!("kill -9 with {what}, {how} started anew: to all checked");
        figures.add(&figure, "s", ours, dead.elapsed().as_secs_f64())?;
    }
    Ok(())
}
