//! Several builds of two tenants, the queue between them, and everything that goes wrong: the operator dies after any
//! request and another takes over, stores lag build by build, pods are put out and deleted, scans break off. At every
//! instant the caps hold and no build has two live pods; in the end every build has ended.

use std::collections::BTreeMap;

use imagefactory_crds::build::{BuildStatus, FailureClass, Judgement, Phase};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::fixtures::{World, at, done, ended, evaluated, failed, prepared, published, pushed, running, seconds};
use super::names::{Identity, Stage, stage_of};
use super::observed::{Earlier, JobEnd, JobView, Observed, PodView};
use super::plan::{Action, Plan, Wish, wish};
use super::status::is_settled;
use crate::dispatch::{Claim, Holding, Queue, Slot, application, claim, holding, id_of};

/// Builds; the first three are of one tenant, the others of another.
const BUILDS: usize = 5;
const CAP: u32 = 3;
const TENANT_CAP: u32 = 2;

/// What exists for one build.
#[derive(Clone, Default)]
struct Objects {
    status: Option<BuildStatus>,
    version: u32,
    pods: BTreeMap<String, PodView>,
    jobs: BTreeMap<String, JobView>,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A reconcile, of what the store shows or of what is; it dies after so many requests.
    Pass {
        build: usize,
        fresh: bool,
        dies_after: usize,
    },
    /// The watch brings the build up to date.
    Watch(usize),
    /// Whatever runs for the build comes to a good end.
    Ends(usize),
    /// Its pod is put out, its jobs break off.
    Breaks(usize),
    /// Its pod is deleted by hand.
    Deleted(usize),
    /// The registry is away for who publishes.
    Away(usize),
    /// Time goes by.
    Later,
    /// Another process leads.
    TakesOver,
}

fn step() -> impl Strategy<Value = Step> {
    let build = 0..BUILDS;
    prop_oneof![
        8 => (build.clone(), any::<bool>(), 0..6_usize)
            .prop_map(|(build, fresh, dies_after)| Step::Pass { build, fresh, dies_after }),
        4 => build.clone().prop_map(Step::Watch),
        3 => build.clone().prop_map(Step::Ends),
        1 => build.clone().prop_map(Step::Breaks),
        1 => build.clone().prop_map(Step::Deleted),
        1 => build.prop_map(Step::Away),
        2 => Just(Step::Later),
        1 => Just(Step::TakesOver),
    ]
}

struct Simulation {
    worlds: Vec<World>,
    real: Vec<Objects>,
    seen: Vec<Objects>,
    queue: Queue,
    now: i64,
}

impl Simulation {
    fn new() -> Self {
        let mut simulation = Self {
            worlds: (0..BUILDS).map(world).collect(),
            real: vec![Objects::default(); BUILDS],
            seen: vec![Objects::default(); BUILDS],
            queue: Queue::new(CAP, SignedDuration::from_secs(300)),
            now: 60,
        };
        simulation.take_over();
        simulation
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass {
                build,
                fresh,
                dies_after,
            } => {
                if fresh {
                    self.watch(build);
                }
                if self.pass(build, dies_after).is_none() {
                    self.take_over();
                }
            }
            Step::Watch(build) => self.watch(build),
            Step::Ends(build) => self.ends(build),
            Step::Breaks(build) => self.breaks(build, "Evicted", FailureClass::Scan),
            Step::Away(build) => self.breaks(build, "Evicted", FailureClass::Publish),
            Step::Deleted(build) => self.real[build].pods.clear(),
            Step::Later => self.now += 30,
            Step::TakesOver => self.take_over(),
        }
    }

    /// As the edge does when it begins to lead.
    fn take_over(&mut self) {
        self.queue = Queue::new(CAP, SignedDuration::from_secs(300));
        for build in 0..BUILDS {
            self.load(build);
            let lives = self.real[build].pods.values().any(|pod| !pod.has_ended());
            let holds = matches!(claim(self.worlds[build].build.status.as_ref()), Claim::Holds { .. });
            if lives || holds {
                self.hold(build);
            }
        }
        for build in 0..BUILDS {
            let _ = self.ask(build, &Observed::default());
        }
        self.queue.open();
    }

    fn hold(&mut self, build: usize) {
        let world = &self.worlds[build];
        let validated = world.validated().ok();
        let of_settled = || Holding {
            id: id_of(&world.build).unwrap(),
            turn: u32::MAX,
            demand: None,
            limits: None,
        };
        let holding = holding(&world.build, validated.as_ref(), &world.settings).unwrap_or_else(of_settled);
        self.queue.hold(&holding);
    }

    /// Puts what the store shows into the world that decisions read.
    fn load(&mut self, build: usize) {
        let world = &mut self.worlds[build];
        world.build.status.clone_from(&self.seen[build].status);
        world.now = at(self.now);
    }

    /// The store catches up, and the queue hears of it.
    fn watch(&mut self, build: usize) {
        self.seen[build] = self.real[build].clone();
        self.load(build);
        let id = id_of(&self.worlds[build].build).unwrap();
        let lives = self.seen[build].pods.values().any(|pod| !pod.has_ended());
        match claim(self.seen[build].status.as_ref()) {
            Claim::Settled if lives => {}
            Claim::Settled => self.queue.release(&id, u32::MAX),
            Claim::Holds { .. } => self.hold(build),
            Claim::Waits { .. } if lives => self.hold(build),
            Claim::Waits { turn } => self.queue.release(&id, turn - 1),
        }
    }

    fn ask(&mut self, build: usize, observed: &Observed) -> Slot {
        self.worlds[build].observed = observed.clone();
        let world = &self.worlds[build];
        let queue = &mut self.queue;
        let real = &self.real[build];
        world.with_situation(|situation| match wish(&situation) {
            Wish::Slot(validated) => application(situation.build, validated, situation.settings)
                .map_or(Slot::NotYet, |application| queue.apply(&application)),
            Wish::Nothing => {
                if let Some(doubt) = queue.withdraw(&id_of(situation.build).unwrap())
                    && real.pods.values().all(PodView::has_ended)
                {
                    queue.dispel(&doubt);
                }
                Slot::NotYet
            }
            Wish::Runs => Slot::NotYet,
        })
    }

    /// One reconcile; none if the operator died in it.
    fn pass(&mut self, build: usize, dies_after: usize) -> Option<()> {
        self.load(build);
        let observed = self.observe(build);
        let slot = self.ask(build, &observed);
        let world = &mut self.worlds[build];
        (world.observed, world.slot) = (observed, slot);
        let Plan {
            actions, status, then, ..
        } = world.plan();
        let mut left = dies_after;
        let mut request = || {
            left = left.checked_sub(1)?;
            Some(())
        };
        for action in &actions {
            request()?;
            self.perform(build, action);
        }
        if let Some(status) = status.filter(|status| Some(status) != self.seen[build].status.as_ref()) {
            request()?;
            if self.seen[build].version != self.real[build].version {
                return Some(());
            }
            self.real[build].status = Some(status);
            self.real[build].version += 1;
        }
        for action in &then {
            request()?;
            self.perform(build, action);
        }
        Some(())
    }

    /// As the edge does: from the store, and of the API server where the store shows nothing.
    fn observe(&self, build: usize) -> Observed {
        let (seen, real) = (&self.seen[build], &self.real[build]);
        let identity = Identity::of(&self.worlds[build].build).unwrap();
        let status = seen.status.as_ref();
        let waits = status.is_some_and(|status| status.next_attempt_at.is_some());
        let was_made = status.is_some_and(|status| status.start_time.is_some() && !waits && status.staged.is_none());
        let name = identity.object_name(Stage::Build);
        let asked = || real.pods.get(&name).filter(|_| was_made && !is_settled(status));
        let stage = stage_of(status);
        let is_due = status
            .and_then(|status| status.next_attempt_at.as_ref())
            .is_some_and(|due| due.0 <= at(self.now));
        let before = identity.before(stage).filter(|_| is_due && !is_settled(status));
        Observed {
            pod: seen.pods.get(&name).or_else(asked).cloned(),
            scan: seen.jobs.get(&identity.object_name(Stage::Scan)).cloned(),
            publish: seen.jobs.get(&identity.object_name(Stage::Publish)).cloned(),
            earlier: before.and_then(|before| {
                let name = before.object_name(stage);
                match stage {
                    Stage::Build => seen
                        .pods
                        .get(&name)
                        .or_else(|| real.pods.get(&name))
                        .cloned()
                        .map(Earlier::Pod),
                    Stage::Scan | Stage::Publish => seen.jobs.get(&name).cloned().map(Earlier::Job),
                }
            }),
        }
    }

    fn perform(&mut self, build: usize, action: &Action) {
        let uid = self.worlds[build].build.metadata.uid.clone();
        let created = Some(at(self.now));
        let objects = &mut self.real[build];
        match action {
            Action::CreatePod(made) => {
                let name = made.metadata.name.clone().unwrap();
                objects.pods.entry(name.clone()).or_insert_with(|| PodView {
                    namespace: made.metadata.namespace.clone().unwrap(),
                    uid: format!("uid of {name} at {}", self.now),
                    name,
                    build_uid: uid,
                    has_node: true,
                    created,
                    phase: "Running".to_owned(),
                    containers: vec![running("prepare")],
                    ..PodView::default()
                });
            }
            Action::CreateJob(made) => {
                let name = made.metadata.name.clone().unwrap();
                objects.jobs.entry(name.clone()).or_insert_with(|| JobView {
                    uid: name.clone(),
                    name,
                    build_uid: uid,
                    created,
                    ..JobView::default()
                });
            }
            Action::EndPod { name, .. } => {
                if let Some(pod) = objects.pods.get_mut(name).filter(|pod| !pod.has_ended()) {
                    (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
                }
            }
            Action::DeletePod { name, .. } => drop(objects.pods.remove(name)),
            Action::DeleteJob { name, .. } => drop(objects.jobs.remove(name)),
        }
    }

    fn ends(&mut self, build: usize) {
        let report = evaluated(&self.worlds[build], Judgement::Pass, true);
        let objects = &mut self.real[build];
        for pod in objects.pods.values_mut().filter(|pod| !pod.has_ended()) {
            pod.phase = "Succeeded".to_owned();
            pod.containers = vec![done("prepare", &prepared()), done("push", &pushed('a'))];
        }
        for job in objects.jobs.values_mut().filter(|job| job.ended.is_none()) {
            job.ended = Some(JobEnd::Complete);
            let container = if job.name.starts_with("scan") {
                done("evaluate", &report)
            } else {
                done("publish", &published('a'))
            };
            job.pod = Some(PodView {
                phase: "Succeeded".to_owned(),
                containers: vec![container],
                ..PodView::default()
            });
        }
    }

    fn breaks(&mut self, build: usize, reason: &str, class: FailureClass) {
        let objects = &mut self.real[build];
        for pod in objects.pods.values_mut().filter(|pod| !pod.has_ended()) {
            (pod.phase, pod.reason) = ("Failed".to_owned(), Some(reason.to_owned()));
        }
        for job in objects.jobs.values_mut().filter(|job| job.ended.is_none()) {
            job.ended = Some(JobEnd::Failed {
                reason: "BackoffLimitExceeded".to_owned(),
                message: String::new(),
            });
            let container = match class {
                FailureClass::Publish => failed("publish", class, "RegistryUnreachable"),
                _ => ended("scan", 1, "Error", "no server"),
            };
            job.pod = Some(PodView {
                phase: "Failed".to_owned(),
                containers: vec![container],
                ..PodView::default()
            });
        }
    }

    fn check(&self) {
        let live = |objects: &Objects| objects.pods.values().filter(|pod| !pod.has_ended()).count();
        let counts: Vec<usize> = self.real.iter().map(live).collect();
        assert!(
            counts.iter().all(|count| *count <= 1),
            "two pods of a build live: {counts:?}"
        );
        let most = |counts: &[usize]| u32::try_from(counts.iter().sum::<usize>()).unwrap();
        assert!(most(&counts) <= CAP, "the cluster's cap: {counts:?}");
        assert!(
            most(&counts[..3]) <= TENANT_CAP && most(&counts[3..]) <= TENANT_CAP,
            "{counts:?}"
        );
    }

    /// Everything goes well from here.
    fn settle(&mut self) {
        for _ in 0..60 {
            for build in 0..BUILDS {
                self.watch(build);
                let _ = self.pass(build, usize::MAX);
                self.check();
                self.watch(build);
            }
            (0..BUILDS).for_each(|build| self.ends(build));
            self.now += 30;
        }
    }
}

fn world(number: usize) -> World {
    let mut world = World::new();
    let tenant = if number < 3 { "acme" } else { "beta" };
    world.tenant.as_mut().unwrap().metadata.name = Some(tenant.to_owned());
    world.tenant.as_mut().unwrap().spec.quota =
        Some(serde_json::from_str(&format!("{{\"concurrentBuilds\": {TENANT_CAP}}}")).unwrap());
    let metadata = &mut world.build.metadata;
    metadata.name = Some(format!("b{number}"));
    metadata.namespace = Some(format!("tenant-{tenant}"));
    metadata.uid = Some(format!("uid-{number}"));
    metadata.creation_timestamp = Some(Time(at(0) + seconds(i64::try_from(number).unwrap())));
    world.build.spec.timeout = Some("24h".into());
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn caps_hold_and_every_build_ends_whatever_goes_wrong(steps in proptest::collection::vec(step(), 0..150)) {
        let mut simulation = Simulation::new();
        for step in steps {
            simulation.take(step);
            simulation.check();
        }
        simulation.settle();
        for objects in &simulation.real {
            let status = objects.status.as_ref().unwrap();
            prop_assert!(is_settled(Some(status)), "{status:?}");
            prop_assert_eq!(status.phase == Some(Phase::Succeeded), status.output.is_some());
            prop_assert!(status.queue.is_none() && status.next_attempt_at.is_none());
            prop_assert!(objects.pods.values().all(PodView::has_ended));
        }
        prop_assert!(simulation.queue.holding().is_empty(), "every slot was given back");
    }
}

#[test]
fn without_faults_every_build_is_published_by_one_pod() {
    let mut simulation = Simulation::new();
    simulation.settle();
    for objects in &simulation.real {
        assert_eq!(objects.status.as_ref().unwrap().phase, Some(Phase::Succeeded));
        assert_eq!((objects.pods.len(), objects.jobs.len()), (1, 2));
    }
}
