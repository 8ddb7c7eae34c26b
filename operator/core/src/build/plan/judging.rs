//! The stretch of the jobs: scan, verdict, publish.

use imagefactory_crds::build::{
    Failure, FailureClass, Judgement, OutputStatus, Phase, ScanStatus, StagedImage, Verdict,
};

use super::situation::Stop;
use super::{Action, Plan, SOON, Situation, end_job};
use crate::build::failure::blank;
use crate::build::objects;
use crate::build::observed::{JobEnd, JobView};
use crate::build::outcome::{
    Outcome, covers, has_evidence, is_by_all, is_consistent, of_scan, outcome, stuck, wrong_evidence,
};
use crate::build::status::Cause;
use crate::build::validated::Validated;
use crate::policy::scan_too_old;
use crate::step::{Evaluated, Published};
use crate::work::Work;

/// The image is staged and being judged.
pub(super) fn scan(situation: Situation<'_>, staged: &StagedImage) -> Plan {
    let job = situation
        .observed
        .scan
        .as_ref()
        .filter(|job| situation.is_ours(job.build_uid.as_deref()));
    let stop = situation.stop();
    match &stop {
        // It ended in time, and nobody looked.
        Some(Stop::TimedOut) if job.is_some_and(JobView::has_run) => {}
        Some(stop) => {
            return Plan {
                actions: job.and_then(end_job).into_iter().collect(),
                ..situation.stops_as(stop)
            };
        }
        None => {}
    }
    let build = match situation.validated {
        Ok(build) => build,
        Err(refusal) => return situation.refuses(refusal),
    };
    let Some(job) = job else {
        let source = situation
            .build
            .status
            .as_ref()
            .and_then(|status| status.source.as_deref());
        let job = objects::scan_job(build, staged, source, situation.settings);
        return Plan {
            actions: vec![Action::CreateJob(Box::new(job))],
            again: Some(SOON),
            ..Plan::default()
        };
    };
    match outcome::<Evaluated>(job, Work::Build) {
        Outcome::Running => match stuck(job, Work::Build, situation.now, situation.settings) {
            Some(failure) => Plan {
                actions: end_job(job).into_iter().collect(),
                ..situation.unknown(failure)
            },
            None => Plan {
                again: Some(situation.until_deadline()),
                ..Plan::default()
            },
        },
        Outcome::Done(evaluated) => judged(situation, build, staged, (evaluated, stop)),
        Outcome::Failed(failure) => match stop {
            Some(stop) => situation.stops_as(&stop),
            None => situation.tries_again(of_scan(failure), |_| (), Situation::unknown),
        },
    }
}

/// The verdict is there.
fn judged(
    situation: Situation<'_>,
    build: &Validated,
    staged: &StagedImage,
    (evaluated, stop): (Evaluated, Option<Stop>),
) -> Plan {
    let Evaluated { digest, scan, verdict } = evaluated;
    if digest != staged.digest.as_str() || !is_consistent(&verdict) || !is_whole(scan.as_ref(), &verdict, staged) {
        return situation.unknown(wrong_evidence(&digest));
    }
    if !is_by_all(&verdict, &build.policies) {
        // There is no time for another scan.
        return stop.map_or_else(|| situation.judge_again(), |stop| situation.stops_as(&stop));
    }
    let scan = scan.map(Box::new);
    if let Some(why) = verdict
        .publishable
        .then(|| too_old(&situation, build, scan.as_deref()))
        .flatten()
    {
        return situation.unknown_but(stale(&format!("{why}.")), |status| status.scan = scan);
    }
    let draft = situation.draft().with(|status| {
        status.scan = scan;
        status.verdict = Some(Box::new(verdict.clone()));
        if verdict.publishable {
            status.stage_attempts.get_or_insert_default().publish = Some(1);
        }
    });
    if !verdict.publishable {
        return situation.ends(draft.not_publishable(&verdict));
    }
    let referrers = draft.evidence();
    let job = objects::publish_job(build, situation.owner(), staged, &referrers, situation.settings);
    let message = format!(
        "The verdict is {}; the image is published as {}.",
        verdict.result.as_str(),
        build.output_image
    );
    Plan {
        status: Some(draft.going_on(
            Phase::Publishing,
            &Cause {
                reason: "Publishing",
                message: &message,
            },
        )),
        then: vec![Action::CreateJob(Box::new(job))],
        again: Some(situation.until_deadline()),
        ..Plan::default()
    }
}

/// Whether every image of an index was scanned, if it is to be published. Nothing is published without its evidence.
fn is_whole(scan: Option<&ScanStatus>, verdict: &Verdict, staged: &StagedImage) -> bool {
    covers(scan, verdict, &staged.platforms) && (!verdict.publishable || scan.is_some_and(has_evidence))
}

/// The image may be published and is being so. From here cancelling and refusing come too late: the tag may have been set, and
/// what is published is never told of as if it were not.
pub(super) fn publish(situation: Situation<'_>, staged: &StagedImage, verdict: &Verdict) -> Plan {
    let job = situation
        .observed
        .publish
        .as_ref()
        .filter(|job| situation.is_ours(job.build_uid.as_deref()));
    let Some(job) = job else {
        return publishes(situation, staged);
    };
    match outcome::<Published>(job, Work::Build) {
        Outcome::Running => match stuck(job, Work::Build, situation.now, situation.settings) {
            // Its pod is gone with what it told; but it ends well only after the tag was read back with this digest.
            Some(_) if job.ended == Some(JobEnd::Complete) => {
                read_back(situation, staged.digest.as_str(), staged, verdict)
            }
            Some(failure) => Plan {
                actions: end_job(job).into_iter().collect(),
                ..fails(situation, |situation| situation.fails(failure))
            },
            None => Plan {
                again: Some(situation.until_deadline()),
                ..Plan::default()
            },
        },
        Outcome::Failed(failure) => fails(situation, |situation| {
            situation.tries_again(failure, |_| (), Situation::fails)
        }),
        Outcome::Done(Published { digest }) => read_back(situation, &digest, staged, verdict),
    }
}

/// The tag was set and read back with that digest. It stands, whatever was said meanwhile.
fn read_back(situation: Situation<'_>, digest: &str, staged: &StagedImage, verdict: &Verdict) -> Plan {
    match output_image(&situation) {
        Some(image) if digest == staged.digest.as_str() => succeeded(situation, image, staged, verdict),
        // A name is missing only where it was refused, and then the refusal is told.
        image => fails(situation, |situation| {
            situation.fails(mismatch(&image.unwrap_or_default(), digest, staged))
        }),
    }
}

/// Nothing publishes it yet.
fn publishes(situation: Situation<'_>, staged: &StagedImage) -> Plan {
    let build = match situation.validated {
        Ok(build) => build,
        Err(refusal) => return situation.refuses(refusal),
    };
    if let Some(plan) = too_late(&situation, build) {
        return plan;
    }
    let referrers = situation.draft().evidence();
    let job = objects::publish_job(build, situation.owner(), staged, &referrers, situation.settings);
    Plan {
        actions: vec![Action::CreateJob(Box::new(job))],
        again: Some(SOON),
        ..Plan::default()
    }
}

/// It was not published: for that failure, unless it may not be any more.
fn fails(situation: Situation<'_>, plan: impl FnOnce(&Situation<'_>) -> Plan) -> Plan {
    match situation.validated {
        Ok(_) => plan(&situation),
        Err(refusal) => situation.refuses(refusal),
    }
}

/// Where it is published. Who was refused meanwhile publishes what was taken on.
fn output_image(situation: &Situation<'_>) -> Option<String> {
    if let Ok(build) = situation.validated {
        return Some(build.output_image.clone());
    }
    let resolved = situation.build.status.as_ref()?.resolved_spec.as_ref()?;
    Some(resolved.output.as_ref()?.image.as_ref()?.to_string())
}

fn mismatch(image: &str, digest: &str, staged: &StagedImage) -> Failure {
    blank(
        FailureClass::Publish,
        "DigestMismatch",
        format!("{image} was read back as {digest}, not as {}.", staged.digest),
        "Somebody else writes this tag: choose another name, or find out who does.",
    )
}

fn succeeded(situation: Situation<'_>, image: String, staged: &StagedImage, verdict: &Verdict) -> Plan {
    let reason = match verdict.result {
        Judgement::Pass => "Published",
        Judgement::Fail | Judgement::Unknown => "PublishedDryRun",
    };
    let dry_run = if reason == "PublishedDryRun" {
        " Policy would refuse it; every policy that fails is in mode DryRun."
    } else {
        ""
    };
    let too_late = situation.validated.as_ref().err().map_or_else(String::new, |refusal| {
        format!(" Refused meanwhile, which came too late: {}", refusal.message)
    });
    let message = format!("Published {image} with digest {}.{dry_run}{too_late}", staged.digest);
    let output = OutputStatus {
        image,
        digest: staged.digest.clone(),
        size: staged.size,
    };
    let draft = situation.draft().with(|status| status.output = Some(Box::new(output)));
    Plan {
        status: Some(draft.succeeded(&Cause {
            reason,
            message: &message,
        })),
        ..Plan::default()
    }
}

/// Why the evidence is too old for an image to be published on. Nothing is published yet: whoever waited for hours, or
/// tries again after hours, must not publish what today's database may know better.
fn too_old(situation: &Situation<'_>, build: &Validated, scan: Option<&ScanStatus>) -> Option<String> {
    scan_too_old(&build.policies, scan?.scan_time.0, situation.now)
}

/// The end of a build whose evidence has grown too old, asked of each attempt to publish before it is made.
pub(super) fn too_late(situation: &Situation<'_>, build: &Validated) -> Option<Plan> {
    let scan = situation.build.status.as_ref()?.scan.as_deref();
    too_old(situation, build, scan)
        .map(|why| situation.unknown(stale(&format!("{why}. {}", situation.published_nothing()))))
}

fn stale(why: &str) -> Failure {
    blank(
        FailureClass::Scan,
        "EvidenceTooOld",
        why.to_owned(),
        "Create a new Build: its image is scanned anew.",
    )
}
