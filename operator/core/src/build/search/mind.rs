//! The core's decisions, asked once for each question: statuses and plans get numbers, and what was decided is kept.

use std::collections::HashMap;

use imagefactory_crds::BuildStatus;
use imagefactory_crds::build::{Phase, QueueLimit};
use imagefactory_crds::entitlement::OnboardingPolicy;

use super::state::{Copy, Job, Pod, Refs, Small, StatusId, Step};
use super::view::{self, Target};
use crate::build::fixtures::{World, at};
use crate::build::names::{Identity, Stage, stage_of};
use crate::build::observed::{Earlier, Observed};
use crate::build::plan::{Action, Wish, plan, wish};
use crate::dispatch::{Application, Holding, Slot, application, holding};

/// What a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) of: usize,
    pub(super) now: i32,
    pub(super) refs: Refs,
    pub(super) build: Copy,
    pub(super) pod: Option<Pod>,
    pub(super) scan: Option<(Job, Option<Job>)>,
    pub(super) publish: Option<(Job, Option<Job>)>,
    pub(super) earlier_pod: Option<Pod>,
    pub(super) earlier_job: Option<(Job, Option<Job>)>,
}

/// A request to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    CreatePod {
        attempt: Small,
    },
    CreateJob {
        step: Step,
        attempt: Small,
        digest: Small,
        policy: Small,
    },
    EndPod(Target),
    Delete(Target),
    Status(StatusId),
}

/// What a build wants of the queue.
#[derive(Clone, Debug)]
pub(super) enum Wants {
    Slot(Box<Application>),
    Nothing,
    Runs,
}

/// What the search reads of a status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gist {
    pub(super) status: Option<BuildStatus>,
    pub(super) settled: bool,
    pub(super) phase: Option<Phase>,
    /// The digest that may be published, if one may.
    pub(super) publishable: Option<Small>,
    pub(super) staged: Option<Small>,
    pub(super) next_attempt_at: Option<i32>,
}

type SlotKey = (u8, Option<(QueueLimit, u32, u32)>);

pub(super) struct Mind {
    worlds: Vec<World>,
    gists: Vec<Gist>,
    numbers: HashMap<String, StatusId>,
    pub(super) plans: Vec<Vec<Request>>,
    plan_numbers: HashMap<Vec<Request>, u32>,
    decided: HashMap<(Question, SlotKey), u32>,
    wanted: HashMap<Question, Wants>,
    numbered: HashMap<(usize, Copy), Numbers>,
    held: HashMap<(usize, Copy, Option<Refs>), Option<Holding>>,
}

/// Attempts that go on, or are next; and the stage that is at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) build: u32,
    pub(super) scan: u32,
    pub(super) publish: u32,
    pub(super) stage: Stage,
}

impl Mind {
    pub(super) fn new(worlds: Vec<World>) -> Self {
        Self {
            worlds,
            gists: vec![Gist::default()],
            numbers: HashMap::new(),
            plans: Vec::new(),
            plan_numbers: HashMap::new(),
            decided: HashMap::new(),
            wanted: HashMap::new(),
            numbered: HashMap::new(),
            held: HashMap::new(),
        }
    }

    pub(super) fn world(&self, of: usize) -> &World {
        &self.worlds[of]
    }

    pub(super) fn gist(&self, status: StatusId) -> &Gist {
        &self.gists[status as usize]
    }

    pub(super) fn status(&self, status: StatusId) -> Option<&BuildStatus> {
        self.gist(status).status.as_ref()
    }

    /// The build as it was read, in the words of the API.
    pub(super) fn build(&mut self, of: usize, copy: Copy) -> &World {
        let status = self.gists[copy.status as usize].status.clone();
        let world = &mut self.worlds[of];
        world.build.spec.cancelled = copy.cancelled;
        world.build.metadata.generation = Some(1 + i64::from(copy.cancelled));
        world.build.status = status;
        world
    }

    pub(super) fn numbers(&mut self, of: usize, copy: Copy) -> Numbers {
        if let Some(numbers) = self.numbered.get(&(of, copy)) {
            return *numbers;
        }
        let build = &self.build(of, copy).build;
        let identity = Identity::of(build).unwrap();
        let numbers = Numbers {
            build: identity.attempt,
            scan: identity.scan_attempt,
            publish: identity.publish_attempt,
            stage: stage_of(build.status.as_ref()),
        };
        self.numbered.insert((of, copy), numbers);
        numbers
    }

    /// What the build holds; where `refs` are known, by what they say.
    pub(super) fn holding(&mut self, of: usize, copy: Copy, refs: Option<Refs>) -> Option<Holding> {
        if let Some(holding) = self.held.get(&(of, copy, refs)) {
            return holding.clone();
        }
        self.build(of, copy);
        let world = &mut self.worlds[of];
        let validated = refs.and_then(|refs| {
            refer(world, refs);
            world.validated().ok()
        });
        let holding = holding(&world.build, validated.as_ref(), &world.settings);
        self.held.insert((of, copy, refs), holding.clone());
        holding
    }

    fn set(&mut self, question: &Question) -> &mut World {
        self.build(question.of, question.build);
        let world = &mut self.worlds[question.of];
        refer(world, question.refs);
        world.now = at(question.now.into());
        let uid = world.build.metadata.uid.clone().unwrap();
        let job = |job: Option<(Job, Option<Job>)>| job.map(|(job, pod)| view::job(job, pod, &uid));
        let earlier = question.earlier_pod.map(|pod| Earlier::Pod(view::pod(pod, &uid)));
        world.observed = Observed {
            pod: question.pod.map(|pod| view::pod(pod, &uid)),
            scan: job(question.scan),
            publish: job(question.publish),
            earlier: earlier.or_else(|| job(question.earlier_job).map(Earlier::Job)),
        };
        world
    }

    pub(super) fn wants(&mut self, question: &Question) -> Wants {
        if let Some(wants) = self.wanted.get(question) {
            return wants.clone();
        }
        let world = self.set(question);
        world.slot = Slot::NotYet;
        let wants = world.with_situation(|situation| match wish(&situation) {
            Wish::Slot(validated) => application(situation.build, validated, situation.settings)
                .map_or(Wants::Runs, |application| Wants::Slot(Box::new(application))),
            Wish::Nothing => Wants::Nothing,
            Wish::Runs => Wants::Runs,
        });
        self.wanted.insert(*question, wants.clone());
        wants
    }

    /// The plan's requests, in their order.
    pub(super) fn decide(&mut self, question: &Question, slot: Slot) -> u32 {
        let key = (*question, key_of(slot));
        if let Some(number) = self.decided.get(&key) {
            return *number;
        }
        let world = self.set(question);
        world.slot = slot;
        let plan = world.with_situation(plan);
        let policy = question.refs.policy;
        let mut requests: Vec<_> = plan.actions.iter().map(|action| request(action, policy)).collect();
        if let Some(status) = plan
            .status
            .as_ref()
            .filter(|status| Some(*status) != world.build.status.as_ref())
        {
            requests.push(Request::Status(self.number(status)));
        }
        requests.extend(plan.then.iter().map(|action| request(action, policy)));
        let next = u32::try_from(self.plans.len()).unwrap();
        let number = *self.plan_numbers.entry(requests.clone()).or_insert(next);
        if number == next {
            self.plans.push(requests);
        }
        self.decided.insert(key, number);
        number
    }

    fn number(&mut self, status: &BuildStatus) -> StatusId {
        let text = serde_json::to_string(status).unwrap();
        let next = u32::try_from(self.gists.len()).unwrap();
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.gists.push(gist(status));
        }
        number
    }
}

fn refer(world: &mut World, refs: Refs) {
    if let Some(tenant) = &mut world.tenant {
        tenant.spec.suspended = refs.suspended;
    }
    world.settings.onboarding = OnboardingPolicy { build: !refs.withdrawn };
    world.policies = view::policies(refs.policy);
}

fn gist(status: &BuildStatus) -> Gist {
    let staged = status.staged.as_ref().map(|staged| view::digest_in(&staged.digest.0));
    let may = status.verdict.as_ref().is_some_and(|verdict| verdict.publishable);
    let seconds = |time: jiff::Timestamp| i32::try_from(time.as_second() - at(0).as_second()).unwrap();
    Gist {
        settled: crate::build::status::is_settled(Some(status)),
        phase: status.phase,
        publishable: staged.filter(|_| may),
        staged,
        next_attempt_at: status.next_attempt_at.as_ref().map(|time| seconds(time.0)),
        status: Some(status.clone()),
    }
}

fn key_of(slot: Slot) -> SlotKey {
    match slot {
        Slot::Granted => (0, None),
        Slot::NotYet => (1, None),
        Slot::Waits(standing) => (2, Some((standing.limit, standing.position, standing.tenants_ahead))),
    }
}

fn request(action: &Action, policy: Small) -> Request {
    match action {
        Action::CreatePod(pod) => Request::CreatePod {
            attempt: attempt_in(pod.metadata.name.as_deref().unwrap()),
        },
        Action::CreateJob(job) => {
            let name = job.metadata.name.as_deref().unwrap();
            let step = if name.starts_with(Stage::Scan.as_str()) {
                Step::Scan
            } else {
                Step::Publish
            };
            Request::CreateJob {
                step,
                attempt: attempt_in(name),
                digest: view::digest_in(&serde_json::to_string(job).unwrap()),
                policy,
            }
        }
        Action::EndPod { uid, .. } => Request::EndPod(Target::of(uid)),
        Action::DeletePod { uid, .. } | Action::DeleteJob { uid, .. } => Request::Delete(Target::of(uid)),
    }
}

fn attempt_in(name: &str) -> Small {
    name.rsplit('-').next().unwrap().parse().unwrap()
}
