//! The table of denials (product.md), row by row for each kind there is, by requests as they go over the wire: status
//! line, code, reason, causes, the message behind the API server's prefix; that nothing is left behind; that a dry run is
//! judged in the same way and neither audited nor counted; and that all else is on record once.
#![allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]

use std::collections::{BTreeMap, BTreeSet};

use imagefactory_crds::SorRecord;
use imagefactory_tests::TestTenant;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::door::{Raw, Told, confirmed, heard, ours, path};
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::wait::until;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ASK: &str = "Contact your administrator to request access.";
const REGISTER: &str = "Enterprise EPR registration is required before requesting quarantine.";

/// What a refusal is to say.
struct Expected<'a> {
    http: u16,
    code: &'a str,
    /// Parts of the message that have to stand in it; the first one begins it.
    words: &'a [&'a str],
    /// Reason and message of causes.
    causes: &'a [(&'a str, &'a str)],
    /// Path of the field that is a cause; empty where none is meant.
    field: &'a str,
}

/// A tenant, and how many denials of each code it has to have on record.
struct Table {
    tenant: TestTenant,
    told: BTreeMap<String, usize>,
}

impl Table {
    async fn create(purpose: &str, spec: Value) -> Self {
        let tenant = TestTenant::create_with(purpose, spec).await;
        heard().await;
        Self {
            tenant,
            told: BTreeMap::new(),
        }
    }

    fn create_of(&self, kind: &str, plural: &str, name: &str, spec: &Value) -> Raw {
        Raw::create(self.tenant.path(plural, ""), ours(kind, name, spec))
    }

    fn build(&self, name: &str, spec: Value) -> Raw {
        let mut whole = json!({"projectRef": {"name": "app"}, "source": quick()});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.create_of("Build", "builds", name, &whole)
    }

    fn request(&self, name: &str, spec: Value) -> Raw {
        let mut whole = json!({
            "projectRef": {"name": "app"}, "source": {"image": "quay.io/team/redis:7"}, "justification": "A test.",
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.create_of("QuarantineRequest", "quarantinerequests", name, &whole)
    }

    fn change(&self, plural: &str, name: &str, body: Value) -> Raw {
        Raw::change(self.tenant.path(plural, name), body)
    }

    fn delete(&self, plural: &str, name: &str) -> Raw {
        Raw::delete(self.tenant.path(plural, name))
    }

    fn tenant_itself(&self) -> String {
        path(None, "tenants", &self.tenant.name)
    }

    /// Tries it as a dry run and for real: refused alike, with nothing left behind.
    async fn refuses(&mut self, what: &Raw, expected: &Expected<'_>) {
        let client = self.tenant.client();
        let before = self.all_there_is();
        for dry_run in [true, false] {
            expected.holds_for(what, &what.send(&client, dry_run).await);
        }
        assert_eq!(self.all_there_is(), before, "{what:?} left something behind");
        *self.told.entry(expected.code.to_owned()).or_default() += 1;
    }

    /// Every object of the tenant, with what of it counts as a change of it, and Events about what is not there.
    fn all_there_is(&self) -> BTreeSet<String> {
        let kinds = "builds,projects,quarantinerequests,tenantsettings,pods,jobs,configmaps,secrets,serviceaccounts,\
                     rolebindings,networkpolicies,resourcequotas,limitranges,persistentvolumeclaims";
        let columns = "custom-columns=K:.kind,N:.metadata.name,U:.metadata.uid,G:.metadata.generation,\
                       S:.spec,A:.metadata.annotations";
        let kubectl = self.tenant.cluster.kubectl();
        let lines = |arguments: &[&str]| {
            let said = kubectl.run(&[&["get", "--no-headers"], arguments].concat()).expect_ok();
            said.lines().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let mut all = lines(&[kinds, "-n", &self.tenant.namespace, "-o", columns]);
        let columns = "custom-columns=K:.kind,U:.metadata.uid,G:.metadata.generation";
        all.extend(lines(&["tenant", &self.tenant.name, "-o", columns]));
        let label = format!("imagefactory.dev/tenant={}", self.tenant.name);
        let work = self.tenant.cluster.installation.work_namespace();
        all.extend(lines(&["jobs,pods", "-n", work, "-l", &label, "-o", "name"]));
        let about = "custom-columns=K:.involvedObject.kind,N:.involvedObject.name,R:.reason";
        let events = lines(&["events", "-n", &self.tenant.namespace, "-o", about]);
        all.extend(events.into_iter().filter(|line| line.contains("never")));
        all
    }

    /// Every refusal is on record once and counted once, no dry run is.
    async fn is_on_record(&self) {
        for (code, count) in &self.told {
            self.tenant.denials_are(code, *count).await;
        }
        let all: usize = self.told.values().sum();
        assert_eq!(
            self.tenant.recorded(&["--kind", "denial"]).len(),
            all,
            "no other denials"
        );
        let counted = until("they are counted", 15, async || {
            Some(self.counted().await).filter(|counted| counted.values().sum::<usize>() >= all)
        })
        .await;
        assert_eq!(counted, self.told, "the counters say what is on record");
    }

    /// The audit's own counters of this tenant's denials, by code.
    async fn counted(&self) -> BTreeMap<String, usize> {
        let cluster = &self.tenant.cluster;
        let (namespace, prefix) = (&cluster.installation.namespace, cluster.installation.prefix());
        let path = format!("/api/v1/namespaces/{namespace}/services/{prefix}-audit:http/proxy/metrics");
        let text = cluster.kubectl().run(&["get", "--raw", &path]).expect_ok();
        let mine = format!("tenant=\"{}\"", self.tenant.name);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("imagefactory_denials_total{") && line.contains(&mine));
        let mut counted = BTreeMap::new();
        for line in lines {
            let code = line
                .split_once("code=\"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .unwrap()
                .0;
            let count = line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let count = count as usize;
            *counted.entry(code.to_owned()).or_default() += count;
        }
        counted
    }
}

impl Expected<'_> {
    fn holds_for(&self, what: &Raw, told: &Told) {
        assert_eq!(
            (told.http, told.reason()),
            (self.http, self.code),
            "{what:?}: {}",
            told.body
        );
        assert_eq!(told.body["code"], json!(self.http), "{}", told.body);
        assert!(
            told.body["message"]
                .as_str()
                .unwrap()
                .starts_with("admission webhook \""),
            "the API server's prefix: {}",
            told.body["message"]
        );
        let message = told.message();
        assert!(
            message.starts_with(self.words[0]),
            "{:?} does not begin {message:?}",
            self.words[0]
        );
        for word in self.words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
        let causes = told.causes();
        for (reason, about) in self.causes {
            assert!(
                causes.iter().any(|cause| cause[..2] == [*reason, *about]),
                "{reason} {about} is not in {causes:?}"
            );
        }
        let fields: Vec<&str> = causes
            .iter()
            .map(|cause| cause[2])
            .filter(|field| !field.is_empty())
            .collect();
        let expected: Vec<&str> = [self.field].into_iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(fields, expected, "{causes:?}");
    }
}

fn capabilities(build: bool, request: bool) -> Value {
    json!({"build": build, "quarantineRequest": request, "changeReason": "a test"})
}

async fn record(table: &Table, name: &str, rest: Value) -> ClusterObject {
    let mut spec = json!({"recordId": name, "tenants": [table.tenant.name]});
    spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": name}, "spec": spec,
    });
    ClusterObject::create::<SorRecord>(&table.tenant.cluster, "sorrecord", object).await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_capability_that_is_off_refuses_what_needs_it() {
    let mut table = Table::create("d-off", json!({"capabilities": capabilities(false, false)})).await;
    let name = table.tenant.name.clone();
    for (what, key, words) in [
        (
            table.build("never", json!({})),
            "build",
            "Image build is not enabled for this tenant.",
        ),
        (
            table.request("never", json!({"sorRecordId": "APP-1"})),
            "quarantine_request",
            "Quarantine request is not enabled for this tenant.",
        ),
    ] {
        let expected = Expected {
            http: 403,
            code: "tenant_capability_not_entitled",
            words: &[&format!("{words} {ASK}")],
            causes: &[("Capability", key), ("Tenant", &name)],
            field: "",
        };
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_capability_that_the_project_turned_off_refuses_it_there_alone() {
    let mut table = Table::create("d-narrow", json!({})).await;
    let off = json!({"capabilities": {"build": false}});
    table.tenant.project("narrow", off).await;
    heard().await;
    let name = table.tenant.name.clone();
    let expected = Expected {
        http: 403,
        code: "tenant_capability_not_entitled",
        words: &["Image build is turned off for this project.", "spec.capabilities"],
        causes: &[("Capability", "build"), ("Tenant", &name), ("Project", "narrow")],
        field: "",
    };
    let what = table.build("never", json!({"projectRef": {"name": "narrow"}}));
    table.refuses(&what, &expected).await;
    let client = table.tenant.client();
    let elsewhere = table.build("elsewhere", json!({})).send(&client, true).await;
    assert_eq!(elsewhere.http, 201, "{}", elsewhere.body);
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_request_without_a_record_that_counts_is_a_failed_precondition() {
    let mut table = Table::create("d-sor", json!({"capabilities": capabilities(true, true)})).await;
    let ids = ["good", "off", "over", "others"].map(unique);
    let [good, off, over, others] = &ids;
    let past = Timestamp::now() + SignedDuration::from_secs(2);
    let past = Timestamp::from_second(past.as_second()).unwrap().to_string();
    let _records = [
        record(&table, good, json!({})).await,
        record(&table, off, json!({"suspended": true})).await,
        record(&table, over, json!({"expiresAt": past})).await,
        record(&table, others, json!({"tenants": ["somebody-else"]})).await,
    ];
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let how = "Register the product for this tenant in the enterprise's system of record";
    let name = table.tenant.name.clone();
    for (id, words) in [
        (off.as_str(), format!("Record {off} is suspended.")),
        (over, format!("Record {over} has expired.")),
        (others, format!("Record {others} is unknown.")),
        ("APP-404", "Record APP-404 is unknown.".to_owned()),
    ] {
        let expected = Expected {
            http: 412,
            code: "sor_registration_required",
            words: &[&format!("{REGISTER} {words} {how}")],
            causes: &[("SorRecord", id), ("Tenant", &name)],
            field: "spec.sorRecordId",
        };
        table
            .refuses(&table.request("never", json!({"sorRecordId": id})), &expected)
            .await;
    }
    let expected = Expected {
        http: 412,
        code: "sor_registration_required",
        words: &[&format!("{REGISTER} No record is named in spec.sorRecordId. {how}")],
        causes: &[("Tenant", &name)],
        field: "spec.sorRecordId",
    };
    table.refuses(&table.request("never", json!({})), &expected).await;
    let client = table.tenant.client();
    let counts = table
        .request("counts", json!({"sorRecordId": good}))
        .send(&client, true)
        .await;
    assert_eq!(counts.http, 201, "{}", counts.body);
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_suspended_tenant_and_an_archived_project_take_on_nothing_new() {
    let mut table = Table::create("d-halt", json!({"capabilities": capabilities(true, true)})).await;
    let id = unique("halt");
    let _record = record(&table, &id, json!({})).await;
    table.tenant.project("old", json!({"archived": true})).await;
    heard().await;
    let name = table.tenant.name.clone();
    let old = json!({"projectRef": {"name": "old"}, "sorRecordId": id});
    for what in [
        table.build("never", json!({"projectRef": {"name": "old"}})),
        table.request("never", old),
    ] {
        let expected = Expected {
            http: 409,
            code: "project_archived",
            words: &["Project old is archived", "spec.archived"],
            causes: &[("Project", "old"), ("Tenant", &name)],
            field: "spec.projectRef.name",
        };
        table.refuses(&what, &expected).await;
    }
    table.tenant.patch(json!({"spec": {"suspended": true}})).await;
    heard().await;
    for what in [
        table.build("never", json!({})),
        table.request("never", json!({"sorRecordId": id})),
    ] {
        let words = format!("Tenant {name} is suspended");
        let expected = Expected {
            http: 403,
            code: "tenant_suspended",
            words: &[&words, "A platform administrator can lift it"],
            causes: &[("Tenant", &name)],
            field: "",
        };
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn one_project_more_than_the_quota_is_refused_with_limit_and_use() {
    let mut table = Table::create("d-quota", json!({"quota": {"projects": 1}})).await;
    let name = table.tenant.name.clone();
    let what = table.create_of("Project", "projects", "never", &json!({}));
    let expected = Expected {
        http: 403,
        code: "quota_exceeded",
        words: &[
            &format!("Tenant {name} may have 1 projects and has 1."),
            "spec.quota.projects",
        ],
        causes: &[("Tenant", &name), ("Quota", "projects")],
        field: "",
    };
    table.refuses(&what, &expected).await;
    table.is_on_record().await;
}

/// The schema has rules for some of it too; the mutating call is asked before it.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_cannot_change_is_refused_with_the_field_and_what_to_do_instead() {
    let spec = json!({"quota": {"pods": 0}, "capabilities": capabilities(true, true)});
    let mut table = Table::create("d-fixed", spec).await;
    let id = unique("fixed");
    let _record = record(&table, &id, json!({})).await;
    heard().await;
    let client = table.tenant.client();
    for made in [
        table.build("never-runs", json!({})),
        table.request("never-runs", json!({"sorRecordId": id})),
    ] {
        let told = made.send(&client, false).await;
        assert_eq!(told.http, 201, "{}", told.body);
    }
    let forged = json!({"metadata": {"annotations": {"imagefactory.dev/requested-by": "somebody-else"}}});
    for plural in ["builds", "quarantinerequests"] {
        let expected = Expected {
            http: 422,
            code: "field_immutable",
            words: &[
                "The annotation imagefactory.dev/requested-by tells who asked",
                "Leave it out",
            ],
            causes: &[("Tenant", &table.tenant.name.clone())],
            field: "metadata.annotations[imagefactory.dev/requested-by]",
        };
        let what = table.change(plural, "never-runs", forged.clone());
        table.refuses(&what, &expected).await;
        let expected = Expected {
            http: 422,
            code: "field_immutable",
            words: &["spec.projectRef can't change after the ", "Create a new "],
            causes: &[("Tenant", &table.tenant.name.clone())],
            field: "spec.projectRef",
        };
        let spec = json!({"spec": {"projectRef": {"name": "another"}}});
        let what = table.change(plural, "never-runs", spec);
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

/// By a template's method, and by its own, for which the schema has a rule too.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_method_cannot_honour_is_refused_with_the_methods_that_can() {
    let mut table = Table::create("d-method", json!({})).await;
    let template = |method: &str| json!({"name": method, "method": method, "source": quick()});
    let templates = json!({"templates": [template("kaniko"), template("docker")]});
    table.tenant.project("with", templates).await;
    heard().await;
    let name = table.tenant.name.clone();
    let by = |method: &str, platforms: &[&str]| {
        let template = json!({"name": method});
        json!({"projectRef": {"name": "with"}, "templateRef": template, "source": null, "platforms": platforms})
    };
    let one = "spec.platforms can't be honoured by method kaniko; methods that can: buildx, docker.";
    let several = "spec.platforms (several) can't be honoured by method docker; methods that can: buildx.";
    for (method, platforms, words) in [
        ("kaniko", &["linux/amd64"][..], one),
        ("docker", &["linux/amd64", "linux/arm64"], several),
    ] {
        let expected = Expected {
            http: 422,
            code: "field_not_supported",
            words: &[words],
            causes: &[("Method", method), ("Tenant", &name)],
            field: "spec.platforms",
        };
        table
            .refuses(&table.build("never", by(method, platforms)), &expected)
            .await;
    }
    let named = table.build("never", json!({"method": "kaniko", "platforms": ["linux/amd64"]}));
    let expected = Expected {
        http: 422,
        code: "field_not_supported",
        words: &[one],
        causes: &[("Method", "kaniko"), ("Tenant", &name)],
        field: "spec.platforms",
    };
    table.refuses(&named, &expected).await;
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_destroys_wants_to_be_confirmed_and_says_what_would_be_lost() {
    let mut table = Table::create("d-confirm", json!({})).await;
    let (tenant, annotation) = (
        table.tenant.name.clone(),
        "metadata.annotations[imagefactory.dev/confirm]",
    );
    let member = |name: &str| json!({"subject": {"kind": "User", "name": name}, "role": "Viewer"});
    let all = json!({"members": [member("mia"), member("noe")]});
    let _ = table.tenant.patch_settings(&all).expect_ok();
    // Confirmed from the beginning, as tests make it.
    table.tenant.patch(confirmed("")).await;
    let words = format!("Deleting Tenant {tenant} can't be undone: its namespace goes with everything in it");
    let set = format!("kubectl annotate tenant {tenant} imagefactory.dev/confirm={tenant}");
    let whole = Raw::delete(table.tenant_itself());
    let project = table.delete("projects", "app");
    let settings = table.delete("tenantsettings", "settings");
    let one = table.change(
        "tenantsettings",
        "settings",
        json!({"spec": {"members": [member("noe")]}}),
    );
    for (what, words, causes) in [
        (whole, vec![words.as_str(), &set], vec![("Tenant", tenant.as_str())]),
        (
            project,
            vec![
                "Deleting Project app can't be undone",
                "builds",
                "kubectl annotate project app",
            ],
            vec![("Project", "app"), ("Tenant", &tenant)],
        ),
        (
            settings,
            vec!["Deleting TenantSettings settings can't be undone: 2 members lose their access"],
            vec![("Tenant", &tenant)],
        ),
        (
            one,
            vec![
                "This update takes 1 members out of tenant",
                "mia",
                "in the annotation imagefactory.dev/confirm",
            ],
            vec![("Member", "mia"), ("Tenant", &tenant)],
        ),
    ] {
        let expected = Expected {
            http: 409,
            code: "confirmation_required",
            words: &words,
            causes: &causes,
            field: annotation,
        };
        table.refuses(&what, &expected).await;
    }
    table.is_on_record().await;
}

/// A name counts only in the update that adds it, and for a deletion only the name of what goes.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_confirmation_counts_for_what_it_names_and_for_a_member_once() {
    let table = Table::create("d-confirms", json!({})).await;
    let client = table.tenant.client();
    let member = |name: &str| json!({"subject": {"kind": "User", "name": name}, "role": "Viewer"});
    let leave = |confirm: &str, stay: &[&str]| {
        let mut change = confirmed(confirm);
        change["spec"] = json!({"members": stay.iter().map(|name| member(name)).collect::<Vec<_>>()});
        table.change("tenantsettings", "settings", change)
    };
    let steps = [
        (leave("", &["mia", "noe", "tom"]), 200),
        (leave("noe", &["noe", "tom"]), 409),
        (leave("mia", &["noe", "tom"]), 200),
        (leave("mia, noe", &["mia", "noe", "tom"]), 200),
        // Both names stand there already.
        (leave("mia, noe", &["tom"]), 409),
        (leave("tom", &["tom"]), 409),
        (leave("", &["mia", "noe", "tom"]), 200),
        (leave("mia, noe", &["tom"]), 200),
    ];
    for (number, (step, http)) in steps.into_iter().enumerate() {
        let told = step.send(&client, false).await;
        assert_eq!(told.http, http, "step {number}: {}", told.body);
    }
    table.tenant.project("doomed", json!({})).await;
    for (confirm, http) in [("app", 409), ("doom", 409), ("doomed", 200)] {
        let told = table
            .change("projects", "doomed", confirmed(confirm))
            .send(&client, false)
            .await;
        assert_eq!(told.http, 200, "{}", told.body);
        let told = table.delete("projects", "doomed").send(&client, false).await;
        assert_eq!(told.http, http, "{confirm}: {}", told.body);
    }
}

fn invalid<'a>(words: &'a [&'a str], field: &'a str) -> Expected<'a> {
    Expected {
        http: 422,
        code: "invalid_object",
        words,
        causes: &[],
        field,
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn who_cannot_be_a_member_or_an_owner_is_told_with_the_field() {
    let mut table = Table::create("d-invalid", json!({})).await;
    let foreign = json!({"kind": "ServiceAccount", "name": "default", "namespace": "default"});
    let member = json!({"spec": {"members": [{"subject": foreign, "role": "Admin"}]}});
    let owners = json!({"spec": {"owners": [foreign]}});
    let what = table.change("tenantsettings", "settings", member);
    let words = ["spec.members[0].subject", "Members are users"];
    table.refuses(&what, &invalid(&words, "spec.members[0].subject")).await;
    let what = Raw::change(table.tenant_itself(), owners);
    let words = [
        "spec.owners would hold nobody who can be an owner",
        "The last owner is kept.",
    ];
    table.refuses(&what, &invalid(&words, "spec.owners")).await;
    table.is_on_record().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_placement_that_nobody_allowed_is_refused_with_the_field() {
    let mut table = Table::create("d-placed", json!({})).await;
    let what = table.build(
        "never",
        json!({"placement": {"priorityClassName": "system-node-critical"}}),
    );
    let words = ["spec.placement.priorityClassName system-node-critical is not allowed"];
    table
        .refuses(&what, &invalid(&words, "spec.placement.priorityClassName"))
        .await;
    table.is_on_record().await;
}
