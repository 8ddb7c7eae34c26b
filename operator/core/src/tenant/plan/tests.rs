//! What is done for a tenant in each situation, in order.

use imagefactory_crds::Tenant;
use imagefactory_crds::names::{LABEL_MANAGED_BY, LABEL_TENANT};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::NamespaceStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::fixtures::{self, group, service_account, user};
use super::super::world::World;
use super::*;
use crate::settings::Settings;

fn plan_for(tenant: &Tenant, world: &World, settings: &Settings) -> TenantPlan {
    plan(Situation {
        tenant,
        observed: &world.observed,
        settings,
        now: Timestamp::UNIX_EPOCH,
    })
}

fn converged(tenant: &Tenant, settings: &Settings) -> World {
    let mut world = World::default();
    for _ in 0..3 {
        world.carry_out(plan_for(tenant, &world, settings));
    }
    world
}

fn describe(plan: &TenantPlan) -> Vec<String> {
    let TenantPlan::Converge(convergence) = plan else {
        return vec![format!("{plan:?}")];
    };
    let kind = |object: &Object| format!("{object:?}").split('(').next().unwrap().to_owned();
    let steps = convergence.steps.iter().map(|step| match step {
        Step::CreateNamespace(object) => format!("create Namespace {}", object.metadata.name.as_deref().unwrap()),
        Step::CreateSettings(object) => format!("create TenantSettings {}", object.metadata.name.as_deref().unwrap()),
        Step::Apply(object) => format!("apply {} {}", kind(object), object.name()),
        Step::Delete(object) => format!("delete {} {}", kind(object), object.name()),
        other => format!("{other:?}"),
    });
    steps
        .chain(convergence.unfinished.then(|| "look again".to_owned()))
        .collect()
}

#[test]
fn a_new_tenant_gets_namespace_then_rights_then_the_rest() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let mut world = World::default();
    let first = plan_for(&tenant, &world, &settings);
    world.carry_out(first.clone());
    let second = plan_for(&tenant, &world, &settings);
    world.carry_out(second.clone());
    let third = plan_for(&tenant, &world, &settings);
    insta::assert_yaml_snapshot!([describe(&first), describe(&second), describe(&third)]);
}

#[test]
fn nothing_is_written_while_nothing_changed() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let world = converged(&tenant, &settings);
    assert_eq!(
        plan_for(&tenant, &world, &settings),
        TenantPlan::Converge(Convergence::default())
    );
}

#[test]
fn a_namespace_without_our_label_is_refused_and_never_adopted() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    for value in [None, Some("other"), Some(""), Some("Acme")] {
        let mut world = converged(&tenant, &settings);
        let namespace = world.observed.namespace.as_mut().unwrap();
        let labels = namespace.metadata.labels.as_mut().unwrap();
        labels.remove(LABEL_TENANT);
        labels.extend(value.map(|value| (LABEL_TENANT.to_owned(), value.to_owned())));
        let plan = plan_for(&tenant, &world, &settings);
        assert_eq!(plan, TenantPlan::Refuse(Refusal::NamespaceNotOurs), "{value:?}");
    }
}

#[test]
fn a_namespace_that_goes_away_is_waited_for() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let mut by_phase = converged(&tenant, &settings);
    by_phase.observed.namespace.as_mut().unwrap().status = Some(NamespaceStatus {
        phase: Some("Terminating".to_owned()),
        ..NamespaceStatus::default()
    });
    let mut by_time = converged(&tenant, &settings);
    by_time.observed.namespace.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    for world in [by_phase, by_time] {
        assert_eq!(
            plan_for(&tenant, &world, &settings),
            TenantPlan::Wait(Waiting::NamespaceTerminating)
        );
    }
}

#[test]
fn the_namespace_of_an_earlier_tenant_of_the_name_is_waited_for() {
    let (mut tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let world = converged(&tenant, &settings);
    tenant.metadata.uid = Some("another".to_owned());
    assert_eq!(
        plan_for(&tenant, &world, &settings),
        TenantPlan::Wait(Waiting::NamespaceOfFormerTenant)
    );
}

#[test]
fn a_namespace_of_ours_whose_annotation_was_removed_gets_it_back() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let mut world = converged(&tenant, &settings);
    world.observed.namespace.as_mut().unwrap().metadata.annotations = None;
    assert_eq!(
        describe(&plan_for(&tenant, &world, &settings)),
        ["apply Namespace tenant-acme"]
    );
}

#[test]
fn a_tenant_that_is_being_deleted_and_that_we_do_not_hold_is_left_alone() {
    let (mut tenant, settings) = (fixtures::tenant(), fixtures::settings());
    tenant.metadata.finalizers = Some(vec!["somebody.example/else".to_owned()]);
    tenant.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(plan_for(&tenant, &World::default(), &settings), TenantPlan::Leave);
}

#[test]
fn a_role_changed_by_hand_is_put_back_by_a_new_binding() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let mut world = converged(&tenant, &settings);
    for binding in &mut world.observed.role_bindings {
        binding.role_ref.name = "cluster-admin".to_owned();
    }
    let first = plan_for(&tenant, &world, &settings);
    world.carry_out(first.clone());
    let second = plan_for(&tenant, &world, &settings);
    world.carry_out(second.clone());
    insta::assert_yaml_snapshot!([describe(&first), describe(&second)]);
    assert!(
        world
            .observed
            .role_bindings
            .iter()
            .all(|binding| binding.role_ref.name.starts_with("image-factory-"))
    );
}

#[test]
fn the_binding_of_owners_goes_when_none_of_them_is_allowed() {
    let (mut tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let world = converged(&tenant, &settings);
    tenant.spec.owners = vec![
        group("system:masters"),
        user("system:admin"),
        service_account("default", "kube-system"),
    ];
    let plan = plan_for(&tenant, &world, &settings);
    assert_eq!(describe(&plan), ["delete RoleBinding imagefactory-owner"]);
    assert!(matches!(plan, TenantPlan::Converge(convergence) if convergence.refused_owners.len() == 3));
}

#[test]
fn what_is_not_wanted_any_more_is_taken_away_if_it_is_ours() {
    let (tenant, settings) = (fixtures::tenant(), fixtures::settings());
    let mut bare = settings.clone();
    bare.ca_bundle = None;
    bare.tenants.default_quota = Default::default();
    bare.tenants.default_limits = Default::default();
    bare.tenants.default_requests = Default::default();
    let mut world = converged(&tenant, &settings);
    assert_eq!(
        describe(&plan_for(&tenant, &world, &bare)),
        [
            "delete ResourceQuota imagefactory-quota",
            "delete LimitRange imagefactory-limits",
            "delete ConfigMap imagefactory-ca"
        ]
    );
    for metadata in [
        &mut world.observed.inside.resource_quota.as_mut().unwrap().metadata,
        &mut world.observed.inside.limit_range.as_mut().unwrap().metadata,
        &mut world.observed.inside.ca_config_map.as_mut().unwrap().metadata,
    ] {
        metadata.labels.as_mut().unwrap().remove(LABEL_MANAGED_BY);
    }
    assert_eq!(describe(&plan_for(&tenant, &world, &bare)), [] as [&str; 0]);
}

#[test]
fn a_limit_that_the_tenant_gives_up_is_gone_afterwards() {
    let (mut tenant, mut settings) = (fixtures::tenant(), fixtures::settings());
    settings.tenants.default_quota.pods = None;
    tenant.spec.quota = Some(imagefactory_crds::tenant::Quota {
        pods: Some(3),
        ..Default::default()
    });
    let mut world = converged(&tenant, &settings);
    tenant.spec.quota = None;
    world.carry_out(plan_for(&tenant, &world, &settings));
    let quota = world.observed.inside.resource_quota.clone().unwrap();
    assert!(!quota.spec.unwrap().hard.unwrap().contains_key("pods"));
    assert_eq!(
        plan_for(&tenant, &world, &settings),
        TenantPlan::Converge(Convergence::default())
    );
}

#[test]
fn our_finalizer_comes_before_everything_else() {
    let (mut tenant, settings) = (fixtures::tenant(), fixtures::settings());
    for finalizers in [None, Some(vec!["somebody.example/else".to_owned()])] {
        tenant.metadata.finalizers = finalizers;
        for world in [World::default(), converged(&fixtures::tenant(), &settings)] {
            let plan = plan_for(&tenant, &world, &settings);
            assert_eq!(plan.steps(), [Step::Hold(Box::new(tenant.clone()))]);
        }
    }
}
