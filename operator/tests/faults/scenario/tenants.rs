//! Tenants: made from nothing, changed, put right.

use serde_json::{Value, json};

use super::{Do, Home, Scenario, When, build, project, tenant};

fn bare(name: &str) -> Scenario {
    let mut scenario = Scenario::new(name).of(tenant(10), Home::New);
    scenario.before.clear();
    scenario
        .until(When::Is(
            "tenants",
            "TENANT",
            "/status/conditions/0/status",
            json!("True"),
        ))
        .until(When::Reason("tenantsettings", "settings", "Active"))
}

/// A tenant that is there, with something that somebody does to what it holds.
fn there(name: &str) -> Scenario {
    let mut scenario = bare(name);
    scenario.home = Home::Used;
    scenario
}

fn member(name: &str, role: &str) -> Value {
    json!({"subject": {"kind": "User", "name": name}, "role": role})
}

pub fn all() -> Vec<Scenario> {
    [made(), members(), changed(), put_right()].concat()
}

fn made() -> Vec<Scenario> {
    vec![
        bare("tenant from nothing"),
        bare("tenant from nothing, with a build at once")
            .step(
                When::Exists("namespaces", "tenant-TENANT"),
                Do::Create("projects", project("web")),
            )
            .step(When::Now, Do::Create("builds", build("b", json!({}))))
            .until(When::Phase("b", "Succeeded")),
    ]
}

fn members() -> Vec<Scenario> {
    let members =
        json!({"spec": {"members": [member("ada@example.com", "Admin"), member("vic@example.com", "Viewer")]}});
    let custom = json!({"spec": {
        "roles": [{"name": "ops", "permissions": ["ViewProjects", "CancelBuilds"]}],
        "members": [member("ada@example.com", "ops")],
    }});
    let fewer = json!({"spec": {"members": []}});
    vec![
        there("members come").step(When::Now, Do::Merge("tenantsettings", "settings", members.clone())),
        there("members come and go")
            .step(When::Now, Do::Merge("tenantsettings", "settings", members))
            .step(
                When::Is("tenantsettings", "settings", "/status/observedGeneration", json!(2)),
                Do::Merge("tenantsettings", "settings", fewer),
            ),
        there("a custom role").step(When::Now, Do::Merge("tenantsettings", "settings", custom)),
        there("settings deleted").step(When::Now, Do::Delete("tenantsettings", "settings")),
    ]
}

fn changed() -> Vec<Scenario> {
    vec![
        there("quota changed").step(
            When::Now,
            Do::Merge("tenants", "TENANT", json!({"spec": {"quota": {"cpu": "7"}}})),
        ),
        there("owner changed").step(
            When::Now,
            Do::Merge(
                "tenants",
                "TENANT",
                json!({"spec": {"owners": [{"kind": "User", "name": "otto@example.com"}]}}),
            ),
        ),
        there("suspended").step(
            When::Now,
            Do::Merge("tenants", "TENANT", json!({"spec": {"suspended": true}})),
        ),
    ]
}

fn put_right() -> Vec<Scenario> {
    let mut all = vec![
        there("quota put right").step(
            When::Now,
            Do::Merge(
                "resourcequotas",
                "imagefactory-quota",
                json!({"spec": {"hard": {"pods": "1"}}}),
            ),
        ),
        there("label of the namespace put right").step(
            When::Now,
            Do::Merge(
                "namespaces",
                "tenant-TENANT",
                json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
            ),
        ),
    ];
    for (kind, name) in [
        ("resourcequotas", "imagefactory-quota"),
        ("limitranges", "imagefactory-limits"),
        ("networkpolicies", "imagefactory-deny-ingress"),
        ("serviceaccounts", "imagefactory-build"),
        ("rolebindings", "imagefactory-operator"),
    ] {
        all.push(there(&format!("deleted from {kind}")).step(When::Now, Do::Delete(kind, name)));
    }
    all
}
