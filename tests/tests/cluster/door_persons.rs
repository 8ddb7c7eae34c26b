//! The table of denials, as `door_denials` tries it, where it is about who asks; and a run of it by several people, of which
//! the audit tells what the API server's own log tells.

use std::collections::BTreeSet;

use imagefactory_tests::access::Person;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::denials::{Expected, Table};
use imagefactory_tests::door::{Raw, confirmed, heard, ours, path};
use imagefactory_tests::on_record::{Refusal, Refusals};
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::wait::until;
use kube::Client;
use serde_json::{Value, json};

use crate::door_denials::{entitled, record};

fn member(user: &str, role: &str, projects: &[&str]) -> Value {
    json!({"subject": {"kind": "User", "name": user}, "role": role, "projects": projects})
}

/// People whom RBAC lets do everything, so that the door alone refuses them: a member and an admin of one project, and one
/// who is nobody in the tenant. With what is there for them to be refused on.
struct People {
    table: Table,
    record: String,
    member: Client,
    admin: Client,
    nobody: Client,
    _kept: [ClusterObject; 2],
}

impl People {
    async fn with(purpose: &str) -> Self {
        let mut spec = entitled();
        spec["quota"]["projects"] = json!(3);
        let mut table = Table::create(purpose, spec).await;
        let id = unique(&format!("{purpose}-sor"));
        let kept = record(&table, &id, json!({})).await;
        table.tenant.project("other", json!({})).await;
        table.tenant.project("old", json!({"archived": true})).await;
        let [one, two, three] = ["member", "admin", "nobody"].map(|name| table.user(name));
        let members = [
            member(&one, "Member", &["app"]),
            member(&two, "Admin", &["app", "old"]),
            member("mia", "Viewer", &[]),
        ];
        let _ = table.tenant.patch_settings(&json!({ "members": members })).expect_ok();
        let binding = table.rbac_lets_in(&[&one, &two, &three]).await;
        heard().await;
        table
            .make(&table.build("there", &json!({"projectRef": {"name": "other"}})))
            .await;
        table.make(&table.build("own", &json!({}))).await;
        table.make(&table.request("there", &json!({"sorRecordId": id}))).await;
        let mut clients = Vec::new();
        for user in [&one, &two, &three] {
            clients.push(table.client_of(Person::named(user)).await);
        }
        let [member, admin, nobody] = clients.try_into().ok().expect("three people");
        Self {
            table,
            record: id,
            member,
            admin,
            nobody,
            _kept: [kept, binding],
        }
    }

    fn settings(&self, spec: &Value) -> Raw {
        self.table.change("tenantsettings", "settings", json!({ "spec": spec }))
    }

    /// The members, with one more.
    fn joined_by(&self, more: &Value) -> Value {
        let [one, two] = ["member", "admin"].map(|name| self.table.user(name));
        json!({"members": [
            member(&one, "Member", &["app"]), member(&two, "Admin", &["app", "old"]), member("mia", "Viewer", &[]), more,
        ]})
    }
}

/// Somebody who lacks a permission, for what, and what is said to that.
struct Lacks {
    who: Client,
    what: Raw,
    permission: &'static str,
    words: Vec<String>,
    /// The cause that is neither the permission nor the tenant.
    more: Option<(&'static str, &'static str)>,
    field: &'static str,
}

fn lacks<const N: usize>(who: &Client, what: Raw, permission: &'static str, words: [&str; N]) -> Lacks {
    Lacks {
        who: who.clone(),
        what,
        permission,
        words: words.map(str::to_owned).to_vec(),
        more: None,
        field: "",
    }
}

impl Lacks {
    fn in_project(self, project: &'static str) -> Self {
        Self {
            more: Some(("Project", project)),
            ..self
        }
    }

    fn at(self, field: &'static str) -> Self {
        Self { field, ..self }
    }
}

/// Of a member and an admin of some projects, and of one who is nobody in the tenant.
fn lacking(people: &People) -> Vec<Lacks> {
    let (table, tenant) = (&people.table, &people.table.tenant.name);
    let (member_of, admin, nobody) = (&people.member, &people.admin, &people.nobody);
    let needs = format!("To create a build you need the permission CreateBuilds in tenant {tenant}.");
    let limit = format!("for project other; in tenant {tenant} you hold it for app alone.");
    let scan = table.scan("never", &json!({"projectRef": {"name": "other"}}));
    let cancel = table.change("builds", "own", json!({"spec": {"cancelled": true}}));
    let withdraw = table.change("quarantinerequests", "there", json!({"spec": {"withdrawn": true}}));
    let delete = table.delete("builds", "there");
    let project = table.create_of("Project", "projects", "never", &json!({}));
    let eve = people.settings(&people.joined_by(&member("eve", "Member", &["other"])));
    let roles = "Roles that have it: Owner, Admin, Member.";
    let grants = ["Nobody grants a permission that he does not hold", "for other"];
    vec![
        lacks(
            nobody,
            table.build("never", &json!({})),
            "CreateBuilds",
            [&needs, roles],
        )
        .in_project("app"),
        lacks(member_of, scan, "CreateBuilds", ["To ask for a scan you need", &limit]).in_project("other"),
        lacks(
            member_of,
            cancel,
            "CancelBuilds",
            ["To cancel a build you need", "Owner, Admin."],
        )
        .in_project("app"),
        lacks(
            member_of,
            withdraw,
            "CancelBuilds",
            ["To withdraw another's quarantine request you"],
        )
        .in_project("app"),
        lacks(admin, delete, "CancelBuilds", ["To delete a build you need"]).in_project("other"),
        lacks(
            admin,
            project,
            "OwnProjects",
            ["To create a project you need", "Roles that have it: Owner."],
        ),
        lacks(admin, eve, "ViewProjects", grants).at("spec.members[3]"),
    ]
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn who_lacks_a_permission_is_told_which_and_who_has_it() {
    let mut people = People::with("d-persons").await;
    let tenant = people.table.tenant.name.clone();
    for row in lacking(&people) {
        let words: Vec<&str> = row.words.iter().map(String::as_str).collect();
        let mut causes = vec![("Permission", row.permission), ("Tenant", tenant.as_str())];
        causes.extend(row.more);
        let expected = Expected {
            http: 403,
            code: "permission_denied",
            words: &words,
            causes: &causes,
            field: row.field,
        };
        people.table.refuses_of(&row.who, &row.what, &expected).await;
    }
    let suspends = Raw::change(people.table.tenant_itself(), json!({"spec": {"suspended": true}}));
    let expected = Expected {
        http: 403,
        code: "permission_denied",
        words: &["Only platform administrators change Tenants: members of the groups that the chart's values name"],
        causes: &[("Permission", "PlatformAdministrator")],
        field: "",
    };
    let nobody = people.nobody.clone();
    people.table.refuses_of(&nobody, &suspends, &expected).await;
    people.table.is_on_record().await;
}

/// Who is refused what, with which code.
type Row<'a> = (&'a Client, Raw, &'static str);

/// What a member of one project is refused.
fn of_the_member(people: &People) -> Vec<Row<'_>> {
    let (table, who) = (&people.table, &people.member);
    let mut nameless = table.build("never", &json!({"projectRef": {"name": "other"}}));
    nameless.body["metadata"] = json!({"generateName": "never-"});
    let platforms = json!({"method": "kaniko", "platforms": ["linux/amd64"]});
    let unknown = json!({"sorRecordId": "NONE-1"});
    let outside = json!({"image": "quay.io/others/a:1"});
    let named = people.settings(&json!({"displayName": "Mine"}));
    vec![
        (who, table.build("never", &platforms), "field_not_supported"),
        (who, table.request("never", &unknown), "sor_registration_required"),
        (who, table.scan("never", &outside), "invalid_object"),
        // Of what has no name yet two alike are two.
        (who, nameless.clone(), "permission_denied"),
        (who, nameless, "permission_denied"),
        (who, table.delete("builds", "own"), "permission_denied"),
        (who, named, "permission_denied"),
    ]
}

/// What an admin of some projects is refused.
fn of_the_admin(people: &People) -> Vec<Row<'_>> {
    let (table, who) = (&people.table, &people.admin);
    let old = json!({"projectRef": {"name": "old"}});
    let asked = json!({"sorRecordId": people.record, "projectRef": {"name": "old"}});
    let taken_off = json!({"metadata": {"annotations": {"imagefactory.dev/requested-by": "mia"}}});
    let named = json!({"spec": {"displayName": "Mine"}});
    let gate = json!({"roles": [{"name": "gate", "permissions": ["ApproveQuarantine"]}]});
    let system = json!({"subject": {"kind": "Group", "name": "system:masters"}, "role": "Viewer"});
    let moved = table.change("builds", "own", json!({ "spec": old }));
    vec![
        (who, table.build("never", &old), "project_archived"),
        (who, table.request("never", &asked), "project_archived"),
        (who, moved, "field_immutable"),
        (
            who,
            table.change("quarantinerequests", "there", taken_off),
            "field_immutable",
        ),
        (who, people.settings(&json!({"members": []})), "confirmation_required"),
        (who, people.settings(&gate), "permission_denied"),
        (who, people.settings(&people.joined_by(&system)), "invalid_object"),
        (who, table.change("projects", "other", named), "permission_denied"),
    ]
}

/// What one is refused who is nobody in the tenant, nor on the platform.
fn of_nobody(people: &People) -> Vec<Row<'_>> {
    let (table, tenant, who) = (&people.table, people.table.tenant_itself(), &people.nobody);
    let record = ours("SorRecord", &unique("never"), &json!({"recordId": "NEVER-1"}));
    let policy = ours("ImagePolicy", &unique("never"), &json!({}));
    let its_record = path(None, "sorrecords", &people.record);
    let suspended = json!({"spec": {"suspended": true}});
    let writes = [
        table.delete("projects", "app"),
        table.delete("quarantinerequests", "there"),
        table.delete("tenantsettings", "settings"),
        Raw::delete(tenant.clone()),
        Raw::change(tenant, suspended),
        Raw::create(path(None, "sorrecords", ""), record),
        Raw::delete(its_record),
        Raw::create(path(None, "imagepolicies", ""), policy),
    ];
    writes
        .into_iter()
        .map(|what| (who, what, "permission_denied"))
        .collect()
}

/// What a platform administrator is refused.
fn refusals_of_the_platform(people: &People) -> Vec<(Raw, &'static str)> {
    let (table, tenant) = (&people.table, people.table.tenant_itself());
    let owners = json!({"spec": {"owners": [{"kind": "ServiceAccount", "name": "x", "namespace": "default"}]}});
    let another = json!({"spec": {"recordId": "ANOTHER-1"}});
    vec![
        (
            table.create_of("Project", "projects", "never", &json!({})),
            "quota_exceeded",
        ),
        (table.delete("projects", "app"), "confirmation_required"),
        (table.delete("tenantsettings", "settings"), "confirmation_required"),
        (Raw::delete(tenant.clone()), "confirmation_required"),
        (Raw::change(tenant, owners), "invalid_object"),
        (
            Raw::change(path(None, "sorrecords", &people.record), another),
            "field_immutable",
        ),
    ]
}

/// Tries it as a dry run, which is on record nowhere, and then for real.
async fn is_refused(client: &Client, what: &Raw, code: &str) {
    for dry_run in [true, false] {
        let told = what.send(client, dry_run).await;
        assert_eq!(told.reason(), code, "{what:?}: {}", told.body);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_audit_tells_each_refusal_that_the_api_servers_own_log_tells_and_no_other() {
    let mut people = People::with("d-same").await;
    let user = people.table.user("pat");
    let pat = Person {
        user: &user,
        groups: &["platform-administrators", "system:authenticated"],
    };
    let pat = people.table.client_of(pat).await;
    let _binding = people.table.rbac_lets_in(&[&user]).await;
    let vera = people.table.user("vera");
    let vera = people.table.client_of(Person::named(&vera)).await;
    people.table.tenant.patch(confirmed("")).await;
    for rows in [of_the_member(&people), of_the_admin(&people), of_nobody(&people)] {
        for (client, what, code) in rows {
            is_refused(client, &what, code).await;
        }
    }
    for (what, code) in refusals_of_the_platform(&people) {
        is_refused(&pat, &what, code).await;
    }
    let suspended = json!({"capabilities": {"quarantineRequest": false, "changeReason": "later"}, "suspended": true});
    people.table.tenant.patch(json!({ "spec": suspended })).await;
    heard().await;
    let off = people.table.request("never", &json!({"sorRecordId": people.record}));
    is_refused(&people.member, &off, "tenant_capability_not_entitled").await;
    is_refused(
        &people.member,
        &people.table.build("never", &json!({})),
        "tenant_suspended",
    )
    .await;
    // What RBAC and the schema refuse is no refusal of ours.
    is_refused(&vera, &people.table.build("never", &json!({})), "Forbidden").await;
    is_refused(
        &pat,
        &people.table.build("never", &json!({"method": "none"})),
        "Invalid",
    )
    .await;

    let on_record = people.table.agrees().await;
    let distinct = |field: fn(&Refusal) -> &String| on_record.keys().map(field).collect::<BTreeSet<_>>().len();
    let whole = [
        distinct(|refusal| &refusal.code),
        distinct(|refusal| &refusal.kind),
        distinct(|refusal| &refusal.verb),
    ];
    assert_eq!(whole, [10, 8, 3], "codes, kinds and verbs of the run: {on_record:#?}");
    assert_eq!(on_record.values().sum::<u64>(), 31, "{on_record:#?}");
    a_collection_names_the_one_that_stopped_it(&people, &on_record).await;
}

/// Whose deletion stopped that of them all, the audit alone tells.
async fn a_collection_names_the_one_that_stopped_it(people: &People, before: &Refusals) {
    let all = Raw::delete(people.table.tenant.path("builds", ""));
    is_refused(&people.nobody, &all, "permission_denied").await;
    let more = until("that is on record", 30, async || {
        let mut more = people.table.on_record();
        more.retain(|refusal, _| !before.contains_key(refusal));
        (!more.is_empty()).then_some(more)
    })
    .await;
    let (refusal, times) = more.first_key_value().unwrap();
    assert_eq!((more.len(), *times), (1, 1), "{more:#?}");
    assert_eq!((refusal.verb.as_str(), refusal.kind.as_str()), ("delete", "Build"));
    assert!(["there", "own"].contains(&refusal.name.as_str()), "{refusal:?}");
}
