//! Nobody may connect to a tenant's pods, and they may reach DNS, the world outside, and what the chart opens.
//!
//! Policies add up, so each closes one direction for all pods of the namespace and says all that stays open in it.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::settings::{DnsSettings, EgressRule, EgressSettings};

/// Name of the policy that closes ingress.
pub const DENY_INGRESS: &str = "imagefactory-deny-ingress";
/// Name of the policy that bounds egress.
pub const EGRESS: &str = "imagefactory-egress";

/// Every pod, no ingress.
#[must_use]
pub fn deny_ingress(tenant: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(tenant, DENY_INGRESS),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(Vec::new()),
            egress: None,
        }),
    }
}

/// Every pod: DNS where the chart says, all addresses but the closed ranges, and what is open all the same.
#[must_use]
pub fn egress(tenant: &str, settings: &EgressSettings) -> NetworkPolicy {
    let rules = [dns(&settings.dns), world(&settings.except)]
        .into_iter()
        .chain(settings.allow.iter().map(allowed));
    NetworkPolicy {
        metadata: metadata(tenant, EGRESS),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Egress".to_owned()]),
            egress: Some(rules.collect()),
            ingress: None,
        }),
    }
}

fn dns(settings: &DnsSettings) -> NetworkPolicyEgressRule {
    let namespace = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), settings.namespace.clone())]);
    let pods = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(namespace),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    let others = settings.addresses.iter().map(|range| addresses(range, Vec::new()));
    let ports = settings.ports.iter();
    NetworkPolicyEgressRule {
        to: Some(std::iter::once(pods).chain(others).collect()),
        ports: Some(
            ports
                .flat_map(|number| [port("UDP", *number), port("TCP", *number)])
                .collect(),
        ),
    }
}

fn world(except: &[String]) -> NetworkPolicyEgressRule {
    let (six, four): (Vec<_>, Vec<_>) = except.iter().cloned().partition(|range| range.contains(':'));
    NetworkPolicyEgressRule {
        to: Some(vec![addresses("0.0.0.0/0", four), addresses("::/0", six)]),
        ports: None,
    }
}

fn allowed(rule: &EgressRule) -> NetworkPolicyEgressRule {
    let ports: Vec<_> = rule.ports.iter().map(|number| port("TCP", *number)).collect();
    NetworkPolicyEgressRule {
        to: Some(vec![addresses(&rule.cidr, Vec::new())]),
        ports: (!ports.is_empty()).then_some(ports),
    }
}

fn addresses(cidr: &str, except: Vec<String>) -> NetworkPolicyPeer {
    let except = (!except.is_empty()).then_some(except);
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures;

    #[test]
    fn nobody_connects_to_a_tenants_pods() {
        insta::assert_yaml_snapshot!(deny_ingress("acme"));
    }

    #[test]
    fn closed_ranges_are_sorted_by_family_and_open_ones_keep_their_ports() {
        insta::assert_yaml_snapshot!(egress("acme", &fixtures::settings().tenants.egress));
    }

    #[test]
    fn names_are_resolved_where_the_chart_says_also_by_a_cache_in_a_closed_range() {
        let settings: EgressSettings = serde_yaml::from_str(
            "
            dns: {namespace: openshift-dns, ports: [53, 5353], addresses: [169.254.20.10/32, 'fd00::10/128']}
            except: [169.254.0.0/16]
            ",
        )
        .unwrap();
        insta::assert_yaml_snapshot!(egress("acme", &settings));
    }
}
