//! What the chart grants, as one table, and no more than trust.md says ("The factory's own rights", "Persons") and
//! product.md's table of roles.

use std::collections::BTreeSet;

use crate::support::{local, render};
use imagefactory_crds::tenant_settings::Permission;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, name, of_kind, text};
use imagefactory_tests::chart::rights::{forbidden, granted};
use serde_json::Value;

/// role | resource, with the names that it is limited to | verbs
const ALLOWED: &str = "\
image-factory-admin | builds.imagefactory.dev | create delete get list patch update watch
image-factory-admin | configmaps | create delete get list patch update watch
image-factory-admin | events | get list watch
image-factory-admin | events.events.k8s.io | get list watch
image-factory-admin | imagescans.imagefactory.dev | create delete get list patch update watch
image-factory-admin | pods | get list watch
image-factory-admin | pods/log | get
image-factory-admin | projects.imagefactory.dev | get list patch update watch
image-factory-admin | quarantinerequests.imagefactory.dev | create delete get list patch update watch
image-factory-admin | secrets | create
image-factory-admin | tenantsettings.imagefactory.dev | get list manageteam patch update watch
image-factory-audit | tokenreviews.authentication.k8s.io | create
image-factory-credentials | tenants.imagefactory.dev | get list watch
image-factory-credentials in image-factory-work | secrets | create
image-factory-member | builds.imagefactory.dev | create get list watch
image-factory-member | events | get list watch
image-factory-member | events.events.k8s.io | get list watch
image-factory-member | imagescans.imagefactory.dev | create get list watch
image-factory-member | pods | get list watch
image-factory-member | pods/log | get
image-factory-member | projects.imagefactory.dev | get list watch
image-factory-member | quarantinerequests.imagefactory.dev | create get list patch update watch
image-factory-member | tenantsettings.imagefactory.dev | get list watch
image-factory-operator | builds.imagefactory.dev | delete get list watch
image-factory-operator | builds/status.imagefactory.dev | patch
image-factory-operator | clusterroles.rbac.authorization.k8s.io [image-factory-tenant-operator image-factory-tenant-credentials image-factory-admin image-factory-member image-factory-owner image-factory-permission-approve-quarantine image-factory-permission-cancel-builds image-factory-permission-create-builds image-factory-permission-edit-settings image-factory-permission-manage-billing image-factory-permission-manage-projects image-factory-permission-manage-team image-factory-permission-read-audit image-factory-permission-release-quarantine image-factory-permission-view-analytics image-factory-permission-view-projects image-factory-viewer] | bind
image-factory-operator | imagepolicies.imagefactory.dev | get list watch
image-factory-operator | imagepolicies/status.imagefactory.dev | patch
image-factory-operator | imagescans.imagefactory.dev | delete get list watch
image-factory-operator | imagescans/status.imagefactory.dev | patch
image-factory-operator | jobs.batch | get list watch
image-factory-operator | namespaces | create delete get list patch watch
image-factory-operator | pods | get list watch
image-factory-operator | projects.imagefactory.dev | get list watch
image-factory-operator | projects/status.imagefactory.dev | patch
image-factory-operator | quarantinerequests.imagefactory.dev | get list watch
image-factory-operator | quarantinerequests/status.imagefactory.dev | patch
image-factory-operator | rolebindings.rbac.authorization.k8s.io | create delete get list patch watch
image-factory-operator | sorrecords.imagefactory.dev | get list watch
image-factory-operator | sorrecords/status.imagefactory.dev | patch
image-factory-operator | tenants.imagefactory.dev | get list patch watch
image-factory-operator | tenants/status.imagefactory.dev | patch
image-factory-operator | tenantsettings.imagefactory.dev | create get list watch
image-factory-operator | tenantsettings/status.imagefactory.dev | patch
image-factory-operator-events in default | events.events.k8s.io | create patch
image-factory-operator-jobs in image-factory-work | jobs.batch | create delete
image-factory-operator-jobs in image-factory-work | pods | delete patch
image-factory-operator-jobs in image-factory-work | pods/log | get
image-factory-operator-lease in image-factory-system | leases.coordination.k8s.io | create
image-factory-operator-lease in image-factory-system | leases.coordination.k8s.io [image-factory-operator] | get update watch
image-factory-owner | builds.imagefactory.dev | create delete get list patch update watch
image-factory-owner | configmaps | create delete get list patch update watch
image-factory-owner | events | get list watch
image-factory-owner | events.events.k8s.io | get list watch
image-factory-owner | imagescans.imagefactory.dev | create delete get list patch update watch
image-factory-owner | pods | get list watch
image-factory-owner | pods/log | get
image-factory-owner | projects.imagefactory.dev | create delete get list patch update watch
image-factory-owner | quarantinerequests.imagefactory.dev | create delete get list patch update watch
image-factory-owner | secrets | create
image-factory-owner | tenantsettings.imagefactory.dev | get list manageteam patch update watch
image-factory-permission-cancel-builds | builds.imagefactory.dev | delete patch update
image-factory-permission-cancel-builds | imagescans.imagefactory.dev | delete patch update
image-factory-permission-cancel-builds | quarantinerequests.imagefactory.dev | delete patch update
image-factory-permission-create-builds | builds.imagefactory.dev | create
image-factory-permission-create-builds | imagescans.imagefactory.dev | create
image-factory-permission-create-builds | quarantinerequests.imagefactory.dev | create patch update
image-factory-permission-edit-settings | tenantsettings.imagefactory.dev | patch update
image-factory-permission-manage-projects | projects.imagefactory.dev | patch update
image-factory-permission-manage-team | tenantsettings.imagefactory.dev | manageteam patch update
image-factory-permission-view-projects | builds.imagefactory.dev | get list watch
image-factory-permission-view-projects | events | get list watch
image-factory-permission-view-projects | events.events.k8s.io | get list watch
image-factory-permission-view-projects | imagescans.imagefactory.dev | get list watch
image-factory-permission-view-projects | pods | get list watch
image-factory-permission-view-projects | pods/log | get
image-factory-permission-view-projects | projects.imagefactory.dev | get list watch
image-factory-permission-view-projects | quarantinerequests.imagefactory.dev | get list watch
image-factory-permission-view-projects | tenantsettings.imagefactory.dev | get list watch
image-factory-platform-admin | imagepolicies.imagefactory.dev | create delete get list patch update watch
image-factory-platform-admin | sorrecords.imagefactory.dev | create delete get list patch update watch
image-factory-platform-admin | tenants.imagefactory.dev | create delete get list patch update watch
image-factory-tenant-credentials | secrets | create
image-factory-tenant-credentials | secrets [imagefactory-staging] | patch
image-factory-tenant-operator | configmaps | create
image-factory-tenant-operator | configmaps [imagefactory-ca] | delete get patch
image-factory-tenant-operator | events.events.k8s.io | create patch
image-factory-tenant-operator | jobs.batch | create delete
image-factory-tenant-operator | limitranges | create
image-factory-tenant-operator | limitranges [imagefactory-limits] | delete get patch
image-factory-tenant-operator | networkpolicies.networking.k8s.io | create
image-factory-tenant-operator | networkpolicies.networking.k8s.io [imagefactory-deny-ingress imagefactory-egress] | delete get patch
image-factory-tenant-operator | pods | create delete patch
image-factory-tenant-operator | pods/log | get
image-factory-tenant-operator | resourcequotas | create
image-factory-tenant-operator | resourcequotas [imagefactory-quota] | delete get patch
image-factory-tenant-operator | serviceaccounts | create
image-factory-tenant-operator | serviceaccounts [imagefactory-build] | delete get patch
image-factory-test in image-factory-work | deployments.apps [image-factory-credentials image-factory-trivy] | get
image-factory-viewer | builds.imagefactory.dev | get list watch
image-factory-viewer | events | get list watch
image-factory-viewer | events.events.k8s.io | get list watch
image-factory-viewer | imagescans.imagefactory.dev | get list watch
image-factory-viewer | pods | get list watch
image-factory-viewer | pods/log | get
image-factory-viewer | projects.imagefactory.dev | get list watch
image-factory-viewer | quarantinerequests.imagefactory.dev | get list watch
image-factory-viewer | tenantsettings.imagefactory.dev | get list watch
image-factory-webhook in image-factory-system | configmaps [image-factory-ca] | get update
image-factory-webhook in image-factory-system | configmaps [image-factory-webhook] | get
image-factory-webhook in image-factory-system | configmaps | create
image-factory-webhook in image-factory-system | deployments.apps [image-factory-webhook] | get
image-factory-webhook in image-factory-system | secrets [image-factory-audit-tls image-factory-webhook-tls] | get update
image-factory-webhook in image-factory-system | secrets | create
image-factory-webhook | clusterroles.rbac.authorization.k8s.io [image-factory-webhook] | get
image-factory-webhook | imagepolicies.imagefactory.dev | list watch
image-factory-webhook | mutatingwebhookconfigurations.admissionregistration.k8s.io [image-factory-webhook] | get list patch update watch
image-factory-webhook | mutatingwebhookconfigurations.admissionregistration.k8s.io | create
image-factory-webhook | namespaces | list watch
image-factory-webhook | projects.imagefactory.dev | list watch
image-factory-webhook | sorrecords.imagefactory.dev | list watch
image-factory-webhook | tenants.imagefactory.dev | list watch
image-factory-webhook | tenantsettings.imagefactory.dev | list watch
image-factory-webhook | validatingwebhookconfigurations.admissionregistration.k8s.io [image-factory-webhook] | get list patch update watch
image-factory-webhook | validatingwebhookconfigurations.admissionregistration.k8s.io | create";

#[test]
fn the_chart_grants_this_table_and_nothing_else() {
    let rights: Vec<String> = granted(&render(&Chart::minimal().set("audit.enabled=true")))
        .iter()
        .map(ToString::to_string)
        .collect();
    println!("{}", rights.join("\n"));
    let (granted, allowed): (BTreeSet<&str>, BTreeSet<&str>) =
        (rights.iter().map(String::as_str).collect(), ALLOWED.lines().collect());
    let more: Vec<&&str> = granted.difference(&allowed).collect();
    let less: Vec<&&str> = allowed.difference(&granted).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "granted and not in the table: {more:#?}\nin the table and not granted: {less:#?}"
    );
}

#[test]
fn no_values_make_the_chart_grant_what_trust_forbids() {
    for chart in [Chart::minimal(), Chart::full(), local()] {
        for right in granted(&render(&chart)) {
            assert_eq!(forbidden(&right), Vec::<&str>::new(), "{right}");
        }
    }
}

#[test]
fn roles_are_rules_alone_without_urls_and_without_aggregation() {
    for role in render(&Chart::full())
        .iter()
        .filter(|object| text(object, "/kind").ends_with("Role"))
    {
        assert!(role.get("aggregationRule").is_none(), "{}", name(role));
        assert!(
            list(role, "/rules")
                .iter()
                .all(|rule| rule.get("nonResourceURLs").is_none()),
            "{}",
            name(role)
        );
        let labels = role["metadata"]["labels"].as_object().unwrap();
        assert!(
            !labels.keys().any(|key| key.starts_with("rbac.authorization.k8s.io/")),
            "{} adds to Kubernetes' own roles",
            name(role)
        );
    }
}

/// `subjects → role`, for every binding.
fn bound(objects: &[Value]) -> BTreeSet<String> {
    ["ClusterRoleBinding", "RoleBinding"]
        .into_iter()
        .flat_map(|kind| of_kind(objects, kind))
        .map(|binding| {
            let subjects: Vec<String> = list(binding, "/subjects")
                .iter()
                .map(|subject| {
                    format!(
                        "{} {}/{}",
                        text(subject, "/kind"),
                        text(subject, "/namespace"),
                        text(subject, "/name")
                    )
                })
                .collect();
            format!(
                "{} → {} {}",
                subjects.join(", "),
                text(binding, "/roleRef/kind"),
                text(binding, "/roleRef/name")
            )
        })
        .collect()
}

#[test]
fn roles_are_bound_to_the_accounts_of_the_factory_and_to_named_groups() {
    let operator = "ServiceAccount image-factory-system/image-factory-operator";
    let credentials = "ServiceAccount image-factory-work/image-factory-credentials";
    let expected: BTreeSet<String> = [
        format!("{operator} → ClusterRole image-factory-operator"),
        format!("{operator} → Role image-factory-operator-jobs"),
        format!("{operator} → Role image-factory-operator-lease"),
        format!("{operator} → Role image-factory-operator-events"),
        format!("{credentials} → ClusterRole image-factory-credentials"),
        format!("{credentials} → Role image-factory-credentials"),
        "ServiceAccount image-factory-system/image-factory-audit → ClusterRole image-factory-audit".to_owned(),
        "ServiceAccount image-factory-system/image-factory-webhook → ClusterRole image-factory-webhook".to_owned(),
        "ServiceAccount image-factory-system/image-factory-webhook → Role image-factory-webhook".to_owned(),
        "ServiceAccount image-factory-system/image-factory-test → Role image-factory-test".to_owned(),
    ]
    .into();
    assert_eq!(bound(&render(&Chart::minimal().set("audit.enabled=true"))), expected);
    let administrators = "Group /platform-team, Group /oidc:security team → ClusterRole img-platform-admin";
    assert!(bound(&render(&Chart::full())).contains(administrators));
}

#[test]
fn what_the_operator_may_bind_exists_and_there_is_a_role_for_every_permission() {
    for (chart, prefix) in [(Chart::minimal(), "image-factory"), (Chart::full(), "img")] {
        let objects = render(&chart);
        let bindable: BTreeSet<String> = granted(&objects)
            .into_iter()
            .filter(|right| right.verbs.contains("bind"))
            .flat_map(|right| right.names)
            .collect();
        for role in &bindable {
            assert!(find(&objects, "ClusterRole", role).is_some(), "{role} does not exist");
        }
        let permissions = Permission::ALL.map(|permission| format!("permission-{}", permission.slug()));
        let built_in = [
            "owner",
            "admin",
            "member",
            "viewer",
            "tenant-operator",
            "tenant-credentials",
        ]
        .map(str::to_owned);
        let wanted: BTreeSet<String> = permissions
            .into_iter()
            .chain(built_in)
            .map(|role| format!("{prefix}-{role}"))
            .collect();
        assert_eq!(bindable, wanted);
    }
}

/// Whoever asks for them asks who is bound; the API server has nothing that they stand for.
#[test]
fn permissions_that_no_object_stands_for_are_roles_without_rules() {
    let objects = render(&Chart::minimal());
    let empty: Vec<&str> = of_kind(&objects, "ClusterRole")
        .filter(|role| list(role, "/rules").is_empty())
        .map(name)
        .collect();
    let expected = [
        "approve-quarantine",
        "manage-billing",
        "read-audit",
        "release-quarantine",
        "view-analytics",
    ];
    let expected = expected.map(|permission| format!("image-factory-permission-{permission}"));
    assert_eq!(empty, expected);
}

#[test]
fn no_built_in_role_holds_less_than_the_one_below_it() {
    let rights = granted(&render(&Chart::minimal()));
    let holds = |role: &str| -> BTreeSet<String> {
        rights
            .iter()
            .filter(|right| right.role == format!("image-factory-{role}"))
            .flat_map(|right| {
                right
                    .verbs
                    .iter()
                    .map(move |verb| format!("{verb} {}.{}", right.resource, right.group))
            })
            .collect()
    };
    for (lower, upper) in [
        ("viewer", "member"),
        ("member", "admin"),
        ("admin", "owner"),
        ("permission-view-projects", "viewer"),
    ] {
        assert!(holds(lower).is_subset(&holds(upper)), "{lower} and {upper}");
    }
    for permission in Permission::ALL {
        assert!(
            holds(&format!("permission-{}", permission.slug())).is_subset(&holds("owner")),
            "{permission:?}"
        );
    }
}

#[test]
fn without_rbac_nothing_is_granted() {
    let objects = render(&Chart::minimal().set("rbac.create=false"));
    assert!(granted(&objects).is_empty() && bound(&objects).is_empty());
}
