//! A small cluster in memory: the operator dies after any request, sees stale objects, and is started again. However
//! it goes, the build ends as it would have without faults, and there is never more than one live pod of an attempt.

use proptest::prelude::*;

use imagefactory_crds::build::{BuildStatus, Judgement, Phase};

use super::fixtures::{World, done, evaluated, job, pod, prepared, published, pushed, running};
use super::observed::{AT_ONCE, JobEnd, Observed};
use super::plan::{Action, Plan};

/// What really exists, as opposed to what the operator last saw of it.
#[derive(Clone, Default)]
struct Cluster {
    observed: Observed,
    status: Option<BuildStatus>,
    version: u32,
    pods_made: u32,
    published: bool,
}

/// What one pass does before it dies: this many requests; and whether it looks at an old copy of the objects.
#[derive(Clone, Copy, Debug)]
struct Fault {
    dies_after: usize,
    sees_stale: bool,
}

struct Simulation {
    world: World,
    cluster: Cluster,
    seen: Cluster,
}

impl Simulation {
    fn new() -> Self {
        Self {
            world: World::new(),
            cluster: Cluster::default(),
            seen: Cluster::default(),
        }
    }

    /// One pass of the operator.
    fn pass(&mut self, fault: Fault) {
        if !fault.sees_stale {
            self.seen = self.cluster.clone();
        }
        self.world.build.status.clone_from(&self.seen.status);
        self.world.observed = self.seen.observed.clone();
        self.ask_for_a_missing_pod();
        let Plan {
            actions, status, then, ..
        } = self.world.plan();
        let mut left = fault.dies_after;
        for action in actions {
            if left == 0 {
                return;
            }
            left -= 1;
            self.perform(&action);
        }
        if let Some(status) = status.filter(|status| Some(status) != self.seen.status.as_ref()) {
            // A status bound to what was read is refused where something newer stands.
            if left == 0 || self.seen.version != self.cluster.version {
                return;
            }
            left -= 1;
            self.cluster.status = Some(status);
            self.cluster.version += 1;
        }
        for action in then {
            if left == 0 {
                return;
            }
            left -= 1;
            self.perform(&action);
        }
    }

    /// As the edge does: that a pod which was made is gone, only the API server may say.
    fn ask_for_a_missing_pod(&mut self) {
        let was_made = self
            .world
            .build
            .status
            .as_ref()
            .is_some_and(|status| status.start_time.is_some() && status.staged.is_none());
        if was_made && self.world.observed.pod.is_none() {
            self.world.observed.pod = self.cluster.observed.pod.clone();
        }
    }

    fn perform(&mut self, action: &Action) {
        let observed = &mut self.cluster.observed;
        match action {
            Action::CreatePod(_) if observed.pod.is_none() => {
                self.cluster.pods_made += 1;
                observed.pod = Some(pod("Running", vec![running("prepare")]));
            }
            Action::CreateJob(made)
                if made.metadata.name.as_deref().unwrap().starts_with("scan") && observed.scan.is_none() =>
            {
                observed.scan = Some(job("scan", None, None));
            }
            Action::CreateJob(made) if made.metadata.name.as_deref().unwrap().starts_with("publish") => {
                assert!(
                    self.cluster
                        .status
                        .as_ref()
                        .unwrap()
                        .verdict
                        .as_ref()
                        .unwrap()
                        .publishable
                );
                observed.publish.get_or_insert_with(|| job("publish", None, None));
            }
            Action::EndPod { .. } => {
                if let Some(pod) = &mut observed.pod {
                    (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
                    pod.deadline_seconds = Some(AT_ONCE);
                }
            }
            Action::DeletePod { .. } => observed.pod = None,
            Action::DeleteJob { name, .. } if name.starts_with("scan") => observed.scan = None,
            Action::CreatePod(_) | Action::CreateJob(_) | Action::DeleteJob { .. } => {}
        }
    }

    /// The cluster does its own work: whatever was begun comes to its end.
    fn advance(&mut self, result: Judgement) {
        let report = evaluated(&self.world, result, result == Judgement::Pass);
        let observed = &mut self.cluster.observed;
        if let Some(running) = observed.pod.as_mut().filter(|pod| !pod.has_ended()) {
            *running = pod(
                "Succeeded",
                vec![done("prepare", &prepared()), done("push", &pushed('a'))],
            );
        }
        if let Some(scan) = observed.scan.as_mut().filter(|scan| scan.ended.is_none()) {
            *scan = job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report)));
        }
        if let Some(publish) = observed.publish.as_mut().filter(|publish| publish.ended.is_none()) {
            self.cluster.published = true;
            *publish = job(
                "publish",
                Some(JobEnd::Complete),
                Some(done("publish", &published('a'))),
            );
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.cluster.status.as_ref().and_then(|status| status.phase)
    }

    fn settle(&mut self, result: Judgement) {
        for _ in 0..12 {
            self.pass(Fault {
                dies_after: usize::MAX,
                sees_stale: false,
            });
            self.advance(result);
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    (0_usize..4, any::<bool>()).prop_map(|(dies_after, sees_stale)| Fault { dies_after, sees_stale })
}

fn judgement() -> impl Strategy<Value = Judgement> {
    prop_oneof![Just(Judgement::Pass), Just(Judgement::Fail), Just(Judgement::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_build_ends_the_same_however_often_the_operator_dies(
        faults in proptest::collection::vec((fault(), any::<bool>()), 0..24),
        result in judgement(),
    ) {
        let mut simulation = Simulation::new();
        for (fault, advances) in faults {
            simulation.pass(fault);
            if advances {
                simulation.advance(result);
            }
            prop_assert!(simulation.cluster.pods_made <= 1);
        }
        simulation.settle(result);
        let expected = if result == Judgement::Pass { Phase::Succeeded } else { Phase::Failed };
        prop_assert_eq!(simulation.phase(), Some(expected));
        prop_assert_eq!(simulation.cluster.published, result == Judgement::Pass);
        prop_assert_eq!(simulation.cluster.pods_made, 1);
    }

    #[test]
    fn a_cancelled_build_ends_cancelled_or_published_and_nothing_of_it_runs_on(
        faults in proptest::collection::vec((fault(), any::<bool>()), 0..24),
        cancelled_at in 0_usize..24,
    ) {
        let mut simulation = Simulation::new();
        for (index, (fault, advances)) in faults.into_iter().enumerate() {
            simulation.world.build.spec.cancelled = index >= cancelled_at;
            simulation.pass(fault);
            if advances {
                simulation.advance(Judgement::Pass);
            }
        }
        simulation.world.build.spec.cancelled = true;
        simulation.settle(Judgement::Pass);
        let phase = simulation.phase();
        prop_assert!(matches!(phase, Some(Phase::Cancelled | Phase::Succeeded)), "{phase:?}");
        prop_assert_eq!(simulation.cluster.published, phase == Some(Phase::Succeeded));
        prop_assert!(simulation.cluster.observed.pod.is_none_or(|pod| pod.has_ended()));
    }
}
