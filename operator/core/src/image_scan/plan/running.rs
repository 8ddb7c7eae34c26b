//! The stretch of the job: the image is resolved, scanned and judged.

use imagefactory_crds::ImageScanStatus;
use imagefactory_crds::build::{Judgement, ScanStatus};
use imagefactory_crds::image_scan::{EvidencePlace, Place, ScanPhase};

use super::super::{Plan, Validated};
use super::situation::Stop;
use super::{SOON, Situation, create};
use crate::build::JobView;
use crate::build::objects::RESOLVE;
use crate::build::outcome::{
    Outcome, covers, has_evidence, is_by_all, is_consistent, of_scan, outcome, stuck, wrong_evidence,
};
use crate::build::plan::{delete_job, end_job};
use crate::step::{Evaluated, Report, Resolved};
use crate::work::Work;

/// An attempt was begun.
pub(super) fn running(situation: Situation<'_>) -> Plan {
    let stop = situation.stop();
    match &stop {
        // It ended in time, and nobody looked.
        Some(Stop::TimedOut) if situation.job.is_some_and(JobView::has_run) => {}
        Some(stop) => {
            return Plan {
                actions: situation.job.and_then(end_job).into_iter().collect(),
                ..situation.stops_as(stop)
            };
        }
        None => {}
    }
    let scan = match situation.validated {
        Ok(scan) => scan,
        Err(refusal) => return situation.refuses(refusal),
    };
    let Some(job) = situation.job else {
        return Plan {
            actions: vec![create(scan, situation)],
            again: Some(SOON),
            ..Plan::default()
        };
    };
    match outcome::<Evaluated>(job, Work::Scan) {
        Outcome::Running => match stuck(job, Work::Scan, situation.now, situation.settings) {
            Some(failure) => Plan {
                actions: end_job(job).into_iter().collect(),
                ..situation.unknown(failure, |_| ())
            },
            None => in_progress(situation, job),
        },
        Outcome::Done(evaluated) => judged(situation, scan, job, (evaluated, stop)),
        Outcome::Failed(failure) => match stop {
            Some(stop) => situation.stops_as(&stop),
            None => {
                let found = resolved(job);
                situation.tries_again(of_scan(failure), |status| record(status, found.as_ref()))
            }
        },
    }
}

/// What `resolve` said, if it is through.
fn resolved(job: &JobView) -> Option<Resolved> {
    match Report::decode(job.pod.as_ref()?.termination_message(RESOLVE)?) {
        Some(Report::Done(resolved)) => Some(resolved),
        Some(Report::Failed(_)) | None => None,
    }
}

/// The digest is written down once, and never again.
fn record(status: &mut ImageScanStatus, found: Option<&Resolved>) {
    let found = found.map(|found| found.digest.as_str().into());
    status.digest = status.digest.take().or(found);
}

fn in_progress(situation: Situation<'_>, job: &JobView) -> Plan {
    let found = resolved(job);
    let status = found.as_ref().map(|found| {
        let message = format!("{} is scanned.", found.digest);
        let draft = situation.draft().with(|status| record(status, Some(found)));
        draft.going_on(ScanPhase::Scanning, "Scanning", &message)
    });
    Plan {
        status,
        again: Some(situation.until_deadline()),
        ..Plan::default()
    }
}

/// The verdict is there.
fn judged(
    situation: Situation<'_>,
    scan: &Validated,
    job: &JobView,
    (evaluated, stop): (Evaluated, Option<Stop>),
) -> Plan {
    let Evaluated {
        digest,
        scan: found,
        verdict,
    } = evaluated;
    let known = resolved(job).filter(|known| {
        let named = scan.digest.as_ref();
        known.digest == digest
            && named.is_none_or(|named| *named == digest)
            && is_consistent(&verdict)
            && covers(found.as_ref(), &verdict, &known.platforms)
    });
    let Some(known) = known else {
        return situation.unknown(wrong_evidence(&digest), |_| ());
    };
    if !is_by_all(&verdict, &scan.policies) {
        if let Some(stop) = stop {
            return situation.stops_as(&stop);
        }
        // A policy changed while the scan ran: what was judged is not what applies.
        return Plan {
            actions: delete_job(job).into_iter().collect(),
            again: Some(SOON),
            ..Plan::default()
        };
    }
    let evidence = found.as_ref().map(place_of);
    if evidence == Some(EvidencePlace::CountsOnly) && scan.placed.place != Place::Listed {
        return situation.unknown(wrong_evidence(&digest), |_| ());
    }
    let draft = situation.draft().with(|status| {
        record(status, Some(&known));
        (status.scan, status.evidence) = (found.map(Box::new), evidence);
        status.verdict = Some(Box::new(verdict.clone()));
        status.failure = None;
    });
    if !verdict.publishable {
        return situation.ends(draft.judged_against(&verdict));
    }
    let (reason, dry_run) = match verdict.result {
        Judgement::Pass => ("Scanned", ""),
        Judgement::Fail | Judgement::Unknown => (
            "ScannedDryRun",
            " Policy would refuse it; every policy that fails is in mode DryRun.",
        ),
    };
    let unattached = match evidence {
        Some(EvidencePlace::CountsOnly) => {
            " SBOM and report are not attached: the registry does not let the platform write there."
        }
        Some(EvidencePlace::Attached) | None => "",
    };
    let message = format!(
        "Scanned {}@{digest}.{dry_run}{unattached}",
        scan.placed.image.repository
    );
    Plan {
        status: Some(draft.succeeded(reason, &message)),
        ..Plan::default()
    }
}

/// Where the evidence is: attached to each image, or to be seen as counts alone.
fn place_of(scan: &ScanStatus) -> EvidencePlace {
    if has_evidence(scan) {
        EvidencePlace::Attached
    } else {
        EvidencePlace::CountsOnly
    }
}
