//! Properties that hold for every tenant, every installation, and every damage that somebody does by hand.

use imagefactory_crds::Tenant;
use imagefactory_crds::common::{ResourceList, Subject};
use imagefactory_crds::quantity::Quantity as WrittenQuantity;
use imagefactory_crds::tenant::Quota;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};
use k8s_openapi::api::rbac::v1::Subject as RbacSubject;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use proptest::prelude::*;

use super::fixtures::{self, group, service_account, user};
use super::observed::Observed;
use super::plan::{TenantPlan, plan};
use super::world::{World, label};
use super::{Situation, Step};
use crate::settings::{EgressRule, Settings};

/// Damage that somebody may do by hand, to a namespace as we left it.
const DAMAGES: &[fn(&mut Observed)] = &[
    |o| o.role_bindings.clear(),
    |o| o.role_bindings.truncate(1),
    |o| {
        o.role_bindings
            .iter_mut()
            .for_each(|b| b.role_ref.name = "cluster-admin".to_owned());
    },
    |o| o.role_bindings.iter_mut().for_each(|b| b.subjects = None),
    |o| {
        let eve = RbacSubject {
            kind: "User".to_owned(),
            name: "eve".to_owned(),
            ..RbacSubject::default()
        };
        o.role_bindings
            .iter_mut()
            .for_each(|b| b.subjects.get_or_insert_default().push(eve.clone()));
    },
    |o| o.has_settings = false,
    |o| o.inside = Default::default(),
    |o| o.inside.deny_ingress = None,
    |o| o.inside.service_account = None,
    |o| {
        if let Some(policy) = o.inside.deny_ingress.as_mut().and_then(|p| p.spec.as_mut()) {
            policy.ingress = Some(vec![NetworkPolicyIngressRule::default()]);
        }
    },
    |o| {
        if let Some(policy) = o.inside.egress.as_mut().and_then(|p| p.spec.as_mut()) {
            policy
                .egress
                .get_or_insert_default()
                .push(NetworkPolicyEgressRule::default());
            policy.pod_selector.get_or_insert_default().match_labels = Some([("a".to_owned(), "b".to_owned())].into());
        }
    },
    |o| {
        if let Some(account) = &mut o.inside.service_account {
            account.automount_service_account_token = Some(true);
            account.metadata.labels = None;
        }
    },
    |o| {
        if let Some(quota) = o.inside.resource_quota.as_mut().and_then(|q| q.spec.as_mut()) {
            quota.scopes = Some(vec!["Terminating".to_owned()]);
        }
    },
    |o| {
        if let Some(quota) = o.inside.resource_quota.as_mut().and_then(|q| q.spec.as_mut()) {
            let more =
                ["pods", "requests.cpu", "count/secrets"].map(|key| (key.to_owned(), Quantity("999".to_owned())));
            quota.hard.get_or_insert_default().extend(more);
        }
    },
    |o| {
        if let Some(limits) = o.inside.limit_range.as_mut().and_then(|l| l.spec.as_mut()) {
            limits.limits.clear();
        }
    },
    |o| {
        if let Some(map) = &mut o.inside.ca_config_map {
            map.data = Some(
                [
                    ("ca.crt".to_owned(), "evil".to_owned()),
                    ("more".to_owned(), String::new()),
                ]
                .into(),
            );
            map.immutable = Some(true);
        }
    },
    |o| {
        if let Some(namespace) = &mut o.namespace {
            label(
                &mut namespace.metadata,
                "pod-security.kubernetes.io/enforce",
                "privileged",
            );
            label(&mut namespace.metadata, "team", "a");
        }
    },
    |o| {
        if let Some(namespace) = &mut o.namespace {
            namespace.metadata.annotations = None;
        }
    },
];

fn subjects() -> impl Strategy<Value = Vec<Subject>> {
    let pool = prop_oneof![
        "[a-z@.]{1,12}".prop_map(|name| user(&name)),
        "[a-z:-]{1,12}".prop_map(|name| group(&name)),
        "(system:)?[a-z]{1,8}".prop_map(|name| group(&name)),
        "system:[a-z:]{0,12}".prop_map(|name| user(&name)),
        ("\\PC{0,8}", "(acme-ci|kube-system|tenant-acme|tenant-other|)")
            .prop_map(|(name, namespace)| service_account(&name, &namespace)),
        ("(imagefactory-)?[a-z]{1,8}", "(acme-ci|tenant-acme)")
            .prop_map(|(name, namespace)| service_account(&name, &namespace)),
        "\\PC{0,12}".prop_map(|name| user(&name)),
    ];
    prop::collection::vec(pool, 0..6)
}

fn quantity() -> impl Strategy<Value = Option<WrittenQuantity>> {
    let text = "[0-9]{1,6}(\\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?";
    prop::option::of(text.prop_map(|text| WrittenQuantity::from(text.as_str())))
}

fn quota() -> impl Strategy<Value = Quota> {
    (quantity(), quantity(), quantity(), prop::option::of(0..10_000_u32)).prop_map(
        |(cpu, memory, ephemeral_storage, pods)| Quota {
            cpu,
            memory,
            ephemeral_storage,
            pods,
            ..Quota::default()
        },
    )
}

fn resources() -> impl Strategy<Value = ResourceList> {
    (quantity(), quantity(), quantity()).prop_map(|(cpu, memory, ephemeral_storage)| ResourceList {
        cpu,
        memory,
        ephemeral_storage,
    })
}

fn tenant() -> impl Strategy<Value = Tenant> {
    (subjects(), prop::option::of(quota()), any::<bool>(), any::<bool>()).prop_map(
        |(owners, quota, suspended, named)| {
            let mut tenant = fixtures::tenant();
            tenant.spec.owners = owners;
            tenant.spec.quota = quota;
            tenant.spec.suspended = suspended;
            if !named {
                tenant.spec.service_account_namespaces.clear();
            }
            tenant
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let cidr = "(10\\.[0-9]\\.0\\.0/16|fd0[0-9]::/16)";
    let allow = (cidr, prop::collection::vec(any::<u16>(), 0..3)).prop_map(|(cidr, ports)| EgressRule { cidr, ports });
    let egress = (prop::collection::vec(cidr, 0..4), prop::collection::vec(allow, 0..3));
    (
        quota(),
        (resources(), resources(), resources()),
        egress,
        prop::option::of("[a-z ]{0,4}"),
    )
        .prop_map(
            |(default_quota, (default_requests, default_limits, max_limits), (except, allow), ca_bundle)| {
                let mut settings = fixtures::settings();
                settings.tenants.default_quota = default_quota;
                settings.tenants.default_requests = default_requests;
                settings.tenants.default_limits = default_limits;
                settings.tenants.max_limits = max_limits;
                settings.tenants.egress = crate::settings::EgressSettings {
                    except,
                    allow,
                    ..crate::settings::EgressSettings::default()
                };
                settings.ca_bundle = ca_bundle;
                settings
            },
        )
}

fn look(tenant: &Tenant, world: &World, settings: &Settings) -> TenantPlan {
    plan(Situation {
        tenant,
        observed: &world.observed,
        settings,
        now: Timestamp::UNIX_EPOCH,
    })
}

/// Plans and carries out until nothing is left to do. Three looks are enough: rights, the rest, and nothing.
fn settle(tenant: &Tenant, world: &mut World, settings: &Settings) {
    for _ in 0..3 {
        let done = world
            .carry_out(look(tenant, world, settings))
            .expect("the namespace is ours");
        if done.steps.is_empty() {
            assert!(!done.unfinished, "waits for nothing");
            return;
        }
    }
    panic!("does not settle: {:#?}", look(tenant, world, settings));
}

/// What trust.md promises of a tenant's namespace.
fn assert_walls_stand(world: &World) {
    let Observed {
        namespace,
        role_bindings,
        inside,
        ..
    } = &world.observed;
    let labels = namespace.as_ref().unwrap().metadata.labels.as_ref().unwrap();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "baseline");
    let account = inside.service_account.as_ref().unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    let deny = inside.deny_ingress.as_ref().unwrap().spec.as_ref().unwrap();
    assert!(deny.ingress.as_ref().is_none_or(Vec::is_empty));
    for spec in [&inside.deny_ingress, &inside.egress].map(|policy| policy.as_ref().unwrap().spec.as_ref().unwrap()) {
        assert_eq!(spec.pod_selector, Some(Default::default()), "holds for every pod");
    }
    assert!(world.is_all_ours("acme"));
    for binding in role_bindings {
        assert!(binding.role_ref.name.starts_with("image-factory-"), "{binding:?}");
        for subject in binding.subjects.iter().flatten() {
            assert!(!subject.name.starts_with("system:"), "{subject:?}");
            assert_ne!(subject.namespace.as_deref(), Some("kube-system"));
            assert_ne!(subject.namespace.as_deref(), Some("tenant-other"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(tenant in tenant(), settings in settings()) {
        let mut world = World::default();
        settle(&tenant, &mut world, &settings);
        assert_walls_stand(&world);
        let writes = world.writes;
        settle(&tenant, &mut world, &settings);
        prop_assert_eq!(world.writes, writes, "a resync writes nothing");
    }

    #[test]
    fn damage_done_by_hand_is_put_right(
        tenant in tenant(),
        settings in settings(),
        damages in prop::sample::subsequence(DAMAGES.to_vec(), 0..DAMAGES.len()),
    ) {
        let mut world = World::default();
        settle(&tenant, &mut world, &settings);
        damages.iter().for_each(|damage| damage(&mut world.observed));
        settle(&tenant, &mut world, &settings);
        assert_walls_stand(&world);
    }

    #[test]
    fn a_change_of_tenant_or_installation_settles(
        (before, after) in (tenant(), tenant()),
        (old, new) in (settings(), settings()),
    ) {
        let mut world = World::default();
        settle(&before, &mut world, &old);
        settle(&after, &mut world, &new);
        let mut fresh = World::default();
        settle(&after, &mut fresh, &new);
        let names = |world: &World| {
            let mut names: Vec<_> = world.observed.role_bindings.iter().map(|b| b.metadata.name.clone()).collect();
            names.sort();
            names
        };
        prop_assert_eq!(names(&world), names(&fresh));
        prop_assert_eq!(&world.observed.inside.egress, &fresh.observed.inside.egress);
    }

    #[test]
    fn a_strangers_namespace_is_never_written_to(tenant in tenant(), settings in settings()) {
        let mut world = World::default();
        settle(&tenant, &mut world, &settings);
        world.observed.namespace.as_mut().unwrap().metadata.labels = None;
        let plan = look(&tenant, &world, &settings);
        prop_assert!(matches!(plan, TenantPlan::Refuse(_)), "{:?}", plan);
    }

    /// A crash after any write: what is done is seen, and the rest is done.
    #[test]
    fn an_operator_that_dies_between_two_writes_finds_what_it_did(
        tenant in tenant(),
        settings in settings(),
        crashes in prop::collection::vec(0..10_usize, 0..6),
    ) {
        let mut world = World::default();
        for crash in crashes {
            if let TenantPlan::Converge(convergence) = look(&tenant, &world, &settings) {
                let done: Vec<Step> = convergence.steps.into_iter().take(crash).collect();
                world.carry_out_steps(&done);
            }
        }
        settle(&tenant, &mut world, &settings);
        assert_walls_stand(&world);
    }
}
