//! The table of denials, as `door_denials` tries it, where it is about who asks; and a run of it by several people, of which
//! the audit tells what the API server's own log tells.

use std::collections::BTreeSet;

use imagefactory_tests::access::Person;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::denials::{Expected, Table};
use imagefactory_tests::door::{Raw, confirmed, heard, ours, path};
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
    fn joined_by(&self, more: Value) -> Value {
        let [one, two] = ["member", "admin"].map(|name| self.table.user(name));
        json!({"members": [
            member(&one, "Member", &["app"]), member(&two, "Admin", &["app", "old"]), member("mia", "Viewer", &[]), more,
        ]})
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn who_lacks_a_permission_is_told_which_and_who_has_it() {
    let mut people = People::with("d-persons").await;
    let (tenant, table) = (people.table.tenant.name.clone(), &people.table);
    let cancel = json!({"spec": {"cancelled": true}});
    let eve = people.joined_by(member("eve", "Member", &["other"]));
    let rows: Vec<(Client, Raw, &str, Vec<String>, Vec<(&str, &str)>, &str)> = vec![
        (
            people.nobody.clone(),
            table.build("never", &json!({})),
            "CreateBuilds",
            vec![format!(
                "To create a build you need the permission CreateBuilds in tenant {tenant}. Roles that have it: Owner, Admin, Member."
            )],
            vec![("Project", "app")],
            "",
        ),
        (
            people.member.clone(),
            table.scan("never", &json!({"projectRef": {"name": "other"}})),
            "CreateBuilds",
            vec![format!(
                "To ask for a scan you need the permission CreateBuilds for project other; in tenant {tenant} you hold it for app alone."
            )],
            vec![("Project", "other")],
            "",
        ),
        (
            people.member.clone(),
            table.change("builds", "own", cancel),
            "CancelBuilds",
            vec!["To cancel a build you need".to_owned(), "Owner, Admin.".to_owned()],
            vec![("Project", "app")],
            "",
        ),
        (
            people.admin.clone(),
            table.delete("builds", "there"),
            "CancelBuilds",
            vec!["To delete a build you need".to_owned()],
            vec![("Project", "other")],
            "",
        ),
        (
            people.member.clone(),
            table.change("quarantinerequests", "there", json!({"spec": {"withdrawn": true}})),
            "CancelBuilds",
            vec!["To withdraw another's quarantine request you need".to_owned()],
            vec![("Project", "app")],
            "",
        ),
        (
            people.admin.clone(),
            table.create_of("Project", "projects", "never", &json!({})),
            "OwnProjects",
            vec![
                "To create a project you need".to_owned(),
                "Roles that have it: Owner.".to_owned(),
            ],
            vec![],
            "",
        ),
        (
            people.admin.clone(),
            people.settings(&eve),
            "ViewProjects",
            vec![
                "Nobody grants a permission that he does not hold".to_owned(),
                "for other".to_owned(),
            ],
            vec![],
            "spec.members[3]",
        ),
    ];
    for (client, what, permission, words, more, field) in rows {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let causes = [&[("Permission", permission), ("Tenant", tenant.as_str())], &more[..]].concat();
        let expected = Expected {
            http: 403,
            code: "permission_denied",
            words: &words,
            causes: &causes,
            field,
        };
        people.table.refuses_of(&client, &what, &expected).await;
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

/// What each of them is refused: who asks, for what, with which code.
fn refusals(people: &People) -> Vec<(&Client, Raw, &'static str)> {
    let (table, tenant) = (&people.table, people.table.tenant_itself());
    let sor = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord",
        "metadata": {"name": unique("never")}, "spec": {"recordId": "NEVER-1"}});
    let policy = ours("ImagePolicy", &unique("never"), &json!({}));
    let mut nameless = table.build("never", &json!({"projectRef": {"name": "other"}}));
    nameless.body["metadata"] = json!({"generateName": "never-"});
    let spec = |spec: Value| json!({ "spec": spec });
    let gate = json!({"roles": [{"name": "gate", "permissions": ["ApproveQuarantine"]}]});
    let system = people.joined_by(json!({"subject": {"kind": "Group", "name": "system:masters"}, "role": "Viewer"}));
    let (member, admin, nobody) = (&people.member, &people.admin, &people.nobody);
    let taken_off = json!({"metadata": {"annotations": {"imagefactory.dev/requested-by": "mia"}}});
    let asked = json!({"sorRecordId": people.record, "projectRef": {"name": "old"}});
    vec![
        (
            member,
            table.build("never", &json!({"method": "kaniko", "platforms": ["linux/amd64"]})),
            "field_not_supported",
        ),
        (
            member,
            table.request("never", &json!({"sorRecordId": "NONE-1"})),
            "sor_registration_required",
        ),
        (
            member,
            table.scan("never", &json!({"image": "quay.io/others/a:1"})),
            "invalid_object",
        ),
        (member, nameless.clone(), "permission_denied"),
        (member, nameless, "permission_denied"),
        (member, table.delete("builds", "own"), "permission_denied"),
        (
            member,
            people.settings(&json!({"displayName": "Mine"})),
            "permission_denied",
        ),
        (
            admin,
            table.build("never", &json!({"projectRef": {"name": "old"}})),
            "project_archived",
        ),
        (admin, table.request("never", &asked), "project_archived"),
        (
            admin,
            table.change("builds", "own", spec(json!({"projectRef": {"name": "old"}}))),
            "field_immutable",
        ),
        (
            admin,
            table.change("quarantinerequests", "there", taken_off),
            "field_immutable",
        ),
        (admin, people.settings(&json!({"members": []})), "confirmation_required"),
        (admin, people.settings(&gate), "permission_denied"),
        (admin, people.settings(&system), "invalid_object"),
        (
            admin,
            table.change("projects", "other", spec(json!({"displayName": "Mine"}))),
            "permission_denied",
        ),
        (nobody, table.delete("projects", "app"), "permission_denied"),
        (nobody, table.delete("quarantinerequests", "there"), "permission_denied"),
        (nobody, table.delete("tenantsettings", "settings"), "permission_denied"),
        (nobody, Raw::delete(tenant.clone()), "permission_denied"),
        (
            nobody,
            Raw::change(tenant, spec(json!({"suspended": true}))),
            "permission_denied",
        ),
        (
            nobody,
            Raw::create(path(None, "sorrecords", ""), sor),
            "permission_denied",
        ),
        (
            nobody,
            Raw::delete(path(None, "sorrecords", &people.record)),
            "permission_denied",
        ),
        (
            nobody,
            Raw::create(path(None, "imagepolicies", ""), policy),
            "permission_denied",
        ),
    ]
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
    for (client, what, code) in refusals(&people) {
        is_refused(client, &what, code).await;
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
    let distinct = |field: fn(&imagefactory_tests::on_record::Refusal) -> &String| {
        on_record.keys().map(field).collect::<BTreeSet<_>>().len()
    };
    let whole = [
        distinct(|refusal| &refusal.code),
        distinct(|refusal| &refusal.kind),
        distinct(|refusal| &refusal.verb),
    ];
    assert_eq!(whole, [10, 8, 3], "codes, kinds and verbs of the run: {on_record:#?}");
    assert_eq!(on_record.values().sum::<u64>(), 31, "{on_record:#?}");
    // Whose deletion stopped that of them all, the audit alone can tell.
    let all = Raw::delete(people.table.tenant.path("builds", ""));
    is_refused(&people.nobody, &all, "permission_denied").await;
    let more = until("that is on record", 30, async || {
        let mut more = people.table.on_record();
        more.retain(|refusal, _| !on_record.contains_key(refusal));
        (!more.is_empty()).then_some(more)
    })
    .await;
    let named: Vec<_> = more
        .iter()
        .map(|(refusal, times)| (refusal.verb.as_str(), &*refusal.kind, *times))
        .collect();
    assert_eq!(named, [("delete", "Build", 1)], "{more:#?}");
}
