//! What a tenant says of itself in each situation.

use imagefactory_crds::Tenant;
use imagefactory_crds::conditions::{find, is_true};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::fixtures::{self, group};
use super::super::observed::Observed;
use super::super::plan::Refusal;
use super::*;
use crate::settings::Settings;

fn in_place_plan() -> TenantPlan {
    TenantPlan::Converge(Convergence::default())
}

struct Case {
    tenant: Tenant,
    observed: Observed,
    settings: Settings,
    plan: TenantPlan,
    trouble: Option<Trouble>,
}

impl Case {
    fn new() -> Self {
        let mut tenant = fixtures::tenant();
        tenant.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let observed = Observed {
            has_policy: true,
            ..Observed::default()
        };
        Self {
            tenant,
            observed,
            settings: fixtures::settings(),
            plan: in_place_plan(),
            trouble: None,
        }
    }

    fn situation(&self, second: i64) -> Situation<'_> {
        let now = Timestamp::from_second(second).unwrap();
        Situation {
            tenant: &self.tenant,
            observed: &self.observed,
            settings: &self.settings,
            now,
        }
    }

    fn readiness(&self) -> Readiness {
        readiness(self.situation(1000), &self.plan, self.trouble.as_ref()).unwrap()
    }

    fn status(&self, second: i64) -> TenantStatus {
        status(self.situation(second), &self.plan, &self.readiness())
    }
}

#[test]
fn each_situation_has_its_reason_and_a_message_that_says_what_to_do() {
    let mut said = Vec::new();
    let mut say = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        let Readiness {
            standing,
            reason,
            message,
        } = case.readiness();
        said.push(format!("{standing:?} {reason}: {message}"));
    };
    say(|_| {});
    say(|case| case.tenant.spec.suspended = true);
    say(|case| case.tenant.spec.policy_ref = None);
    say(|case| case.observed.has_policy = false);
    say(|case| {
        case.observed.has_policy = false;
        case.tenant.spec.policy_ref = None;
        case.settings.default_policy = Some("default".to_owned());
    });
    say(|case| {
        let owners = [group("system:masters")];
        let refused_owners =
            super::super::subjects::admit(owners.iter(), &super::super::subjects::Rules::of(&case.tenant)).refused;
        case.plan = TenantPlan::Converge(Convergence {
            refused_owners,
            ..Convergence::default()
        });
    });
    say(|case| {
        case.plan = TenantPlan::Converge(Convergence {
            unfinished: true,
            ..Convergence::default()
        });
    });
    say(|case| case.plan = TenantPlan::Refuse(Refusal::NamespaceNotOurs));
    say(|case| case.plan = TenantPlan::Wait(Waiting::NamespaceTerminating));
    say(|case| case.plan = TenantPlan::Wait(Waiting::NamespaceOfFormerTenant));
    say(|case| {
        case.trouble = Some(Trouble {
            reason: "Forbidden".to_owned(),
            message: "could not apply X: no".to_owned(),
        });
    });
    insta::assert_yaml_snapshot!(said);
}

#[test]
fn a_policy_that_is_missing_at_first_may_still_come() {
    let mut case = Case::new();
    case.observed.has_policy = false;
    let young = readiness(case.situation(3), &case.plan, None).unwrap();
    assert_eq!(
        (young.standing, young.reason.as_str()),
        (Standing::Retrying, POLICY_NOT_FOUND)
    );
}

#[test]
fn the_namespace_is_named_only_where_it_is_ours() {
    let mut case = Case::new();
    assert_eq!(case.status(1).namespace.as_deref(), Some("tenant-acme"));
    case.plan = TenantPlan::Refuse(Refusal::NamespaceNotOurs);
    assert_eq!(case.status(1).namespace, None);
}

#[test]
fn the_status_is_of_the_generation_that_was_seen_and_has_every_capability() {
    let status = Case::new().status(1);
    assert_eq!(status.observed_generation, 3);
    assert_eq!(find(&status.conditions, "Ready").unwrap().observed_generation, Some(3));
    assert_eq!(status.capabilities.len(), 4);
    assert!(
        status.capabilities[0].enabled,
        "build, by the chart's onboarding policy"
    );
}

#[test]
fn a_later_look_at_the_same_gives_the_same_status() {
    let mut case = Case::new();
    let first = case.status(1);
    case.tenant.status = Some(first.clone());
    assert_eq!(case.status(500), first);
    case.tenant.spec.suspended = true;
    let suspended = case.status(600);
    assert!(is_true(&suspended.conditions, "Ready"));
    assert_eq!(
        suspended.conditions[0].last_transition_time,
        first.conditions[0].last_transition_time
    );
}

#[test]
fn nothing_is_said_of_a_tenant_that_is_being_deleted() {
    let case = Case {
        plan: TenantPlan::Leave,
        ..Case::new()
    };
    assert_eq!(readiness(case.situation(1), &case.plan, None), None);
}
