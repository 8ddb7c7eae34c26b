//! From a Build to what the queue asks of it.

use std::sync::Arc;

use imagefactory_crds::Build;
use imagefactory_crds::names::tenant_of_namespace;
use jiff::Timestamp;

use super::{Application, BuildId, Claim, Holding, claim, demand_after_staging, demand_of_build};
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::work::Work;

/// The build as the queue knows it; none for an object that is no tenant's.
#[must_use]
pub fn id_of(build: &Build) -> Option<Arc<BuildId>> {
    let tenant = tenant_of_namespace(build.metadata.namespace.as_deref()?)?;
    Some(Arc::new(BuildId {
        tenant: tenant.into(),
        name: build.metadata.name.as_deref()?.into(),
        uid: build.metadata.uid.as_deref()?.into(),
        work: Work::Build,
    }))
}

/// The application of a build that waits.
#[must_use]
pub fn application(build: &Build, validated: &Validated, settings: &Settings) -> Option<Application> {
    let Claim::Waits { turn } = claim(build.status.as_ref()) else {
        return None;
    };
    let is_staged = build.status.as_ref().is_some_and(|status| status.staged.is_some());
    let created = build.metadata.creation_timestamp.as_ref();
    Some(Application {
        id: id_of(build)?,
        turn,
        since: created.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        priority: validated.priority,
        demand: if is_staged {
            demand_after_staging(build, settings)
        } else {
            demand_of_build(validated, settings)
        },
        limits: validated.limits,
    })
}

/// What a build holds that runs: its status says so, or its pod does, where the write that would say so was lost.
/// None for one that is settled. Of a build that does not pass the checks it is not known what it takes.
#[must_use]
pub fn holding(build: &Build, validated: Option<&Validated>, settings: &Settings) -> Option<Holding> {
    let (turn, is_staged) = match claim(build.status.as_ref()) {
        Claim::Holds { turn, is_staged } => (turn, is_staged),
        Claim::Waits { turn } => (turn, false),
        Claim::Settled => return None,
    };
    let demand = match (is_staged, validated) {
        (true, _) => Some(demand_after_staging(build, settings)),
        (false, validated) => validated.map(|validated| demand_of_build(validated, settings)),
    };
    Some(Holding {
        id: id_of(build)?,
        turn,
        demand,
        limits: validated.map(|validated| validated.limits),
    })
}
