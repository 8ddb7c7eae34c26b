//! What the audit keeps of changes that are let in: who made them, what was before and after, and why.

use imagefactory_tests::TestTenant;
use imagefactory_tests::wait::until;
use serde_json::{Value, json};

fn member(name: &str, role: &str) -> Value {
    json!({"subject": {"kind": "User", "name": name}, "role": role})
}

/// Attempts of the tenant on a kind, the oldest first, as soon as there are that many.
async fn attempts(tenant: &TestTenant, kind: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} attempts on {kind} are on record");
    let mut found = until(&what, 15, async || {
        let mut found = tenant.recorded(&["--kind", "attempt", "--resource", kind]);
        found.dedup_by(|earlier, later| is_worked_out_anew(&earlier["event"], &later["event"]));
        (found.len() >= count).then_some(found)
    })
    .await;
    assert_eq!(found.len(), count, "{found:#?}");
    found.reverse();
    found
}

/// Whether the later is the same patch for another spec: the API server tries a patch on the object in its cache, and where
/// another write had just been made, once more on the newest. Each is an attempt (docs/audit.md).
fn is_worked_out_anew(earlier: &Value, later: &Value) -> bool {
    let same = |key: &str| earlier[key] == later[key];
    same("action") && same("before") && same("after") && !same("beforeHash") && !same("afterHash")
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_change_that_is_let_in_is_on_record_once_with_before_after_actor_and_reason() {
    let tenant = TestTenant::create("rec-changes").await;
    let mia = format!("mia-of-{}", tenant.name);
    let _ = tenant
        .patch_settings(&json!({"members": [member(&mia, "Viewer")]}))
        .expect_ok();
    let _ = tenant
        .patch_settings(&json!({"members": [member(&mia, "Member")]}))
        .expect_ok();
    let told = attempts(&tenant, "TenantSettings", 2).await;
    let (first, second) = (&told[0]["event"], &told[1]["event"]);
    assert!(
        first["after"].to_string().contains(&mia) && !first["before"].to_string().contains(&mia),
        "{first}"
    );
    assert!(second["before"].to_string().contains("Viewer"), "{second}");
    assert!(second["after"].to_string().contains("Member"), "{second}");
    let reason = format!("withdrawn for {}", tenant.name);
    let off = json!({"build": false, "changeReason": reason});
    tenant.patch(json!({"spec": {"capabilities": off}})).await;
    tenant.patch(json!({"spec": {"suspended": true}})).await;
    // That it was made is one too.
    let told = attempts(&tenant, "Tenant", 3).await;
    assert_eq!(told[1]["event"]["reason"], json!(reason), "{}", told[1]);
    for entry in &told {
        let groups = entry["event"]["actor"]["groups"].to_string();
        assert!(groups.contains("system:masters"), "the actor with his groups: {entry}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_changes_nothing_that_matters_and_what_is_refused_is_no_attempt() {
    let tenant = TestTenant::create("rec-nothing").await;
    attempts(&tenant, "Tenant", 1).await;
    tenant.patch(json!({"metadata": {"labels": {"a": "b"}}})).await;
    let refused = tenant.patch_settings(&json!({"roles": [{"name": "gate", "permissions": ["ApproveQuarantine"]}]}));
    assert!(
        !refused.ok && refused.stderr.contains("permission_denied"),
        "{}",
        refused.stderr
    );
    tenant.denials_are("permission_denied", 1).await;
    attempts(&tenant, "Tenant", 1).await;
    attempts(&tenant, "TenantSettings", 0).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn entries_outlive_their_tenant_and_the_chain_is_whole() {
    let tenant = TestTenant::create("rec-outlive").await;
    attempts(&tenant, "Tenant", 1).await;
    let _ = tenant
        .cluster
        .kubectl()
        .run(&["delete", "tenant", &tenant.name])
        .expect_ok();
    attempts(&tenant, "Tenant", 2).await;
    let verified = tenant.cluster.operator_audit(&["verify"]);
    assert!(verified.contains("entries are whole"), "{verified}");
}
