//! The small world in the words of the core: what is observed, and requests back.

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::build::{FailureClass, Judgement};

use super::state::{End, Job, JobState, Pod, PodState, Small, Step};
use crate::build::fixtures::{self, World, at, digest, done, ended, evaluated, prepared, published, pushed, running};
use crate::build::observed::{JobEnd, JobView, PodView};
use crate::policy::Policies;

/// What a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Pod(Small, Small),
    Job(Step, Small, Small),
}

impl Target {
    pub(super) fn uid(self) -> String {
        match self {
            Self::Pod(attempt, life) => format!("pod-{attempt}-{life}"),
            Self::Job(Step::Scan, attempt, life) => format!("scan-{attempt}-{life}"),
            Self::Job(Step::Publish, attempt, life) => format!("publish-{attempt}-{life}"),
        }
    }

    pub(super) fn of(uid: &str) -> Self {
        let mut parts = uid.split('-');
        let kind = parts.next().unwrap();
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (attempt, life) = (number(), number());
        match kind {
            "pod" => Self::Pod(attempt, life),
            "scan" => Self::Job(Step::Scan, attempt, life),
            "publish" => Self::Job(Step::Publish, attempt, life),
            _ => panic!("{uid}"),
        }
    }
}

/// Digest of what that pod pushes. Letters stand for evidence in the fixtures, so these are digits.
pub(super) fn digest_of(attempt: Small, life: Small) -> Small {
    1 + (attempt - 1) * 3 + life % 3
}

pub(super) fn digit(number: Small) -> char {
    char::from_digit(u32::from(number), 10).unwrap()
}

/// The digest that an object speaks of.
pub(super) fn digest_in(text: &str) -> Small {
    (1..=9)
        .find(|number| text.contains(&*digest(digit(*number)).0))
        .unwrap()
}

/// The platform's policy, before and after it was changed.
pub(super) fn policies(number: Small) -> Policies {
    let policy = ImagePolicySpec {
        ignore_unfixed: number > 0,
        ..ImagePolicySpec::default()
    };
    Policies::default().with("default", &policy)
}

pub(super) fn pod(pod: Pod, uid: &str) -> PodView {
    let (phase, reason, containers) = match pod.state {
        PodState::Waits => ("Pending", None, vec![]),
        PodState::Stuck => ("Pending", None, vec![fixtures::waiting("prepare", "ImagePullBackOff")]),
        PodState::Runs => ("Running", None, vec![done("prepare", &prepared()), running("build")]),
        PodState::Pushed => {
            let image = digit(digest_of(pod.attempt, pod.life));
            let containers = vec![done("prepare", &prepared()), done("push", &pushed(image))];
            ("Succeeded", None, containers)
        }
        PodState::Broken => ("Failed", None, vec![ended("build", 1, "Error", "no such file")]),
        PodState::Evicted => ("Failed", Some("Evicted"), vec![]),
        PodState::TimedOut => ("Failed", Some("DeadlineExceeded"), vec![]),
    };
    PodView {
        name: format!("hello-build-{}", pod.attempt),
        uid: Target::Pod(pod.attempt, pod.life).uid(),
        build_uid: Some(uid.to_owned()),
        has_node: pod.state != PodState::Waits,
        deleting: pod.dying,
        created: Some(at(pod.created.into())),
        deadline_seconds: Some(if pod.short { 1 } else { 1800 }),
        reason: reason.map(str::to_owned),
        ..fixtures::pod(phase, containers)
    }
}

/// A job as two watches show it: its own condition, and its pod.
pub(super) fn job(job: Job, pod: Option<Job>, uid: &str) -> JobView {
    let target = Target::Job(job.step, job.attempt, job.life).uid();
    let failed = |reason: &str| JobEnd::Failed {
        reason: reason.to_owned(),
        message: String::new(),
    };
    let ended = match job.state {
        JobState::Told(End::Good | End::Bad) => Some(JobEnd::Complete),
        JobState::Told(_) => Some(failed("BackoffLimitExceeded")),
        JobState::Made | JobState::Runs | JobState::Over(_) => None,
    };
    JobView {
        namespace: "image-factory-work".to_owned(),
        name: target.clone(),
        uid: target,
        build_uid: Some(uid.to_owned()),
        deleting: false,
        created: Some(at(job.created.into())),
        ended,
        pod: pod.and_then(|pod| job_pod(pod, uid)),
    }
}

fn job_pod(job: Job, uid: &str) -> Option<PodView> {
    let (phase, reason, containers) = match job.state {
        JobState::Made => return None,
        JobState::Runs => ("Running", None, vec![running("main")]),
        JobState::Over(end) | JobState::Told(end) => match end {
            End::Good | End::Bad => ("Succeeded", None, vec![report(job, end)]),
            End::Broken | End::Late => {
                let container = fixtures::failed("main", FailureClass::Publish, "RegistryUnreachable");
                ("Failed", None, vec![container])
            }
            End::TimedOut => ("Failed", Some("DeadlineExceeded"), vec![]),
        },
    };
    Some(PodView {
        namespace: "image-factory-work".to_owned(),
        name: "pod-of-a-job".to_owned(),
        uid: Target::Job(job.step, job.attempt, job.life).uid(),
        build_uid: Some(uid.to_owned()),
        created: Some(at(job.created.into())),
        deadline_seconds: Some(if job.short { 1 } else { 1800 }),
        reason: reason.map(str::to_owned),
        ..fixtures::pod(phase, containers)
    })
}

fn report(job: Job, end: End) -> crate::build::observed::ContainerView {
    let image = digit(job.digest);
    if job.step == Step::Publish {
        return done("publish", &published(image));
    }
    let result = if end == End::Good {
        Judgement::Pass
    } else {
        Judgement::Fail
    };
    let mut world = World::new();
    world.policies = policies(job.policy);
    let text = evaluated(&world, result, end == End::Good).to_string();
    let text = text.replace(&*digest('a').0, &digest(image).0);
    ended("evaluate", 0, "Completed", &text)
}
