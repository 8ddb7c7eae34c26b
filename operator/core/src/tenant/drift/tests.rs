//! What counts as drift and what does not, object by object.

use k8s_openapi::api::core::v1::{ScopeSelector, ServiceAccount};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};

use super::super::fixtures;
use super::super::objects::{
    ca_config_map, limit_range, namespace, network_policies, resource_quota, role_bindings, service_account,
};
use super::super::world::label;
use super::*;

/// A change, made to what is wanted, and what it takes to put it right.
type Change<K> = (&'static str, Drift, fn(&mut K));

fn check<K: Wanted + Clone>(wanted: &K, changes: &[Change<K>]) {
    assert_eq!(wanted.drift(wanted), Drift::None, "unchanged");
    for (name, expected, change) in changes {
        let mut actual = wanted.clone();
        change(&mut actual);
        assert_eq!(wanted.drift(&actual), *expected, "{name}");
    }
}

#[test]
fn a_namespace_drifts_by_our_labels_and_our_annotation_alone() {
    check(
        &namespace::namespace(&fixtures::tenant()),
        &[
            ("a level of Pod Security was lowered", Drift::Apply, |n| {
                label(&mut n.metadata, "pod-security.kubernetes.io/enforce", "privileged");
            }),
            ("a label was removed", Drift::Apply, |n| {
                n.metadata
                    .labels
                    .as_mut()
                    .unwrap()
                    .remove("pod-security.kubernetes.io/warn");
            }),
            ("the annotation was removed", Drift::Apply, |n| {
                n.metadata.annotations = None;
            }),
            ("Kubernetes' own label", Drift::None, |n| {
                label(&mut n.metadata, "kubernetes.io/metadata.name", "tenant-acme");
            }),
            ("a stranger's label", Drift::None, |n| {
                label(&mut n.metadata, "team", "a");
            }),
            ("a stranger's annotation", Drift::None, |n| {
                let annotations = n.metadata.annotations.get_or_insert_default();
                annotations.insert("team".to_owned(), "a".to_owned());
            }),
        ],
    );
}

#[test]
fn a_binding_drifts_by_its_subjects_and_is_made_again_for_another_role() {
    check(
        &role_bindings::operator("acme", &fixtures::settings()),
        &[
            ("the role", Drift::Recreate, |b| {
                b.role_ref.name = "cluster-admin".to_owned();
            }),
            ("the kind of role", Drift::Recreate, |b| {
                b.role_ref.kind = "Role".to_owned();
            }),
            ("another subject", Drift::Apply, |b| {
                b.subjects.as_mut().unwrap().push(Subject {
                    kind: "User".to_owned(),
                    name: "eve".to_owned(),
                    ..Subject::default()
                });
            }),
            ("no subject", Drift::Apply, |b| b.subjects = None),
            ("the subject's namespace", Drift::Apply, |b| {
                b.subjects.as_mut().unwrap()[0].namespace = Some("other".to_owned());
            }),
            ("what the API server fills in", Drift::None, |b| {
                b.subjects.as_mut().unwrap()[0].api_group = Some(String::new());
            }),
        ],
    );
}

#[test]
fn the_order_of_subjects_means_nothing() {
    let subject = |name: &str| Subject {
        kind: "User".to_owned(),
        name: name.to_owned(),
        ..Subject::default()
    };
    let mut wanted = role_bindings::operator("acme", &fixtures::settings());
    wanted.subjects = Some(vec![subject("a"), subject("b")]);
    let mut actual = wanted.clone();
    actual.subjects.as_mut().unwrap().reverse();
    assert_eq!(wanted.drift(&actual), Drift::None);
}

fn hard(quota: &mut ResourceQuota) -> &mut BTreeMap<String, Quantity> {
    quota.spec.as_mut().unwrap().hard.as_mut().unwrap()
}

#[test]
fn a_quota_drifts_by_its_limits_and_is_made_again_where_it_could_not_be_put_right() {
    let default = fixtures::settings().tenants.default_quota;
    check(
        &resource_quota::resource_quota("acme", None, &default).unwrap(),
        &[
            ("another amount", Drift::Apply, |q| {
                hard(q).insert("pods".to_owned(), Quantity("1000".to_owned()));
            }),
            ("a limit is gone", Drift::Apply, |q| {
                hard(q).remove("pods");
            }),
            ("the same amount in another writing", Drift::None, |q| {
                hard(q).insert("requests.cpu".to_owned(), Quantity("8000m".to_owned()));
            }),
            ("a limit of something else", Drift::None, |q| {
                hard(q).insert("count/secrets".to_owned(), Quantity("5".to_owned()));
            }),
            ("a limit of ours that nobody wants", Drift::Recreate, |q| {
                hard(q).insert("requests.ephemeral-storage".to_owned(), Quantity("1".to_owned()));
            }),
            ("a scope that counts nothing", Drift::Recreate, |q| {
                q.spec.as_mut().unwrap().scopes = Some(vec!["Terminating".to_owned()]);
            }),
            ("a selector that counts nothing", Drift::Recreate, |q| {
                q.spec.as_mut().unwrap().scope_selector = Some(ScopeSelector::default());
            }),
        ],
    );
}

#[test]
fn a_limit_range_drifts_by_every_amount() {
    check(
        &limit_range::limit_range("acme", &fixtures::settings().tenants).unwrap(),
        &[
            ("a maximum was added", Drift::Apply, |l| {
                let one = BTreeMap::from([("cpu".to_owned(), Quantity("1m".to_owned()))]);
                l.spec.as_mut().unwrap().limits[0].max = Some(one);
            }),
            ("a rule was added", Drift::Apply, |l| {
                l.spec.as_mut().unwrap().limits.push(LimitRangeItem::default());
            }),
            ("the default is gone", Drift::Apply, |l| {
                l.spec.as_mut().unwrap().limits[0].default = None;
            }),
            ("the same amount in another writing", Drift::None, |l| {
                let requests = l.spec.as_mut().unwrap().limits[0].default_request.as_mut().unwrap();
                requests.insert("memory".to_owned(), Quantity("1024Mi".to_owned()));
            }),
        ],
    );
}

fn spec(policy: &mut NetworkPolicy) -> &mut k8s_openapi::api::networking::v1::NetworkPolicySpec {
    policy.spec.as_mut().unwrap()
}

#[test]
fn a_policy_against_ingress_drifts_by_any_rule_and_any_selector() {
    check(
        &network_policies::deny_ingress("acme"),
        &[
            ("a rule that lets everybody in", Drift::Apply, |p| {
                spec(p).ingress = Some(vec![NetworkPolicyIngressRule::default()]);
            }),
            ("a selector that takes pods out", Drift::Apply, |p| {
                let label = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
                spec(p).pod_selector.as_mut().unwrap().match_labels = Some(label);
            }),
            ("no ingress in it any more", Drift::Apply, |p| {
                spec(p).policy_types = Some(vec!["Egress".to_owned()]);
            }),
            ("as the API server gives it back", Drift::None, |p| {
                spec(p).ingress = None;
            }),
        ],
    );
}

#[test]
fn a_policy_for_egress_drifts_by_any_rule_port_and_range() {
    check(
        &network_policies::egress("acme", &fixtures::settings().tenants.egress),
        &[
            ("everything is open", Drift::Apply, |p| {
                spec(p)
                    .egress
                    .as_mut()
                    .unwrap()
                    .push(NetworkPolicyEgressRule::default());
            }),
            ("a range of ports", Drift::Apply, |p| {
                spec(p).egress.as_mut().unwrap()[0].ports.as_mut().unwrap()[0].end_port = Some(65535);
            }),
            ("a closed range was opened", Drift::Apply, |p| {
                let peer = &mut spec(p).egress.as_mut().unwrap()[1].to.as_mut().unwrap()[0];
                peer.ip_block.as_mut().unwrap().except.as_mut().unwrap().pop();
            }),
            ("DNS anywhere", Drift::Apply, |p| {
                let peer = &mut spec(p).egress.as_mut().unwrap()[0].to.as_mut().unwrap()[0];
                peer.namespace_selector = Some(Default::default());
            }),
            ("an empty list", Drift::None, |p| {
                let peer = &mut spec(p).egress.as_mut().unwrap()[0].to.as_mut().unwrap()[0];
                peer.namespace_selector.as_mut().unwrap().match_expressions = Some(Vec::new());
            }),
        ],
    );
}

#[test]
fn a_service_account_that_mounts_its_token_has_drifted() {
    check::<ServiceAccount>(
        &service_account::service_account("acme"),
        &[
            ("it mounts its token", Drift::Apply, |a| {
                a.automount_service_account_token = Some(true);
            }),
            ("it says nothing, which mounts", Drift::Apply, |a| {
                a.automount_service_account_token = None;
            }),
            ("our label is gone", Drift::Apply, |a| a.metadata.labels = None),
        ],
    );
}

#[test]
fn certificates_drift_by_their_text_and_are_made_again_where_they_are_frozen() {
    check(
        &ca_config_map::ca_config_map("acme", Some("pem")).unwrap(),
        &[
            ("another authority", Drift::Apply, |c| {
                c.data.as_mut().unwrap().insert("ca.crt".to_owned(), "evil".to_owned());
            }),
            ("another authority, frozen", Drift::Recreate, |c| {
                c.immutable = Some(true);
                c.data = None;
            }),
            ("the same, frozen", Drift::None, |c| c.immutable = Some(true)),
            ("another key", Drift::None, |c| {
                c.data.as_mut().unwrap().insert("other".to_owned(), "text".to_owned());
            }),
        ],
    );
}
