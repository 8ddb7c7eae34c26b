//! A small cluster in memory: the operator dies after any request, sees stale objects, is started again, and the tenant is
//! entitled or not. However it goes, a scan ends once, as it would have without faults; its job exists only after its start
//! is recorded, and none is made while the capability is off.

use imagefactory_crds::ImageScanStatus;
use imagefactory_crds::build::Judgement;
use imagefactory_crds::tenant::Capabilities;
use proptest::prelude::*;

use super::fixtures::{World, resolved};
use super::{Plan, is_settled};
use crate::build::fixtures::job;
use crate::build::observed::JobView;
use crate::build::plan::Action;

/// What really exists, as opposed to what the operator last saw of it.
#[derive(Clone, Default)]
struct Cluster {
    job: Option<JobView>,
    status: Option<ImageScanStatus>,
    version: u32,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A pass of the operator, which dies after so many requests and may look at old objects.
    Pass { dies_after: usize, stale: bool },
    /// The job goes on: resolved, then ended.
    Job,
    /// Somebody deletes the job.
    JobDeleted,
    /// The capability is withdrawn, for good.
    Withdrawn,
    /// The scan is cancelled.
    Cancelled,
}

struct Simulation {
    world: World,
    cluster: Cluster,
    seen: Cluster,
    entitled: bool,
    ends: Vec<String>,
}

impl Simulation {
    fn new() -> Self {
        Self {
            world: World::new(),
            cluster: Cluster::default(),
            seen: Cluster::default(),
            entitled: true,
            ends: Vec::new(),
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Pass { dies_after, stale } => self.pass(dies_after, stale),
            Event::Job => self.goes_on(),
            Event::JobDeleted => self.cluster.job = None,
            Event::Cancelled => self.world.scan.spec.cancelled = true,
            Event::Withdrawn => {
                self.entitled = false;
                self.world.of.tenant.as_mut().unwrap().spec.capabilities = Some(Capabilities::default());
            }
        }
    }

    fn goes_on(&mut self) {
        let Some(at) = &self.cluster.job else { return };
        if at.ended.is_some() {
            return;
        }
        if at.pod.is_none() {
            self.cluster.job = Some(job("image-scan", None, Some(resolved('a', &[]))));
            return;
        }
        let report = World::new().evaluated(Judgement::Pass, true);
        self.world.ends_with(vec![resolved('a', &[])], &report);
        self.cluster.job = self.world.job.take();
    }

    fn pass(&mut self, mut left: usize, stale: bool) {
        if !stale {
            self.seen = self.cluster.clone();
        }
        self.world.scan.status.clone_from(&self.seen.status);
        self.world.job.clone_from(&self.seen.job);
        let Plan {
            actions, status, then, ..
        } = self.world.plan();
        self.world.job = None;
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
            self.write(status);
        }
        for action in then.iter().take(left) {
            self.perform(action);
        }
    }

    fn write(&mut self, status: ImageScanStatus) {
        let before = self.cluster.status.as_ref();
        let digest = before.and_then(|status| status.digest.clone());
        assert!(digest.is_none() || digest == status.digest, "a digest is resolved once");
        assert!(
            !is_settled(before) || self.ends.last() == Some(&status.conditions[0].reason),
            "an end is an end"
        );
        if is_settled(Some(&status)) && !is_settled(before) {
            self.ends.push(status.conditions[0].reason.clone());
        }
        self.cluster.status = Some(status);
        self.cluster.version += 1;
    }

    fn perform(&mut self, action: &Action) {
        match action {
            Action::CreateJob(_) => {
                assert!(self.entitled, "a job without the capability");
                let status = self.cluster.status.as_ref().expect("its start is recorded first");
                assert!(status.start_time.is_some());
                if self.cluster.job.is_none() {
                    self.cluster.job = Some(job("image-scan", None, None));
                }
            }
            Action::EndPod { .. } | Action::DeleteJob { .. } => self.cluster.job = None,
            Action::CreatePod(_) | Action::DeletePod { .. } => {
                panic!("a scan has a job and no pod of its own: {action:?}")
            }
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let pass = (0..4_usize, any::<bool>()).prop_map(|(dies_after, stale)| Event::Pass { dies_after, stale });
    let event = prop_oneof![
        8 => pass,
        3 => Just(Event::Job),
        1 => Just(Event::JobDeleted),
        1 => Just(Event::Withdrawn),
        1 => Just(Event::Cancelled),
    ];
    prop::collection::vec(event, 0..30)
}

proptest! {
    #[test]
    fn a_scan_ends_once_and_as_it_should_whatever_fails(events in events()) {
        let mut simulation = Simulation::new();
        for event in &events {
            simulation.happens(*event);
        }
        // From here on nothing fails.
        for _ in 0..12 {
            simulation.happens(Event::Pass { dies_after: usize::MAX, stale: false });
            simulation.happens(Event::Job);
        }
        simulation.happens(Event::Pass { dies_after: usize::MAX, stale: false });
        prop_assert_eq!(simulation.ends.len(), 1, "{:?}", simulation.ends);
        let withdrawn = events.iter().any(|event| matches!(event, Event::Withdrawn));
        let cancelled = events.iter().any(|event| matches!(event, Event::Cancelled));
        let end = simulation.ends[0].as_str();
        prop_assert!(
            match end {
                "Scanned" => true,
                "tenant_capability_not_entitled" => withdrawn,
                "Cancelled" => cancelled,
                _ => false,
            },
            "{}", end
        );
        if !withdrawn && !cancelled {
            prop_assert_eq!(end, "Scanned");
        }
    }
}
