//! Runs: the phase that each went to, and of one that never began because it is not allowed, the denial.
//!
//! A kind of run is told by what [`Run`] asks of it, and nothing else.

use imagefactory_crds::audit::{AuditEvent, EventKind};
use imagefactory_crds::conditions::{SUCCEEDED, find};
use imagefactory_crds::denial::Code;
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::image_scan::ScanPhase;
use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::{Build, ImageScan, QuarantineRequest, build::Phase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

use super::{Audited, Teller, blank, id, resource};

/// Longest message of an event, in characters.
pub const MAX_MESSAGE: usize = 512;

/// What is told of a run: read off its status, of one that has ended off what is kept of it as well.
struct Run<'a> {
    kind: &'static str,
    metadata: &'a ObjectMeta,
    project: &'a str,
    /// The word of the phase.
    phase: &'static str,
    /// When it was reached, as status says.
    at: Timestamp,
    /// Whether the phase is that of a bad end.
    failed: bool,
    /// Whether anything was ever begun for it, or it was once found to be allowed.
    began: bool,
    succeeded: &'a Condition,
    /// What it takes to be allowed.
    capability: Capability,
}

impl Run<'_> {
    /// A phase that is reached again, as by a retry, is another event.
    fn event_id(&self) -> Option<String> {
        let what = format!("{}-{}", self.phase, self.at.as_second());
        Some(id(self.metadata.uid.as_deref()?, &what))
    }

    fn code(&self) -> Option<Code> {
        Code::parse(&self.succeeded.reason).filter(|_| self.failed)
    }

    fn event(&self, teller: Teller<'_>) -> Option<AuditEvent> {
        let resource = resource(self.kind, self.metadata)?;
        let code = self.code();
        // What was let in and begun, and is not allowed any more, was not denied: it was stopped.
        let is_denial = code.is_some() && !self.began;
        let (kind, action) = if is_denial {
            (EventKind::Denial, "create")
        } else {
            (EventKind::Transition, self.phase)
        };
        Some(AuditEvent {
            id: self.event_id()?,
            time: self.at,
            action: action.to_owned(),
            tenant: tenant_of_namespace(&resource.namespace).map(str::to_owned),
            project: Some(self.project.to_owned()),
            code,
            capability: (code == Some(Code::TenantCapabilityNotEntitled)).then_some(self.capability),
            message: told(self.succeeded),
            ..blank(kind, resource, teller)
        })
    }
}

fn told(condition: &Condition) -> String {
    let text = if condition.message.is_empty() {
        &condition.reason
    } else {
        &condition.message
    };
    text.chars().take(MAX_MESSAGE).collect()
}

fn of_build(build: &Build) -> Option<Run<'_>> {
    let status = build.status.as_ref()?;
    let succeeded = find(&status.conditions, SUCCEEDED)?;
    let phase = status.phase?;
    let has_ended = succeeded.status != "Unknown";
    // Of an ended build the stores keep no time of its phase. That of its end is the same.
    let at = match &status.phase_time {
        Some(time) if !has_ended => time.0,
        _ => succeeded.last_transition_time.0,
    };
    Some(Run {
        kind: "Build",
        metadata: &build.metadata,
        project: build.spec.project_ref.name.as_str(),
        phase: phase.as_str(),
        at,
        failed: phase == Phase::Failed,
        began: status.start_time.is_some(),
        succeeded,
        capability: Capability::Build,
    })
}

fn of_request(request: &QuarantineRequest) -> Option<Run<'_>> {
    let status = request.status.as_ref()?;
    let phase = status.phase?;
    Some(Run {
        kind: "QuarantineRequest",
        metadata: &request.metadata,
        project: request.spec.project_ref.name.as_str(),
        phase: phase.as_str(),
        at: status.phase_time.as_ref()?.0,
        failed: phase == RequestPhase::Failed,
        began: status.pending_approval_at.is_some(),
        succeeded: find(&status.conditions, SUCCEEDED)?,
        capability: Capability::QuarantineRequest,
    })
}

fn of_scan(scan: &ImageScan) -> Option<Run<'_>> {
    let status = scan.status.as_ref()?;
    let phase = status.phase?;
    Some(Run {
        kind: "ImageScan",
        metadata: &scan.metadata,
        project: scan.spec.project_ref.name.as_str(),
        phase: phase.as_str(),
        at: status.phase_time.as_ref()?.0,
        failed: phase == ScanPhase::Failed,
        began: status.start_time.is_some(),
        succeeded: find(&status.conditions, SUCCEEDED)?,
        capability: Capability::OnDemandImageScanning,
    })
}

macro_rules! audited {
    ($($kind:ty: $run:path),* $(,)?) => {$(
        impl Audited for $kind {
            fn uid(&self) -> Option<&str> {
                self.metadata.uid.as_deref()
            }

            fn event_id(&self) -> Option<String> {
                $run(self)?.event_id()
            }

            fn event(&self, teller: Teller<'_>) -> Option<AuditEvent> {
                $run(self)?.event(teller)
            }

            fn gone(&self, _: Teller<'_>) -> Option<AuditEvent> {
                None
            }
        }
    )*};
}

// A line for each kind of run.
audited!(Build: of_build, ImageScan: of_scan, QuarantineRequest: of_request);
