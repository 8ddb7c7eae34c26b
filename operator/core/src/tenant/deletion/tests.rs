//! What is said and done of a Tenant that is being deleted, case by case.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::fixtures;
use super::super::objects::namespace;
use super::super::observed::Observed;
use super::super::plan::{TenantPlan, plan};
use super::super::status::{readiness as told, status};
use super::*;

struct Case {
    tenant: Tenant,
    observed: Observed,
}

impl Case {
    /// A tenant that is being deleted, with nothing left of it but its namespace.
    fn new() -> Self {
        let mut tenant = fixtures::tenant();
        tenant.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let mut own = namespace::namespace(&tenant);
        own.metadata.uid = Some("namespace-uid".to_owned());
        let remains = Remains {
            running: Some(0),
            ..Remains::default()
        };
        let observed = Observed {
            namespace: Some(own),
            remains,
            ..Observed::default()
        };
        Self { tenant, observed }
    }

    fn namespace(&mut self) -> &mut Namespace {
        self.observed.namespace.as_mut().unwrap()
    }

    fn decide<T>(&self, decide: impl FnOnce(Situation<'_>) -> T) -> T {
        decide(Situation {
            tenant: &self.tenant,
            observed: &self.observed,
            settings: &fixtures::settings(),
            now: Timestamp::UNIX_EPOCH,
        })
    }

    fn steps(&self) -> Vec<String> {
        let plan = self.decide(plan);
        let name = |step: &Step| match step {
            Step::Delete(object) => format!("delete {}", object.name()),
            Step::DeleteJob(job) => format!("delete job {}", job.metadata.name.as_deref().unwrap()),
            Step::LetGo(_) => "let go".to_owned(),
            other => panic!("{other:?}"),
        };
        plan.steps().iter().map(name).collect()
    }

    fn said(&self) -> Option<String> {
        let readiness = self.decide(|situation| told(situation, &plan(situation), None))?;
        let Readiness {
            standing,
            reason,
            message,
        } = readiness;
        Some(format!("{standing:?} {reason}: {message}"))
    }
}

fn job(name: &str) -> Job {
    let mut job = Job::default();
    job.metadata.name = Some(name.to_owned());
    job
}

#[test]
fn each_stage_says_what_it_waits_for_and_what_to_do() {
    let mut said = Vec::new();
    let mut say = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        said.push((case.said(), case.steps()));
    };
    say(|case| case.observed.remains.running = None);
    say(|case| case.observed.remains.running = Some(1));
    say(|case| case.observed.remains.running = Some(7));
    say(|case| case.observed.remains.unkept = 2);
    say(|case| case.observed.remains.jobs = vec![job("scan-1"), job("publish-1")]);
    say(|_| {});
    say(|case| case.namespace().metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH)));
    say(|case| {
        let condition = NamespaceCondition {
            type_: "NamespaceFinalizersRemaining".to_owned(),
            status: "True".to_owned(),
            message: Some("a.example/b in 1 resource instances".to_owned()),
            ..NamespaceCondition::default()
        };
        case.namespace().status = Some(NamespaceStatus {
            phase: Some("Terminating".to_owned()),
            conditions: Some(vec![condition]),
        });
    });
    say(|case| {
        case.observed.namespace = None;
        case.observed.remains.jobs = vec![job("scan-1")];
    });
    say(|case| {
        case.observed.namespace = None;
        case.observed.remains.unkept = 1;
    });
    say(|case| case.observed.namespace = None);
    insta::assert_yaml_snapshot!(said);
}

#[test]
fn a_strangers_namespace_is_left_alone_and_the_tenant_goes() {
    for label in [None, Some("other")] {
        let mut case = Case::new();
        let labels = case.namespace().metadata.labels.as_mut().unwrap();
        labels.remove(imagefactory_crds::names::LABEL_TENANT);
        labels.extend(label.map(|label| (imagefactory_crds::names::LABEL_TENANT.to_owned(), label.to_owned())));
        case.observed.remains.running = Some(3);
        assert_eq!(case.steps(), ["let go"]);
    }
}

#[test]
fn the_namespace_of_an_earlier_tenant_of_the_name_is_left_alone_with_all_that_it_holds() {
    let mut case = Case::new();
    let annotations = case.namespace().metadata.annotations.get_or_insert_default();
    annotations.insert(
        imagefactory_crds::names::ANNOTATION_TENANT_UID.to_owned(),
        "an-earlier-one".to_owned(),
    );
    case.observed.remains.jobs = vec![job("scan-1")];
    case.observed.remains.running = Some(3);
    assert_eq!(case.steps(), ["let go"]);
}

#[test]
fn the_namespace_that_is_deleted_is_the_one_that_was_seen() {
    let case = Case::new();
    let plan = case.decide(plan);
    let [Step::Delete(object)] = plan.steps() else {
        panic!("{plan:?}")
    };
    assert_eq!(object.metadata().uid.as_deref(), Some("namespace-uid"));
}

#[test]
fn without_our_finalizer_nothing_is_done() {
    let mut case = Case::new();
    case.tenant.metadata.finalizers = None;
    assert_eq!(case.decide(plan), TenantPlan::Leave);
    assert_eq!(case.said(), None);
}

#[test]
fn what_the_tenant_uses_stays_in_the_status_while_it_goes() {
    let mut case = Case::new();
    case.observed.remains.running = Some(1);
    let used = imagefactory_crds::usage::Usage {
        projects: 3,
        ..Default::default()
    };
    case.tenant.status = Some(imagefactory_crds::TenantStatus {
        usage: Some(used.clone()),
        ..Default::default()
    });
    let status = case.decide(|situation| {
        let plan = plan(situation);
        status(situation, &plan, &told(situation, &plan, None).unwrap())
    });
    assert_eq!(status.usage, Some(used));
    assert_eq!(status.namespace.as_deref(), Some("tenant-acme"));
}
