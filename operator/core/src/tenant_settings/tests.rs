//! Bindings and status of TenantSettings.

use imagefactory_crds::common::Subject;
use imagefactory_crds::conditions::find;
use imagefactory_crds::tenant_settings::{CustomRole, Member, Permission};
use imagefactory_crds::{Tenant, TenantSettings, TenantSettingsSpec};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::plan::{SettingsPlan, Situation, plan};
use super::status::{readiness, status};
use crate::settings::Settings;
use crate::tenant::fixtures::{self, group, service_account, user};
use crate::tenant::objects::role_bindings;
use crate::tenant::readiness::{Readiness, Standing, Trouble};
use crate::tenant::step::{Object, Step};
use crate::tenant::world::World;

struct Case {
    object: TenantSettings,
    tenant: Tenant,
    settings: Settings,
    world: World,
}

impl Case {
    fn new(members: Vec<(Subject, &str)>) -> Self {
        let members = members.into_iter().map(|(subject, role)| Member {
            subject,
            role: role.into(),
            projects: Vec::new(),
        });
        let role = CustomRole {
            name: "release".into(),
            description: None,
            permissions: vec![Permission::CreateBuilds, Permission::CancelBuilds],
        };
        let spec = TenantSettingsSpec {
            members: members.collect(),
            roles: vec![role],
            ..Default::default()
        };
        let mut object = TenantSettings::new("settings", spec);
        object.metadata.namespace = Some("tenant-acme".to_owned());
        object.metadata.generation = Some(4);
        let settings = fixtures::settings();
        let mut world = World::default();
        world.observed.namespace = Some(Default::default());
        world.observed.role_bindings = vec![role_bindings::operator("acme", &settings)];
        Self {
            object,
            tenant: fixtures::tenant(),
            settings,
            world,
        }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            object: &self.object,
            tenant: Some(&self.tenant),
            is_leaving: false,
            role_bindings: &self.world.observed.role_bindings,
            settings: &self.settings,
            now: Timestamp::from_second(1000).unwrap(),
        }
    }

    fn steps(&self) -> Vec<Step> {
        match plan(self.situation()) {
            SettingsPlan::Bind { steps, .. } => steps,
            other => panic!("{other:?}"),
        }
    }

    fn described(&self) -> Vec<String> {
        let describe = |step: &Step| match step {
            Step::Apply(object) => format!("apply {}", object.name()),
            Step::Delete(object) => format!("delete {}", object.name()),
            other => panic!("{other:?}"),
        };
        self.steps().iter().map(describe).collect()
    }

    fn settle(&mut self) {
        let steps = self.steps();
        self.world.carry_out_steps(&steps);
    }

    fn readiness(&self, trouble: Option<&Trouble>) -> Readiness {
        readiness(self.situation(), &plan(self.situation()), trouble).unwrap()
    }
}

fn binding<'a>(case: &'a mut Case, name: &str) -> &'a mut RoleBinding {
    let bindings = &mut case.world.observed.role_bindings;
    bindings
        .iter_mut()
        .find(|binding| binding.metadata.name.as_deref() == Some(name))
        .unwrap()
}

fn team() -> Vec<(Subject, &'static str)> {
    vec![
        (user("a"), "Admin"),
        (group("b"), "Viewer"),
        (service_account("ci", "acme-ci"), "release"),
    ]
}

#[test]
fn members_are_bound_to_the_roles_that_they_hold() {
    let objects: Vec<RoleBinding> = Case::new(team())
        .steps()
        .into_iter()
        .filter_map(|step| match step {
            Step::Apply(object) => match *object {
                Object::RoleBinding(binding) => Some(binding),
                _ => None,
            },
            _ => None,
        })
        .collect();
    insta::assert_yaml_snapshot!(objects);
}

#[test]
fn a_role_that_nobody_holds_any_more_is_unbound() {
    let mut case = Case::new(team());
    case.settle();
    assert_eq!(case.described(), [] as [&str; 0]);
    case.object.spec.members.truncate(1);
    assert_eq!(
        case.described(),
        [
            "delete imagefactory-viewer",
            "delete imagefactory-permission-create-builds",
            "delete imagefactory-permission-cancel-builds"
        ]
    );
}

#[test]
fn bindings_of_ours_that_nothing_asks_for_are_removed_and_strangers_are_left() {
    let mut case = Case::new(team());
    case.settle();
    let admin = binding(&mut case, "imagefactory-admin").clone();
    let named = |name: &str| {
        let mut binding = admin.clone();
        binding.metadata.name = Some(name.to_owned());
        binding
    };
    let mut stranger = named("imagefactory-other");
    stranger.metadata.labels = None;
    let mut other_tenants = named("imagefactory-another");
    other_tenants
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("imagefactory.dev/tenant".to_owned(), "other".to_owned());
    let owner = named("imagefactory-owner");
    case.world
        .observed
        .role_bindings
        .extend([named("imagefactory-old"), stranger, other_tenants, owner]);
    assert_eq!(case.described(), ["delete imagefactory-old"]);
}

#[test]
fn bindings_changed_by_hand_are_put_back() {
    let mut case = Case::new(team());
    case.settle();
    binding(&mut case, "imagefactory-admin").role_ref.name = "cluster-admin".to_owned();
    binding(&mut case, "imagefactory-viewer").subjects = None;
    assert_eq!(
        case.described(),
        [
            "delete imagefactory-admin",
            "apply imagefactory-admin",
            "apply imagefactory-viewer"
        ]
    );
    case.settle();
    assert_eq!(case.described(), [] as [&str; 0]);
    assert_eq!(
        binding(&mut case, "imagefactory-admin").role_ref.name,
        "image-factory-admin"
    );
}

#[test]
fn outside_a_tenants_namespace_nobody_is_bound() {
    let case = Case::new(team());
    let homeless = Situation {
        tenant: None,
        ..case.situation()
    };
    assert_eq!(plan(homeless), SettingsPlan::Homeless);
    let found = readiness(homeless, &SettingsPlan::Homeless, None).unwrap();
    assert_eq!(
        (found.standing, found.reason.as_str()),
        (Standing::Stalled, "NotATenantNamespace")
    );
    let status = status(homeless, &SettingsPlan::Homeless, &found);
    assert!(status.members_by_role.is_empty() && status.capabilities.is_empty());
}

#[test]
fn nothing_is_done_while_settings_tenant_or_namespace_are_being_deleted() {
    let mut case = Case::new(team());
    case.tenant.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(plan(case.situation()), SettingsPlan::Leave);
    let mut case = Case::new(team());
    case.object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(plan(case.situation()), SettingsPlan::Leave);
    assert_eq!(readiness(case.situation(), &SettingsPlan::Leave, None), None);
    let case = Case::new(team());
    for tenant in [Some(&case.tenant), None] {
        let leaving = Situation {
            tenant,
            is_leaving: true,
            ..case.situation()
        };
        assert_eq!(plan(leaving), SettingsPlan::Leave);
    }
}

#[test]
fn settings_of_another_name_give_nothing() {
    let mut case = Case::new(team());
    case.object.metadata.name = Some("more".to_owned());
    assert_eq!(plan(case.situation()), SettingsPlan::Leave);
}

#[test]
fn members_that_are_not_allowed_are_named_and_the_others_are_bound() {
    let mut members = team();
    members.extend([
        (group("system:masters"), "Admin"),
        (service_account("x", "tenant-other"), "Viewer"),
    ]);
    let case = Case::new(members);
    let found = case.readiness(None);
    assert_eq!(
        (found.standing, found.reason.as_str()),
        (Standing::Stalled, "SubjectNotAllowed")
    );
    assert!(found.message.contains(r#"Group "system:masters""#), "{}", found.message);
    assert!(
        found
            .message
            .contains(r#"ServiceAccount "x" of namespace "tenant-other""#),
        "{}",
        found.message
    );
    assert_eq!(case.steps().len(), 4);
}

#[test]
fn a_role_that_does_not_exist_is_named() {
    let found = Case::new(vec![(user("a"), "nobody")]).readiness(None);
    assert_eq!(
        (found.standing, found.reason.as_str()),
        (Standing::Stalled, "RoleNotFound")
    );
}

#[test]
fn what_failed_for_now_is_said_and_tried_again() {
    let trouble = Trouble {
        reason: "Forbidden".to_owned(),
        message: "could not apply it".to_owned(),
    };
    let found = Case::new(team()).readiness(Some(&trouble));
    assert_eq!(
        (found.standing, found.reason.as_str()),
        (Standing::Retrying, "Forbidden")
    );
}

#[test]
fn the_status_mirrors_capabilities_and_stays_the_same_while_nothing_changes() {
    let mut case = Case::new(team());
    let found = case.readiness(None);
    let first = status(case.situation(), &plan(case.situation()), &found);
    assert_eq!(first.observed_generation, 4);
    assert_eq!(find(&first.conditions, "Ready").unwrap().status, "True");
    assert!(first.capabilities[0].enabled);
    case.object.status = Some(first.clone());
    case.settle();
    let later = Situation {
        now: Timestamp::from_second(5000).unwrap(),
        ..case.situation()
    };
    assert_eq!(status(later, &plan(later), &found), first);
}

fn members() -> impl Strategy<Value = Vec<(Subject, &'static str)>> {
    let subject = prop_oneof![
        "[a-z]{1,3}".prop_map(|name| user(&name)),
        "(system:)?[a-z]{1,3}".prop_map(|name| group(&name)),
        ("\\PC{0,5}", "(acme-ci|kube-system|tenant-acme)")
            .prop_map(|(name, namespace)| service_account(&name, &namespace)),
    ];
    let role = prop::sample::select(vec!["Admin", "Member", "Viewer", "release", "nobody", "Owner"]);
    prop::collection::vec((subject, role), 0..12)
}

proptest! {
    #[test]
    fn from_any_members_to_any_others_one_plan_is_enough(before in members(), after in members()) {
        let mut case = Case::new(before);
        case.settle();
        prop_assert_eq!(case.described(), [] as [&str; 0]);
        case.object.spec.members = Case::new(after).object.spec.members;
        case.settle();
        prop_assert_eq!(case.described(), [] as [&str; 0]);
        let subjects: Vec<_> = case.world.observed.role_bindings.iter().flat_map(|b| b.subjects.clone()).flatten().collect();
        prop_assert!(subjects.iter().all(|subject| !subject.name.starts_with("system:")));
        prop_assert!(subjects.iter().all(|subject| subject.namespace.as_deref() != Some("kube-system")));
        prop_assert!(case.world.observed.role_bindings.iter().all(|binding| binding.subjects.is_some()));
    }
}
