//! The operator beside Tekton and Shipwright, which bring runs of one step to their end, each on a control plane of its own.
//! A build of ours is more than such a run: `docs/benchmarks.md` says what is equal and what is not.

use super::Sizes;
use super::block::{Block, Work};
use crate::audit::Requests;
use crate::error::{Result, Trying};
use crate::output::{Contender, Figures};
use crate::rig::{Peer, Places};

/// Units in a second.
const PACES: [u32; 2] = [5, 10];

/// Paces, rate, requests, processor time and memory of one contender.
pub(super) async fn take(places: &Places, contender: Contender, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    figures.add("load of the machine before (1 min)", "", contender, load()?)?;
    let mut block = match contender {
        Contender::Operator | Contender::Null | Contender::NullOnePod => Block::start(places, contender).await?.0,
        Contender::Tekton => Block::of(places, contender, Peer::Tekton).await?,
        Contender::Shipwright => Block::of(places, contender, Peer::Shipwright).await?,
    };
    for pace in PACES {
        let work = block.at_pace(sizes.units_paced, pace).await?;
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let figure = format!("create to pod at {pace} units/s, {name}");
            figures.add(&figure, "ms", contender, work.wait(share))?;
        }
        let figure = format!("processor time per unit at {pace} units/s");
        figures.add(&figure, "ms", contender, work.cpu_per_unit())?;
    }
    let work = block.at_once(sizes.units).await?;
    let what = format!("drain of {}", sizes.units);
    figures.add(&format!("units, {what}"), "1/s", contender, work.rate())?;
    let figure = format!("processor time per unit, {what}");
    figures.add(&figure, "ms", contender, work.cpu_per_unit())?;
    let figure = format!("resident memory after the {what}");
    figures.add(&figure, "MiB", contender, block.memory(|memory| memory.rss)?)?;
    tell_requests(&work, sizes.units, contender, figures)?;
    block.lives()
}

fn tell_requests(work: &Work, units: usize, contender: Contender, figures: &mut Figures) -> Result<()> {
    let (own, controllers, everybody) = (&work.requests, &work.controllers, &work.everybody);
    let all = |requests: &Requests| requests.mutating() + requests.others + requests.deletes;
    let kinds = [
        ("creates, status writes and other writes", own.mutating() + own.others),
        ("creates and status writes", own.mutating()),
        ("creates", own.creates),
        ("status writes", own.statuses),
        ("other writes", own.others),
        ("Events", own.events),
        ("deletes", own.deletes),
        ("writes of leases", own.leases),
        ("refused writes", own.refused),
        ("gets", own.gets),
        ("writes of kube-controller-manager", all(controllers)),
        ("writes of everybody", all(everybody)),
        (
            "creates of pods",
            everybody.kinds.get("create pods").copied().unwrap_or_default(),
        ),
    ];
    for (kind, count) in kinds {
        let figure = format!("{kind} per unit, drain of {units}");
        figures.add(&figure, "requests", contender, count as f64 / units as f64)?;
    }
    Ok(())
}

/// How many processes wanted to run, on average over the last minute, whoever started them.
fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").trying("could not read the load")?;
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Ok(first.unwrap_or(f64::NAN))
}
