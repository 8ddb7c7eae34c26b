//! Quarantine requests: they wait for approval, end with the code of what they lack, and make nothing.

use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::{QuarantineRequest, SorRecord, conditions};
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::try_create;
use imagefactory_tests::wait::until;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

/// A tenant that may ask, its project, and its record of the system of record.
struct Asking {
    tenant: TestTenant,
    record: String,
}

impl Asking {
    async fn create(name: &str, record: Value) -> Self {
        let capabilities = json!({"build": true, "quarantineRequest": true, "changeReason": "a test"});
        let tenant = TestTenant::create_with(name, json!({"capabilities": capabilities})).await;
        let id = format!("{}-record", tenant.name);
        let mut spec = record;
        spec["recordId"] = json!(id);
        spec["tenants"] = json!([tenant.name]);
        let object: SorRecord = serde_json::from_value(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord", "metadata": {"name": id}, "spec": spec,
        }))
        .unwrap();
        let api = Api::<SorRecord>::all(tenant.client());
        let _ = api.create(&PostParams::default(), &object).await.unwrap();
        imagefactory_tests::door::heard().await;
        Self { tenant, record: id }
    }

    fn spec(&self) -> Value {
        json!({
            "source": {"image": "quay.io/example/app:1"}, "sorRecordId": self.record, "justification": "A test.",
            "projectRef": {"name": "app"},
        })
    }

    async fn ask(&self, name: &str, change: Value) {
        let mut spec = self.spec();
        for (field, value) in change.as_object().unwrap() {
            spec[field.as_str()] = value.clone();
        }
        let _: QuarantineRequest = self
            .tenant
            .make(json!({"metadata": {"name": name}, "spec": spec}))
            .await;
    }

    /// Waits until the request is in that phase; reason and message of `Succeeded`.
    async fn reaches(&self, name: &str, phase: RequestPhase) -> (String, String) {
        let api = self.tenant.api::<QuarantineRequest>();
        until(&format!("{name} is {}", phase.as_str()), 60, async || {
            let status = api.get(name).await.ok()?.status?;
            let succeeded = conditions::find(&status.conditions, "Succeeded")?;
            let said = (succeeded.reason.clone(), succeeded.message.clone());
            (status.phase == Some(phase)).then_some(said)
        })
        .await
    }

    async fn status(&self, name: &str) -> Value {
        let request = self.tenant.api::<QuarantineRequest>().get(name).await.unwrap();
        serde_json::to_value(request.status.unwrap()).unwrap()
    }

    fn patch(&self, kind: &str, name: &str, change: &Value) -> imagefactory_tests::kubectl::Answer {
        let change = change.to_string();
        let arguments = [
            "patch",
            kind,
            name,
            "-n",
            &self.tenant.namespace,
            "--type=merge",
            "-p",
            &change,
        ];
        self.tenant.cluster.kubectl().run(&arguments)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let kubectl = self.tenant.cluster.kubectl();
        let _ = kubectl.run(&["delete", "sorrecord", &self.record, "--ignore-not-found"]);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_request_waits_for_approval_makes_nothing_and_can_be_withdrawn_for_good() {
    let asking = Asking::create("asks", json!({})).await;
    asking.ask("wanted", json!({})).await;
    let (reason, _) = asking.reaches("wanted", RequestPhase::PendingApproval).await;
    assert_eq!(reason, "PendingApproval");
    assert!(asking.status("wanted").await["pendingApprovalAt"].is_string());
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(asking.tenant.pods().await.is_empty());
    let jobs = asking.tenant.api::<Job>().list(&ListParams::default()).await.unwrap();
    assert!(jobs.items.is_empty());

    let _ = asking
        .patch("qreq", "wanted", &json!({"spec": {"withdrawn": true}}))
        .expect_ok();
    let (reason, _) = asking.reaches("wanted", RequestPhase::Withdrawn).await;
    assert_eq!(reason, "Withdrawn");
    let status = asking.status("wanted").await;
    assert!(status["withdrawnAt"].is_string() && status["pendingApprovalAt"].is_string());
    let back = asking.patch("qreq", "wanted", &json!({"spec": {"withdrawn": false}}));
    assert!(
        !back.ok && back.stderr.contains("a withdrawn request stays withdrawn"),
        "{}",
        back.stderr
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nothing_but_withdrawn_changes() {
    let asking = Asking::create("keeps", json!({})).await;
    asking.ask("fixed", json!({})).await;
    for (field, change) in [
        ("source", json!({"image": "quay.io/other/app:1"})),
        ("sorRecordId", json!("other")),
        ("justification", json!("Another.")),
        ("projectRef", json!({"name": "other"})),
        ("platforms", json!(["linux/arm64"])),
        ("policyRef", json!({"name": "lax"})),
    ] {
        let answer = asking.patch("qreq", "fixed", &json!({"spec": {field: change}}));
        // By the webhook, or by the schema where there is none.
        let expected = format!("{field} can't change after the QuarantineRequest was created");
        assert!(
            !answer.ok && answer.stderr.contains(&expected) && answer.stderr.contains("field_immutable"),
            "{field}: {}",
            answer.stderr
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_record_that_runs_out_fails_what_waits_with_the_words_of_the_contract() {
    let soon = Timestamp::now() + SignedDuration::from_secs(45);
    let soon = Timestamp::from_second(soon.as_second()).unwrap().to_string();
    let asking = Asking::create("expires", json!({"expiresAt": soon})).await;
    asking.ask("late", json!({})).await;
    asking.reaches("late", RequestPhase::PendingApproval).await;
    let (reason, message) = asking.reaches("late", RequestPhase::Failed).await;
    assert_eq!(reason, "sor_registration_required");
    assert!(
        message.starts_with("Enterprise EPR registration is required before requesting quarantine.")
            && message.contains(&asking.record),
        "{message}"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_record_that_is_suspended_fails_what_waits_with_the_words_of_the_contract() {
    let asking = Asking::create("halted", json!({})).await;
    asking.ask("wanted", json!({})).await;
    asking.reaches("wanted", RequestPhase::PendingApproval).await;
    let record = asking.record.clone();
    let suspend = json!({"spec": {"suspended": true}});
    let _ = asking.patch("sorrecord", &record, &suspend).expect_ok();
    let (reason, message) = asking.reaches("wanted", RequestPhase::Failed).await;
    assert_eq!(reason, "sor_registration_required");
    let words =
        format!("Enterprise EPR registration is required before requesting quarantine. Record {record} is suspended.");
    assert!(message.starts_with(&words), "{message}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_capability_that_is_withdrawn_fails_what_waits_with_its_code() {
    let asking = Asking::create("withdrawn", json!({})).await;
    asking.ask("wanted", json!({})).await;
    asking.reaches("wanted", RequestPhase::PendingApproval).await;
    let off = json!({"spec": {"capabilities": {"quarantineRequest": false, "changeReason": "another test"}}});
    let name = asking.tenant.name.clone();
    let _ = asking.patch("tenant", &name, &off).expect_ok();
    let (reason, message) = asking.reaches("wanted", RequestPhase::Failed).await;
    assert_eq!(reason, "tenant_capability_not_entitled");
    assert_eq!(
        message,
        "Quarantine request is not enabled for this tenant. Contact your administrator to request access."
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_suspended_tenants_request_waits_until_that_is_lifted() {
    let asking = Asking::create("halts", json!({})).await;
    asking.ask("wanted", json!({})).await;
    asking.reaches("wanted", RequestPhase::PendingApproval).await;
    let name = asking.tenant.name.clone();
    for (suspended, wanted) in [(true, "TenantSuspended"), (false, "PendingApproval")] {
        let _ = asking
            .patch("tenant", &name, &json!({"spec": {"suspended": suspended}}))
            .expect_ok();
        until(wanted, 30, async || {
            let (reason, _) = asking.reaches("wanted", RequestPhase::PendingApproval).await;
            (reason == wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn shapes_that_mean_nothing_are_refused() {
    let asking = Asking::create("bent", json!({})).await;
    for (field, value) in [
        ("justification", json!("")),
        ("justification", json!(" \n ")),
        ("source", json!({})),
        ("source", json!({"image": "https://quay.io/a"})),
        ("sorRecordId", json!("a b")),
        ("platforms", json!(["windows/amd64"])),
        ("projectRef", json!({"name": "imagefactory-app"})),
    ] {
        let mut spec = asking.spec();
        spec[field] = value.clone();
        let object = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "QuarantineRequest", "metadata": {"name": "bent"},
            "spec": spec,
        });
        let answer = try_create(&asking.tenant.client(), Some(&asking.tenant.namespace), &object).await;
        assert!(answer.is_err(), "{field}: {value}");
    }
}
