//! The lease as an object of the API server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::decide::{Moment, Seen, Timing};

/// Longest lease that a record may ask for: what stands there must not keep everybody out.
const LONGEST: Duration = Duration::from_secs(300);

/// What a lease says. `before` is what it said when it was read last: the moment stays if nothing changed.
pub(super) fn seen(lease: &Lease, before: Option<(&Lease, &Seen)>, now: Moment, timing: Timing) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    let asked = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0);
    Seen {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        lasts: asked.map_or(timing.lease(), Duration::from_secs).min(LONGEST),
        changed: match before {
            Some((old, seen)) if old.resource_version() == lease.resource_version() => seen.changed,
            _ => now,
        },
    }
}

/// A lease that nobody has made yet.
pub(super) fn fresh(name: &str, me: &str, timing: Timing, now: Timestamp) -> Lease {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    taken(&Lease { metadata, spec: None }, me, timing, now)
}

/// The lease, taken by `me`. Its resourceVersion stays: who was faster wins.
pub(super) fn taken(lease: &Lease, me: &str, timing: Timing, now: Timestamp) -> Lease {
    let old = lease.spec.clone().unwrap_or_default();
    let spec = LeaseSpec {
        acquire_time: Some(MicroTime(now)),
        lease_transitions: Some(old.lease_transitions.map_or(0, |count| count.saturating_add(1))),
        ..renewed_spec(old, me, timing, now)
    };
    Lease {
        spec: Some(spec),
        ..lease.clone()
    }
}

/// The lease, renewed by `me`.
pub(super) fn renewed(lease: &Lease, me: &str, timing: Timing, now: Timestamp) -> Lease {
    Lease {
        spec: Some(renewed_spec(lease.spec.clone().unwrap_or_default(), me, timing, now)),
        ..lease.clone()
    }
}

/// The lease, free for the next one.
pub(super) fn released(lease: &Lease, now: Timestamp) -> Lease {
    let old = lease.spec.clone().unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(now)),
        ..old
    };
    Lease {
        spec: Some(spec),
        ..lease.clone()
    }
}

fn renewed_spec(old: LeaseSpec, me: &str, timing: Timing, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(timing.lease().as_secs()).ok(),
        renew_time: Some(MicroTime(now)),
        ..old
    }
}
