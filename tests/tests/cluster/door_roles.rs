//! The role matrix (product.md, Roles) by users who are not administrators, through the real API server: what each role
//! may do is done, and what it may not is refused by RBAC in Kubernetes' own words, or by the door with
//! `permission_denied` where RBAC can't tell (membership of projects, fields, who grants what).
#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "JSON is written where it is handed over, and tables are long"
)]

use std::collections::BTreeMap;

use imagefactory_crds::{SorRecord, TenantSettings};
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{Person, may};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::door::{Raw, Told, heard, path};
use imagefactory_tests::tenant::{ClusterObject, owner_of};
use imagefactory_tests::wait::until;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::Client;
use serde_json::{Value, json};

const EVERYBODY: [&str; 1] = ["system:authenticated"];
/// The platform's administrators and the GitOps account, as the local values name them.
const ADMINISTRATORS: &str = "platform-administrators";
const GITOPS: &str = "system:serviceaccount:gitops:controller";

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is let in.
    Done,
    /// RBAC refuses, in Kubernetes' own words.
    Rbac,
    /// The door refuses: `permission_denied`.
    Ours,
}

use End::{Done, Ours, Rbac};

/// A tenant with people, none of whose builds runs.
struct House {
    tenant: TestTenant,
    record: String,
    clients: BTreeMap<&'static str, Client>,
    _record: ClusterObject,
}

impl House {
    /// People as rows of name, role and projects; `owner` and `nobody` are always there.
    async fn with(purpose: &str, roles: Value, people: &[(&'static str, &str, &[&str])], spec: Value) -> Self {
        let mut whole = json!({
            "quota": {"pods": 0},
            "capabilities": {
                "build": true, "quarantineRequest": true, "onDemandImageScanning": true, "changeReason": "a test",
            },
            "registries": ["quay.io/team/"],
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let tenant = TestTenant::create_with(purpose, whole).await;
        tenant.project("other", json!({})).await;
        let record = format!("{}-record", tenant.name);
        let object = json!({
            "metadata": {"name": record}, "spec": {"recordId": record, "tenants": [tenant.name]},
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord",
        });
        let kept = ClusterObject::create::<SorRecord>(&tenant.cluster, "sorrecord", object).await;
        let members: Vec<Value> = people
            .iter()
            .map(|(name, role, projects)| {
                json!({"subject": {"kind": "User", "name": user(name, &tenant)}, "role": role, "projects": projects})
            })
            .collect();
        let _ = tenant
            .patch_settings(&json!({"roles": roles, "members": members}))
            .expect_ok();
        let mut clients = BTreeMap::new();
        for name in people.iter().map(|(name, ..)| *name).chain(["owner", "nobody"]) {
            let client = tenant.cluster.client_as(&user(name, &tenant), &EVERYBODY).await;
            clients.insert(name, client);
        }
        let house = Self {
            tenant,
            record,
            clients,
            _record: kept,
        };
        house.settled().await;
        house
    }

    /// Waits until the settings are in force, for RBAC and for the door.
    async fn settled(&self) {
        let settings = self.tenant.api::<TenantSettings>();
        until("the settings are in force", 30, async || {
            let found = settings.get("settings").await.ok()?;
            let seen = found.status?.observed_generation;
            (Some(seen) == found.metadata.generation).then_some(())
        })
        .await;
        heard().await;
    }

    fn get(&self, plural: &str, name: &str) -> Raw {
        Raw::get(self.tenant.path(plural, name))
    }

    fn create(&self, plural: &str, kind: &str, name: &str, rest: Value) -> Raw {
        let ours = !["Secret", "ConfigMap", "Pod"].contains(&kind);
        let mut body = json!({
            "apiVersion": if ours { "imagefactory.dev/v1alpha1" } else { "v1" }, "kind": kind, "metadata": {"name": name},
        });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Raw::create(self.tenant.path(plural, ""), body)
    }

    fn build(&self, name: &str, project: &str) -> Raw {
        let spec = json!({"spec": {"projectRef": {"name": project}, "source": quick()}});
        self.create("builds", "Build", name, spec)
    }

    fn request(&self, name: &str, project: &str) -> Raw {
        let spec = json!({"spec": {
            "projectRef": {"name": project}, "source": {"image": "quay.io/team/redis:7"}, "justification": "A test.",
            "sorRecordId": self.record,
        }});
        self.create("quarantinerequests", "QuarantineRequest", name, spec)
    }

    fn scan(&self, name: &str) -> Raw {
        let spec = json!({"spec": {"projectRef": {"name": "app"}, "image": "quay.io/team/redis:7"}});
        self.create("imagescans", "ImageScan", name, spec)
    }

    fn change(&self, plural: &str, name: &str, body: Value) -> Raw {
        Raw::change(self.tenant.path(plural, name), body)
    }

    fn delete(&self, plural: &str, name: &str) -> Raw {
        Raw::delete(self.tenant.path(plural, name))
    }

    /// Makes, as the platform's administrator, what others try to change.
    async fn make(&self, what: &Raw) {
        let told = what.send(&self.tenant.client(), false).await;
        assert_eq!(told.http, 201, "{}", told.body);
    }

    async fn ends(&self, who: &str, what: &Raw, dry_run: bool) -> (End, Told) {
        let told = what.send(&self.clients[who], dry_run).await;
        (end_of(&told, &format!("{who}: {what:?}")), told)
    }

    /// Tries everything as everybody, dry, and compares with the table.
    async fn follows(&self, people: &[&str], table: &[(&str, Raw, &[End])]) {
        let mut wrong = Vec::new();
        for (what, raw, ends) in table {
            assert_eq!(ends.len(), people.len(), "{what}");
            for (who, expected) in people.iter().zip(*ends) {
                let (end, told) = self.ends(who, raw, raw.method != "GET").await;
                if end != *expected {
                    wrong.push(format!(
                        "{who} {what}: {end:?} in place of {expected:?}: {}",
                        told.message()
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

fn user(name: &str, tenant: &TestTenant) -> String {
    if name == "owner" {
        owner_of(&tenant.name)
    } else {
        format!("{name}-of-{}", tenant.name)
    }
}

fn end_of(told: &Told, what: &str) -> End {
    match (told.http, told.reason()) {
        (200 | 201, _) => Done,
        (403, "Forbidden") => {
            assert!(told.message().contains("is forbidden: User "), "{what}: {}", told.body);
            Rbac
        }
        (403, "permission_denied") => {
            let permissions = told.causes().iter().filter(|cause| cause[0] == "Permission").count();
            assert_eq!(permissions, 1, "{what}: {}", told.body);
            Ours
        }
        _ => panic!("{what}: {}", told.body),
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn each_role_does_what_the_table_says_and_is_refused_the_rest_by_rbac() {
    let people: [(&str, &str, &[&str]); 3] = [
        ("admin", "Admin", &[]),
        ("member", "Member", &[]),
        ("viewer", "Viewer", &[]),
    ];
    let house = House::with("r-matrix", json!([]), &people, json!({})).await;
    house.make(&house.build("there", "app")).await;
    house.make(&house.request("there", "app")).await;
    house.make(&house.scan("there")).await;
    let doomed =
        json!({"spec": {}, "metadata": {"name": "doomed", "annotations": {"imagefactory.dev/confirm": "doomed"}}});
    house.make(&house.create("projects", "Project", "doomed", doomed)).await;
    let secret = json!({"type": "Opaque", "stringData": {"a": "b"}});
    house
        .make(&house.create("secrets", "Secret", "there", secret.clone()))
        .await;
    let (all, work): (&[End], &[End]) = (&[Done, Done, Done, Done, Rbac], &[Done, Done, Done, Rbac, Rbac]);
    let (lead, own): (&[End], &[End]) = (&[Done, Done, Rbac, Rbac, Rbac], &[Done, Rbac, Rbac, Rbac, Rbac]);
    let none: &[End] = &[Rbac; 5];
    let spec = |spec: Value| json!({ "spec": spec });
    let mia = json!({"subject": {"kind": "User", "name": "mia"}, "role": "Viewer"});
    let members: Vec<Value> = people
        .iter()
        .map(|(name, role, _)| json!({"subject": {"kind": "User", "name": user(name, &house.tenant)}, "role": role}))
        .chain([mia])
        .collect();
    let table: Vec<(&str, Raw, &[End])> = vec![
        ("views projects", house.get("projects", ""), all),
        ("views a project", house.get("projects", "app"), all),
        ("views builds", house.get("builds", ""), all),
        ("views a build", house.get("builds", "there"), all),
        ("views requests", house.get("quarantinerequests", "there"), all),
        ("views the settings", house.get("tenantsettings", "settings"), all),
        ("views pods", house.get("pods", ""), all),
        ("starts a build", house.build("new", "app"), work),
        ("submits a request", house.request("new", "app"), work),
        ("views a scan", house.get("imagescans", "there"), all),
        ("asks for a scan", house.scan("new"), work),
        (
            "cancels a scan",
            house.change("imagescans", "there", spec(json!({"cancelled": true}))),
            lead,
        ),
        ("deletes a scan", house.delete("imagescans", "there"), lead),
        (
            "cancels a build",
            house.change("builds", "there", spec(json!({"cancelled": true}))),
            lead,
        ),
        ("deletes a build", house.delete("builds", "there"), lead),
        (
            "withdraws another's request",
            house.change("quarantinerequests", "there", spec(json!({"withdrawn": true}))),
            // RBAC can't tell whose it is.
            &[Done, Done, Ours, Rbac, Rbac],
        ),
        ("deletes a request", house.delete("quarantinerequests", "there"), lead),
        (
            "creates a project",
            house.create("projects", "Project", "new", json!({"spec": {}})),
            own,
        ),
        ("deletes a project", house.delete("projects", "doomed"), own),
        (
            "edits a project",
            house.change("projects", "app", spec(json!({"displayName": "App"}))),
            lead,
        ),
        (
            "manages the team",
            house.change("tenantsettings", "settings", spec(json!({"members": members}))),
            lead,
        ),
        (
            "edits the settings",
            house.change("tenantsettings", "settings", spec(json!({"displayName": "House"}))),
            lead,
        ),
        (
            "creates a Secret",
            house.create("secrets", "Secret", "new", secret),
            lead,
        ),
        ("reads a Secret", house.get("secrets", "there"), none),
        ("lists Secrets", house.get("secrets", ""), none),
        (
            "changes a Secret",
            house.change("secrets", "there", json!({"stringData": {"a": "c"}})),
            none,
        ),
        ("deletes a Secret", house.delete("secrets", "there"), none),
        (
            "writes a ConfigMap",
            house.create("configmaps", "ConfigMap", "new", json!({"data": {"a": "b"}})),
            lead,
        ),
        (
            "creates a pod",
            house.create(
                "pods",
                "Pod",
                "new",
                json!({"spec": {"containers": [{"name": "a", "image": "b"}]}}),
            ),
            none,
        ),
        (
            "writes a build's status",
            house.change("builds", "there/status", json!({"status": {}})),
            none,
        ),
        (
            "reads the Tenant",
            Raw::get(path(None, "tenants", &house.tenant.name)),
            none,
        ),
        (
            "changes the Tenant",
            Raw::change(
                path(None, "tenants", &house.tenant.name),
                json!({"spec": {"suspended": false}}),
            ),
            none,
        ),
        ("reads records", Raw::get(path(None, "sorrecords", &house.record)), none),
        (
            "makes a policy",
            Raw::create(path(None, "imagepolicies", ""), policy("of-a-tenant")),
            none,
        ),
    ];
    house
        .follows(&["owner", "admin", "member", "viewer", "nobody"], &table)
        .await;
    assert!(
        house.tenant.recorded(&["--kind", "denial"]).is_empty(),
        "what RBAC refuses never comes to the door, and all of this was a dry run"
    );
}

fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": name}, "spec": {},
    })
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn membership_of_projects_limits_what_is_written_and_not_what_is_seen() {
    let roles = json!([{"name": "stopper", "permissions": ["ViewProjects", "CancelBuilds"]}]);
    let people: [(&str, &str, &[&str]); 3] = [
        ("admin", "Admin", &["app"]),
        ("member", "Member", &["app"]),
        ("stopper", "stopper", &["app"]),
    ];
    let house = House::with("r-projects", roles, &people, json!({})).await;
    for project in ["app", "other"] {
        house.make(&house.build(&format!("in-{project}"), project)).await;
        house.make(&house.request(&format!("in-{project}"), project)).await;
    }
    let cancel = json!({"spec": {"cancelled": true}});
    let withdraw = json!({"spec": {"withdrawn": true}});
    let named = json!({"spec": {"displayName": "Named"}});
    let table: Vec<(&str, Raw, &[End])> = vec![
        (
            "sees builds of another project",
            house.get("builds", "in-other"),
            &[Done, Done, Done],
        ),
        ("builds in its own", house.build("new", "app"), &[Done, Done, Rbac]),
        ("builds in another", house.build("new", "other"), &[Ours, Ours, Rbac]),
        ("asks in its own", house.request("new", "app"), &[Done, Done, Rbac]),
        ("asks in another", house.request("new", "other"), &[Ours, Ours, Rbac]),
        (
            "cancels in its own",
            house.change("builds", "in-app", cancel.clone()),
            &[Done, Rbac, Done],
        ),
        (
            "cancels in another",
            house.change("builds", "in-other", cancel),
            &[Ours, Rbac, Ours],
        ),
        (
            "deletes in another",
            house.delete("builds", "in-other"),
            &[Ours, Rbac, Ours],
        ),
        (
            "withdraws in its own",
            house.change("quarantinerequests", "in-app", withdraw.clone()),
            &[Done, Ours, Done],
        ),
        (
            "withdraws in another",
            house.change("quarantinerequests", "in-other", withdraw),
            &[Ours, Ours, Ours],
        ),
        (
            "edits its own",
            house.change("projects", "app", named.clone()),
            &[Done, Rbac, Rbac],
        ),
        (
            "edits another",
            house.change("projects", "other", named.clone()),
            &[Ours, Rbac, Rbac],
        ),
        // It does not limit who edits the settings.
        (
            "edits the settings",
            house.change("tenantsettings", "settings", named),
            &[Done, Rbac, Rbac],
        ),
    ];
    house.follows(&["admin", "member", "stopper"], &table).await;
    let (_, told) = house.ends("member", &house.build("never", "other"), false).await;
    let name = &house.tenant.name;
    for words in [
        "CreateBuilds",
        "for project other",
        "Roles that have it: Owner, Admin, Member",
    ] {
        assert!(told.message().contains(words), "{words} is not in {}", told.message());
    }
    for cause in [
        ["Permission", "CreateBuilds", ""],
        ["Project", "other", ""],
        ["Tenant", name, ""],
    ] {
        assert!(
            told.causes().contains(&cause),
            "{cause:?} is not in {:?}",
            told.causes()
        );
    }
    house.tenant.denials_are("permission_denied", 1).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_custom_role_writes_the_fields_that_its_permission_names_and_no_others() {
    let role = |name: &str, permission: &str| json!({"name": name, "permissions": ["ViewProjects", permission]});
    let roles = json!([
        role("team", "ManageTeam"),
        role("editor", "EditSettings"),
        role("builder", "CreateBuilds"),
        role("planner", "ManageProjects"),
        role("biller", "ManageBilling"),
    ]);
    let people: [(&str, &str, &[&str]); 5] = [
        ("team", "team", &[]),
        ("editor", "editor", &[]),
        ("builder", "builder", &[]),
        ("planner", "planner", &[]),
        ("biller", "biller", &[]),
    ];
    let house = House::with("r-custom", roles, &people, json!({})).await;
    let settings = house.tenant.api::<TenantSettings>().get("settings").await.unwrap();
    let mut spec = serde_json::to_value(&settings.spec).unwrap();
    let mia = json!({"subject": {"kind": "User", "name": "mia"}, "role": "team"});
    spec["members"].as_array_mut().unwrap().push(mia);
    let members = json!({"spec": {"members": spec["members"]}});
    let named = json!({"spec": {"displayName": "Named"}});
    let both = json!({"spec": {"members": spec["members"], "displayName": "Named"}});
    let settings = |body: Value| house.change("tenantsettings", "settings", body);
    let table: Vec<(&str, Raw, &[End])> = vec![
        ("manages the team", settings(members), &[Done, Ours, Rbac, Rbac, Rbac]),
        (
            "edits the rest",
            settings(named.clone()),
            &[Ours, Done, Rbac, Rbac, Rbac],
        ),
        ("writes both at once", settings(both), &[Ours, Ours, Rbac, Rbac, Rbac]),
        ("builds", house.build("new", "app"), &[Rbac, Rbac, Done, Rbac, Rbac]),
        (
            "edits a project",
            house.change("projects", "app", named),
            &[Rbac, Rbac, Rbac, Done, Rbac],
        ),
        ("sees", house.get("builds", ""), &[Done, Done, Done, Done, Done]),
    ];
    house
        .follows(&["team", "editor", "builder", "planner", "biller"], &table)
        .await;
}

/// Settings with one member or role more.
async fn with(house: &House, member: Option<Value>, role: Option<Value>) -> Raw {
    let settings = house.tenant.api::<TenantSettings>().get("settings").await.unwrap();
    let spec = serde_json::to_value(&settings.spec).unwrap();
    let more = |list: &str, item: Option<Value>| {
        let mut all = spec[list].as_array().cloned().unwrap_or_default();
        all.extend(item);
        all
    };
    let change = json!({"spec": {"members": more("members", member), "roles": more("roles", role)}});
    house.change("tenantsettings", "settings", change)
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nobody_grants_what_he_does_not_hold() {
    let roles = json!([
        {"name": "team", "permissions": ["ViewProjects", "ManageTeam"]},
        {"name": "biller", "permissions": ["ManageBilling"]},
        {"name": "sees", "permissions": ["ViewProjects"]},
    ]);
    let people: [(&str, &str, &[&str]); 3] = [
        ("admin", "Admin", &[]),
        ("team", "team", &[]),
        ("part", "Admin", &["app"]),
    ];
    let house = House::with("r-grants", roles, &people, json!({})).await;
    let eve = |role: &str, projects: &[&str]| {
        Some(json!({"subject": {"kind": "User", "name": "eve"}, "role": role, "projects": projects}))
    };
    let gate = json!({"name": "gate", "permissions": ["ApproveQuarantine"]});
    let table: Vec<(&str, Raw, &[End])> = vec![
        // Owner, admin, one who manages the team alone, one who is admin of a project.
        (
            "makes a viewer who sees",
            with(&house, eve("sees", &[]), None).await,
            &[Done, Done, Done, Ours],
        ),
        (
            "makes one for a project",
            with(&house, eve("sees", &["app"]), None).await,
            &[Done, Done, Done, Done],
        ),
        (
            "makes one for another",
            with(&house, eve("sees", &["other"]), None).await,
            &[Done, Done, Done, Ours],
        ),
        (
            "makes a member",
            with(&house, eve("Member", &[]), None).await,
            &[Done, Done, Ours, Ours],
        ),
        (
            "makes an admin",
            with(&house, eve("Admin", &[]), None).await,
            &[Done, Done, Ours, Ours],
        ),
        (
            "makes one who bills",
            with(&house, eve("biller", &[]), None).await,
            &[Done, Ours, Ours, Ours],
        ),
        (
            "makes a role that approves",
            with(&house, None, Some(gate.clone())).await,
            &[Ours, Ours, Ours, Ours],
        ),
    ];
    house.follows(&["owner", "admin", "team", "part"], &table).await;
    // A platform administrator too needs the Tenant's word for it.
    let approves = with(&house, eve("gate", &[]), Some(gate.clone())).await;
    let told = approves.send(&house.tenant.client(), true).await;
    assert_eq!((told.http, told.reason()), (403, "permission_denied"), "{}", told.body);
    assert!(told.message().contains("delegateApproval: true"), "{}", told.body);
    house.tenant.patch(json!({"spec": {"delegateApproval": true}})).await;
    heard().await;
    let told = approves.send(&house.tenant.client(), true).await;
    assert_eq!(told.http, 200, "{}", told.body);
    // Nor does an owner hold it: no built-in role approves.
    assert_eq!(house.ends("owner", &approves, true).await.0, Ours);
    // A permission that comes into a role that somebody has is granted to him.
    let wider = json!({"spec": {"roles": [
        {"name": "team", "permissions": ["ViewProjects", "ManageTeam", "ManageBilling"]},
        {"name": "biller", "permissions": ["ManageBilling"]}, {"name": "sees", "permissions": ["ViewProjects"]},
    ]}});
    let wider = house.change("tenantsettings", "settings", wider);
    assert_eq!(house.ends("admin", &wider, true).await.0, Ours);
    assert_eq!(house.ends("owner", &wider, true).await.0, Done);
    assert_eq!(house.ends("team", &wider, true).await.0, Ours, "nor to himself");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn whom_rbac_lets_in_from_elsewhere_holds_nothing_in_a_tenant() {
    let house = House::with("r-elsewhere", json!([]), &[], json!({})).await;
    house.make(&house.build("there", "app")).await;
    let nobody = user("nobody", &house.tenant);
    let prefix = house.tenant.cluster.installation.prefix().to_owned();
    let binding: RoleBinding = house
        .tenant
        .make(json!({
            "metadata": {"name": "from-elsewhere"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{prefix}-owner")},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": nobody}],
        }))
        .await;
    assert!(binding.metadata.uid.is_some());
    until("RBAC lets them in", 20, async || {
        let (client, namespace) = (house.tenant.client(), &house.tenant.namespace);
        may(
            &client,
            Person::named(&nobody),
            "create",
            "projects.imagefactory.dev",
            namespace,
        )
        .await
        .then_some(())
    })
    .await;
    let named = json!({"spec": {"displayName": "Named"}});
    let table: Vec<(&str, Raw, &[End])> = vec![
        ("builds", house.build("new", "app"), &[Ours]),
        ("asks", house.request("new", "app"), &[Ours]),
        (
            "cancels",
            house.change("builds", "there", json!({"spec": {"cancelled": true}})),
            &[Ours],
        ),
        ("deletes", house.delete("builds", "there"), &[Ours]),
        (
            "makes a project",
            house.create("projects", "Project", "new", json!({"spec": {}})),
            &[Ours],
        ),
        ("deletes a project", house.delete("projects", "app"), &[Ours]),
        (
            "edits a project",
            house.change("projects", "app", named.clone()),
            &[Ours],
        ),
        (
            "edits the settings",
            house.change("tenantsettings", "settings", named),
            &[Ours],
        ),
        // Labels and annotations are a matter of RBAC.
        (
            "labels",
            house.change("projects", "app", json!({"metadata": {"labels": {"a": "b"}}})),
            &[Done],
        ),
    ];
    house.follows(&["nobody"], &table).await;
    let (_, told) = house.ends("nobody", &house.build("never", "app"), true).await;
    assert!(!told.message().contains("custom"), "{}", told.body);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn administrators_of_the_platform_write_tenants_policies_and_records_and_keep_the_last_owner() {
    let house = House::with("r-platform", json!([]), &[("admin", "Admin", &[])], json!({})).await;
    let admin = house
        .tenant
        .cluster
        .client_as("pat", &[ADMINISTRATORS, EVERYBODY[0]])
        .await;
    let tenant = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": unique("r-new")},
        "spec": {"owners": [{"kind": "User", "name": "olga"}]},
    });
    let record = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": unique("r-new")},
        "spec": {"recordId": "R-1"},
    });
    let name = &house.tenant.name;
    for (what, http) in [
        (Raw::create(path(None, "tenants", ""), tenant), 201),
        (
            Raw::create(path(None, "imagepolicies", ""), policy(&unique("r-new"))),
            201,
        ),
        (Raw::create(path(None, "sorrecords", ""), record), 201),
        (
            Raw::change(path(None, "tenants", name), json!({"spec": {"suspended": true}})),
            200,
        ),
        // The last owner is kept: the schema wants one, and the door one who can be one.
        (
            Raw::change(path(None, "tenants", name), json!({"spec": {"owners": []}})),
            422,
        ),
        (
            Raw::change(
                path(None, "tenants", name),
                json!({"spec": {"owners": [
                    {"kind": "ServiceAccount", "name": "x", "namespace": "default"},
                ]}}),
            ),
            422,
        ),
    ] {
        let told = what.send(&admin, true).await;
        assert_eq!(told.http, http, "{what:?}: {}", told.body);
    }
    // Owners stand in the Tenant alone: no member takes himself or another for one.
    let eve = json!({"subject": {"kind": "User", "name": "eve"}, "role": "Owner"});
    let told = with(&house, Some(eve), None)
        .await
        .send(&house.clients["owner"], true)
        .await;
    assert_eq!((told.http, told.reason()), (422, "Invalid"), "{}", told.body);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_gitops_account_writes_for_a_tenant_and_counts_as_the_requester() {
    let house = House::with("r-gitops", json!([]), &[], json!({})).await;
    let cluster = &house.tenant.cluster;
    let binding = json!({
        "metadata": {"name": unique("r-gitops")},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": "controller", "namespace": "gitops"},
            {"kind": "ServiceAccount", "name": "other", "namespace": "gitops"},
        ],
    });
    let _binding = ClusterObject::create::<ClusterRoleBinding>(cluster, "clusterrolebinding", binding).await;
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:gitops",
        "system:authenticated",
    ];
    let gitops = cluster.client_as(GITOPS, &groups).await;
    until("RBAC lets it in", 20, async || {
        let told = house.get("projects", "app").send(&gitops, false).await;
        (told.http == 200).then_some(())
    })
    .await;
    let told = house.build("from-git", "app").send(&gitops, false).await;
    assert_eq!(told.http, 201, "{}", told.body);
    let by = &told.body["metadata"]["annotations"]["imagefactory.dev/requested-by"];
    assert_eq!(by, GITOPS);
    let eve = json!({"subject": {"kind": "User", "name": "eve"}, "role": "Admin"});
    let grants = with(&house, Some(eve), None).await;
    assert_eq!(
        grants.send(&gitops, true).await.http,
        200,
        "what it applies was decided in Git"
    );
    let gate = json!({"name": "gate", "permissions": ["ApproveQuarantine"]});
    let told = with(&house, None, Some(gate)).await.send(&gitops, true).await;
    assert_eq!((told.http, told.reason()), (403, "permission_denied"), "{}", told.body);
    // Another account with the very same RBAC is nobody to the door.
    let other = cluster.client_as("system:serviceaccount:gitops:other", &groups).await;
    for what in [house.build("from-elsewhere", "app"), grants] {
        let told = what.send(&other, true).await;
        assert_eq!((told.http, told.reason()), (403, "permission_denied"), "{}", told.body);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn who_asked_is_stamped_and_can_be_neither_forged_nor_taken_off() {
    let house = House::with(
        "r-stamp",
        json!([]),
        &[("admin", "Admin", &[]), ("member", "Member", &[])],
        json!({}),
    )
    .await;
    const BY: &str = "imagefactory.dev/requested-by";
    let member = user("member", &house.tenant);
    for (plural, what) in [
        ("builds", house.build("asked", "app")),
        ("quarantinerequests", house.request("asked", "app")),
    ] {
        let told = what.send(&house.clients["member"], false).await;
        assert_eq!(told.http, 201, "{}", told.body);
        assert_eq!(told.body["metadata"]["annotations"][BY], json!(member));
        let forged = |name: &str| {
            let mut forged = what.clone();
            forged.body["metadata"] = json!({"name": "forged", "annotations": {BY: name}});
            forged
        };
        for name in ["the-boss", &member] {
            let told = forged(name).send(&house.clients["member"], true).await;
            assert_eq!(told.http, 201, "{}", told.body);
            assert_eq!(
                told.body["metadata"]["annotations"][BY],
                json!(member),
                "whatever was sent"
            );
        }
        // Put back where an update leaves it out, refused where it is changed.
        let off = json!({"metadata": {"annotations": {BY: null}, "labels": {"a": "b"}}});
        let told = house
            .change(plural, "asked", off)
            .send(&house.clients["admin"], false)
            .await;
        assert_eq!(told.http, 200, "{}", told.body);
        assert_eq!(told.body["metadata"]["annotations"][BY], json!(member));
        let other = json!({"metadata": {"annotations": {BY: "the-boss"}}});
        let told = house
            .change(plural, "asked", other)
            .send(&house.clients["admin"], true)
            .await;
        assert_eq!((told.http, told.reason()), (422, "field_immutable"), "{}", told.body);
    }
}
