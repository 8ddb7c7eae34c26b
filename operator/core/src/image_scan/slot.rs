//! What a scan wants of the queue, which it shares with the builds: one slot of its tenant and of the cluster while it
//! runs. Its pod runs in the work namespace, so that it takes nothing of the tenant's ResourceQuota.

use std::sync::Arc;

use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::{ImageScan, ImageScanStatus};
use jiff::Timestamp;

use super::{Validated, is_settled};
use crate::dispatch::{Amounts, Application, BuildId, Claim, Holding};
use crate::work::Work;

/// The scan as the queue knows it; none for an object that is no tenant's.
#[must_use]
pub fn id_of(scan: &ImageScan) -> Option<Arc<BuildId>> {
    let tenant = tenant_of_namespace(scan.metadata.namespace.as_deref()?)?;
    Some(Arc::new(BuildId {
        tenant: tenant.into(),
        name: scan.metadata.name.as_deref()?.into(),
        uid: scan.metadata.uid.as_deref()?.into(),
        work: Work::Scan,
    }))
}

/// What this status says of a slot. It stands before the job exists: a scan whose status does not say that it was
/// dispatched has no job.
#[must_use]
pub fn claim(status: Option<&ImageScanStatus>) -> Claim {
    if is_settled(status) {
        return Claim::Settled;
    }
    let Some(status) = status else {
        return Claim::Waits { turn: 1 };
    };
    let goes_on = status.start_time.is_some() && status.next_attempt_at.is_none();
    Claim::unsettled(&status.retries, goes_on, true)
}

/// The application of a scan that waits.
pub(super) fn application(scan: &ImageScan, validated: &Validated) -> Option<Application> {
    let Claim::Waits { turn } = claim(scan.status.as_ref()) else {
        return None;
    };
    let created = scan.metadata.creation_timestamp.as_ref();
    Some(Application {
        id: id_of(scan)?,
        turn,
        since: created.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        priority: 0,
        demand: Amounts::default(),
        limits: validated.limits,
    })
}

/// What a scan holds that runs; none for one that does not.
#[must_use]
pub fn holding(scan: &ImageScan) -> Option<Holding> {
    let Claim::Holds { turn, .. } = claim(scan.status.as_ref()) else {
        return None;
    };
    Some(Holding {
        id: id_of(scan)?,
        turn,
        demand: Some(Amounts::default()),
        limits: None,
    })
}
