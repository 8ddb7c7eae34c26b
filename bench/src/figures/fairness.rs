//! A small tenant's builds, one after the other, alone and beside another tenant's flood.

use imagefactory_crds::names::tenant_namespace;
use std::time::Duration;

use super::Sizes;
use crate::double::BUSY;
use crate::error::{BenchError, Result};
use crate::load::{self, Units};
use crate::observer::{Observer, Track};
use crate::output::{Contender, Figures, percentile};
use crate::rig::{Places, Rig, Team};

/// What the flood may take of the slots.
#[derive(Clone, Copy)]
struct Flood {
    /// For people.
    what: &'static str,
    /// Builds of the flooding tenant that may run at a time; the chart's default is 50 for all together.
    concurrent: u32,
}

const FLOODS: [Flood; 2] = [
    Flood {
        what: "within its quota of 10",
        concurrent: 10,
    },
    Flood {
        what: "over every slot",
        concurrent: 10_000,
    },
];

/// Both floods, each on a control plane of its own.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    for flood in FLOODS {
        beside(places, flood, sizes, figures).await?;
    }
    Ok(())
}

async fn beside(places: &Places, flood: Flood, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let teams = [
        Team {
            name: "big",
            concurrent: flood.concurrent,
        },
        Team {
            name: "small",
            concurrent: 10,
        },
    ];
    let (rig, _operator) = Rig::start(places, &teams, None).await?;
    let observer = Observer::start(&rig.plane.client("watcher").await?);
    let small = tenant_namespace("small");
    let alone = one_by_one(&rig, &observer, &small, "alone-", sizes.single).await?;
    let prefix = format!("{BUSY}flood-");
    load::at_once(
        &rig.client,
        &Units::Builds(tenant_namespace("big")),
        &prefix,
        sizes.flood,
    )
    .await?;
    let beside = one_by_one(&rig, &observer, &small, "beside-", sizes.single).await?;
    let waits = observer
        .seen(&prefix)
        .iter()
        .filter(|track| track.pod.is_none())
        .count();
    if waits == 0 {
        return Err(BenchError::Wrong(
            "the flood was over before the small tenant was done".to_owned(),
        ));
    }
    for (when, waits) in [("alone", alone), ("beside a flood", beside)] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let figure = format!("wait of a small tenant {when} {}, {name}", flood.what);
            figures.add(&figure, "ms", Contender::Operator, percentile(waits.clone(), share))?;
        }
    }
    Ok(())
}

/// Each is made once the one before has its pod.
async fn one_by_one(
    rig: &Rig,
    observer: &Observer,
    namespace: &str,
    prefix: &str,
    count: usize,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for name in load::names(prefix, count) {
        load::create(&rig.client, namespace, &name).await?;
        let tracks = observer.wait_for(&name, 1, |track| track.wait().is_some()).await?;
        waits.extend(tracks.iter().filter_map(Track::wait));
    }
    Ok(waits)
}
