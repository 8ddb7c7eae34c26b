//! The table of denials, as `door_denials` tries it, where it is about what is written: fields that can't change or can't
//! be honoured, what no field may hold, and what wants to be confirmed.

use imagefactory_tests::access::Person;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::denials::{Expected, Table};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::door::{Raw, confirmed, heard, path};
use imagefactory_tests::tenant::owner_of;
use kube::Client;
use serde_json::{Value, json};

use crate::door_denials::{entitled, record};

/// What can't change is refused with the field and what to do instead.
async fn refuses_change(table: &mut Table, what: &Raw, words: &[&str], field: &str) {
    let name = table.tenant.name.clone();
    let expected = Expected {
        http: 422,
        code: "field_immutable",
        words,
        causes: &[("Tenant", &name)],
        field,
    };
    table.refuses(what, &expected).await;
}

/// The schema has rules for some of it too; the mutating call is asked before it.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_cannot_change_is_refused_with_the_field_and_what_to_do_instead() {
    let mut table = Table::create("d-fixed", entitled()).await;
    let id = unique("fixed");
    let _record = record(&table, &id, json!({})).await;
    heard().await;
    // What has ended is another one: a change of no spec and one back to the same spec would be one write asked for again.
    for name in ["there", "ended"] {
        table.make(&table.build(name, &json!({}))).await;
        table.make(&table.request(name, &json!({"sorRecordId": id}))).await;
        table.make(&table.scan(name, &json!({}))).await;
    }
    let forged = json!({"metadata": {"annotations": {"imagefactory.dev/requested-by": "somebody-else"}}});
    let client = table.tenant.client();
    for (kind, plural, ends) in [
        ("Build", "builds", "cancelled"),
        ("ImageScan", "imagescans", "cancelled"),
        ("QuarantineRequest", "quarantinerequests", "withdrawn"),
    ] {
        let what = table.change(plural, "there", forged.clone());
        let words = [
            "The annotation imagefactory.dev/requested-by tells who asked",
            "Leave it out",
        ];
        let field = "metadata.annotations[imagefactory.dev/requested-by]";
        refuses_change(&mut table, &what, &words, field).await;
        let other = json!({"spec": {"projectRef": {"name": "another"}}});
        let what = table.change(plural, "there", other);
        let words = [
            &*format!("spec.projectRef can't change after the {kind} was created."),
            &format!("Create a new {kind} instead"),
        ];
        refuses_change(&mut table, &what, &words, "spec.projectRef").await;
        let ended = table.change(plural, "ended", json!({"spec": {ends: true}}));
        let ended = ended.send(&client, false).await;
        assert_eq!(ended.http, 200, "{}", ended.body);
        let what = table.change(plural, "ended", json!({"spec": {ends: false}}));
        let words = [&*format!("spec.{ends} can't be taken back"), "Create a new "];
        refuses_change(&mut table, &what, &words, &format!("spec.{ends}")).await;
    }
    table.is_on_record().await;
}

const FINALIZERS: &str = "metadata.finalizers";
const OWNERS: &str = "metadata.ownerReferences";

/// An object's finalizers, or an owner that does not exist: Kubernetes would delete what has it.
fn marked(field: &str) -> Value {
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "6a1ccd9c-0d3c-4c3e-9f53-5f1c0f7f2f11",
    });
    match field {
        FINALIZERS => json!({"finalizers": ["example.com/keep"]}),
        _ => json!({"ownerReferences": [owner]}),
    }
}

async fn refuses_mark(table: &mut Table, client: &Client, what: &Raw, field: &str) {
    let name = table.tenant.name.clone();
    let words = match field {
        FINALIZERS => [
            "metadata.finalizers can't get example.com/keep: only Image Factory sets",
            "Leave it out",
        ],
        _ => ["metadata.ownerReferences of this ", "can't be added to or changed"],
    };
    let expected = Expected {
        http: 422,
        code: "field_immutable",
        words: &words,
        causes: &[("Tenant", &name)],
        field,
    };
    table.refuses_of(client, what, &expected).await;
}

/// Not even an owner: who may change an object is not who may delete it. Policies of the chart refuse it too, in words of
/// theirs; the mutating call is asked before them.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn how_long_an_object_stays_nobody_says_by_finalizers_or_owners() {
    let mut table = Table::create("d-lifetime", entitled()).await;
    let id = unique("lifetime");
    let _record = record(&table, &id, json!({})).await;
    heard().await;
    // Two of each: two refused updates that leave the spec of one object alone would be one write asked for again.
    let marks = [("kept", FINALIZERS), ("owned", OWNERS)];
    for (name, _) in marks {
        table.tenant.project(name, json!({})).await;
        table.make(&table.build(name, &json!({}))).await;
        table.make(&table.request(name, &json!({"sorRecordId": id}))).await;
        table.make(&table.scan(name, &json!({}))).await;
    }
    let user = owner_of(&table.tenant.name);
    let owner = table.client_of(Person::named(&user)).await;
    for (name, field) in marks {
        for plural in ["projects", "builds", "imagescans", "quarantinerequests"] {
            let what = table.change(plural, name, json!({"metadata": marked(field)}));
            refuses_mark(&mut table, &owner, &what, field).await;
        }
    }
    let what = table.change("tenantsettings", "settings", json!({"metadata": marked(OWNERS)}));
    refuses_mark(&mut table, &owner, &what, OWNERS).await;
    let made = |mut what: Raw, field: &str| {
        what.body["metadata"]["name"] = json!(format!("never-{}", field.len()));
        for (key, value) in marked(field).as_object().into_iter().flatten() {
            what.body["metadata"][key] = value.clone();
        }
        what
    };
    for field in [FINALIZERS, OWNERS] {
        let what = made(table.create_of("Project", "projects", "never", &json!({})), field);
        refuses_mark(&mut table, &owner, &what, field).await;
    }
    let what = made(table.build("never", &json!({})), FINALIZERS);
    refuses_mark(&mut table, &owner, &what, FINALIZERS).await;
    // A controller of a pipeline makes a Build that goes with its run.
    let what = made(table.build("never", &json!({})), OWNERS);
    let told = what.send(&owner, true).await;
    assert_eq!(told.http, 201, "{}", told.body);
    table.is_on_record().await;
}

/// Kubernetes puts the finalizer on with the deletion: nobody asks for an update.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_owner_deletes_in_the_foreground_and_leaves_dependents_behind_as_kubectl_can() {
    let table = Table::create("d-cascade", entitled()).await;
    let user = owner_of(&table.tenant.name);
    let kubectl = table.tenant.cluster.kubectl();
    for cascade in ["foreground", "orphan"] {
        table.make(&table.build(cascade, &json!({}))).await;
        let flag = format!("--cascade={cascade}");
        let namespace = table.tenant.namespace.as_str();
        let delete = [
            "delete",
            "build",
            cascade,
            &flag,
            "-n",
            namespace,
            "--as",
            &user,
            "--timeout=60s",
        ];
        let answer = kubectl.run(&delete);
        assert!(answer.ok, "{cascade}: {}", answer.stderr);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_id_of_a_record_does_not_change() {
    let mut table = Table::create("d-record", entitled()).await;
    let id = unique("record");
    let _record = record(&table, &id, json!({})).await;
    let user = table.user("pat");
    let pat = Person {
        user: &user,
        groups: &["platform-administrators", "system:authenticated"],
    };
    let pat = table.client_of(pat).await;
    let what = Raw::change(
        path(None, "sorrecords", &id),
        json!({"spec": {"recordId": "ANOTHER-1"}}),
    );
    let expected = Expected {
        http: 422,
        code: "field_immutable",
        words: &["spec.recordId can't change after the SorRecord was created. Create a new SorRecord instead."],
        causes: &[],
        field: "spec.recordId",
    };
    table.refuses_of(&pat, &what, &expected).await;
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
    let own = json!({"method": "kaniko", "platforms": ["linux/amd64"]});
    for (method, spec, words) in [
        ("kaniko", by("kaniko", &["linux/amd64"]), one),
        ("docker", by("docker", &["linux/amd64", "linux/arm64"]), several),
        ("kaniko", own, one),
    ] {
        let expected = Expected {
            http: 422,
            code: "field_not_supported",
            words: &[words],
            causes: &[("Method", method), ("Tenant", &name)],
            field: "spec.platforms",
        };
        table.refuses(&table.build("never", &spec), &expected).await;
    }
    table.is_on_record().await;
}

fn member(name: &str) -> Value {
    json!({"subject": {"kind": "User", "name": name}, "role": "Viewer"})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_destroys_wants_to_be_confirmed_and_says_what_would_be_lost() {
    let mut table = Table::create("d-confirm", json!({})).await;
    let (tenant, annotation) = (
        table.tenant.name.clone(),
        "metadata.annotations[imagefactory.dev/confirm]",
    );
    let all = json!({"members": [member("mia"), member("noe")]});
    let _ = table.tenant.patch_settings(&all).expect_ok();
    // Confirmed from the beginning, as tests make it.
    table.tenant.patch(confirmed("")).await;
    let words = format!("Deleting Tenant {tenant} can't be undone: its namespace goes with everything in it");
    let set = format!("kubectl annotate tenant {tenant} imagefactory.dev/confirm={tenant}");
    let whole = Raw::delete(table.tenant_itself());
    let project = table.delete("projects", "app");
    let settings = table.delete("tenantsettings", "settings");
    let stay = json!({"spec": {"members": [member("noe")]}});
    let one = table.change("tenantsettings", "settings", stay);
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

/// What no field may hold is refused with the field.
async fn refuses_as_invalid(table: &mut Table, what: &Raw, words: &[&str], field: &str) {
    let expected = Expected {
        http: 422,
        code: "invalid_object",
        words,
        causes: &[],
        field,
    };
    table.refuses(what, &expected).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_no_field_may_hold_is_told_with_the_field() {
    let mut table = Table::create("d-invalid", entitled()).await;
    let foreign = json!({"kind": "ServiceAccount", "name": "default", "namespace": "default"});
    let member = json!({"spec": {"members": [{"subject": foreign, "role": "Admin"}]}});
    let what = table.change("tenantsettings", "settings", member);
    let words = ["spec.members[0].subject", "Members are users"];
    refuses_as_invalid(&mut table, &what, &words, "spec.members[0].subject").await;

    let what = Raw::change(table.tenant_itself(), json!({"spec": {"owners": [foreign]}}));
    let words = [
        "spec.owners would hold nobody who can be an owner",
        "The last owner is kept.",
    ];
    refuses_as_invalid(&mut table, &what, &words, "spec.owners").await;

    let placement = json!({"placement": {"priorityClassName": "system-node-critical"}});
    let what = table.build("never", &placement);
    let words = ["spec.placement.priorityClassName system-node-critical is not allowed"];
    refuses_as_invalid(&mut table, &what, &words, "spec.placement.priorityClassName").await;

    let output = table.tenant.cluster.installation.text("/output/prefix").to_owned();
    let allowed = format!("{output}/{}", table.tenant.name);
    let others = format!("{output}/somebody-else/app:1");
    for (image, words) in [
        (
            "quay.io/others/redis:7",
            "The tenant may not have quay.io/others/redis:7 scanned.",
        ),
        (&others, &format!("The tenant may not have {others} scanned.")),
    ] {
        let what = table.scan("never", &json!({"image": image}));
        refuses_as_invalid(&mut table, &what, &[words, &allowed, "quay.io/team"], "spec.image").await;
    }
    let what = table.scan("never", &json!({"image": "quay.io/team/redis"}));
    let words = ["spec.image quay.io/team/redis does not name its registry's host and a tag or a digest."];
    refuses_as_invalid(&mut table, &what, &words, "spec.image").await;
    table.is_on_record().await;
}

/// The schema says so before the door is asked for its last word; nothing of it is on record.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn capabilities_change_with_a_new_reason_alone() {
    let table = Table::create("d-reason", entitled()).await;
    let client = table.tenant.client();
    for capabilities in [json!({"build": false}), json!(null)] {
        let what = Raw::change(table.tenant_itself(), json!({"spec": {"capabilities": capabilities}}));
        for dry_run in [true, false] {
            let told = what.send(&client, dry_run).await;
            assert_eq!((told.http, told.reason()), (422, "Invalid"), "{}", told.body);
            assert!(told.message().contains("changeReason"), "{}", told.body);
        }
    }
    let still = table.tenant.read().await.spec.capabilities.unwrap();
    assert_eq!(still.build, Some(true));
    table.is_on_record().await;
}
