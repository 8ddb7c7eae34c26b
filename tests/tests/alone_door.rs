//! The door: what is refused at admission, what a client sees of it, and that each refusal is on record once.
//!
//! Runs alone: it puts the webhook and the audit up for itself, and takes them down again, since the other files write as
//! if there were none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

use std::process::Command;

use imagefactory_crds::{Build, Project, QuarantineRequest, TenantSettings};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::tenant::{PROJECT, typed};
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const ON: [&str; 4] = ["--set", "webhook.enabled=true", "--set", "audit.enabled=true"];

/// The release with webhook and audit, until this is dropped.
struct Door {
    cluster: Cluster,
}

impl Door {
    async fn open() -> Self {
        let door = Self {
            cluster: Cluster::connect().await,
        };
        door.deploy(&ON).expect("deploying webhook and audit");
        door
    }

    fn deploy(&self, arguments: &[&str]) -> Result<(), String> {
        let script = self.cluster.environment.path("hack/deploy/deploy.sh");
        let output = Command::new(script).args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if output.status.success() {
            Ok(())
        } else {
            Err(said.concat())
        }
    }

    fn audit(&self, arguments: &[&str]) -> String {
        let installation = &self.cluster.installation;
        let deployment = format!("deploy/{}-audit", installation.prefix());
        let exec = [
            "exec",
            "-n",
            &installation.namespace,
            &deployment,
            "--",
            "/operator",
            "audit",
        ];
        self.cluster.kubectl().run(&[&exec[..], arguments].concat()).expect_ok()
    }

    /// Entries of a tenant, as JSON.
    fn entries(&self, tenant: &TestTenant, more: &[&str]) -> Vec<Value> {
        let list = ["list", "-o", "json", "--limit", "500", "--tenant", &tenant.name];
        let said = self.audit(&[&list[..], more].concat());
        said.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Off as well where the test fails: what runs next knows no door.
        let closed = self.deploy(&[]);
        if !std::thread::panicking() {
            closed.expect("taking webhook and audit down");
        }
    }
}

/// What a client sees of a refusal.
fn refused<T>(answer: Result<T, kube::Error>) -> Status {
    match answer {
        Ok(_) => panic!("it was let in"),
        Err(kube::Error::Api(status)) => *status,
        Err(other) => panic!("no answer: {other}"),
    }
}

fn causes(status: &Status) -> Vec<(String, String)> {
    let details = status.details.as_ref().expect("details");
    details
        .causes
        .iter()
        .map(|cause| (cause.reason.clone(), cause.message.clone()))
        .collect()
}

fn build(name: &str) -> Build {
    typed(json!({
        "metadata": {"name": name}, "spec": {"projectRef": {"name": PROJECT}, "source": quick()},
    }))
}

fn request(name: &str, record: &str) -> QuarantineRequest {
    typed(json!({
        "metadata": {"name": name},
        "spec": {
            "projectRef": {"name": PROJECT}, "source": {"image": "quay.io/team/redis:7"}, "sorRecordId": record,
            "justification": "A test.",
        },
    }))
}

async fn try_build(tenant: &TestTenant, name: &str, dry_run: bool) -> Result<Build, kube::Error> {
    let post = PostParams {
        dry_run,
        ..PostParams::default()
    };
    tenant.api::<Build>().create(&post, &build(name)).await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_is_not_entitled_is_refused_at_the_door_told_in_full_and_on_record_once() {
    let door = Door::open().await;
    not_entitled(&door).await;
    not_registered(&door).await;
    not_confirmed(&door).await;
    stamped(&door).await;
    told_before_the_schema(&door).await;
    attempts(&door).await;
    restored(&door).await;
    let verified = door.audit(&["verify"]);
    assert!(!verified.is_empty());
}

async fn not_entitled(door: &Door) {
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("door-off", off).await;
    let status = refused(try_build(&tenant, "never", true).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (403, "tenant_capability_not_entitled")
    );
    assert_eq!(
        door.entries(&tenant, &["--kind", "denial"]).len(),
        0,
        "a dry run is judged and not audited"
    );

    let status = refused(try_build(&tenant, "never", false).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (403, "tenant_capability_not_entitled")
    );
    let words = "Image build is not enabled for this tenant. Contact your administrator to request access.";
    assert!(status.message.ends_with(words), "{}", status.message);
    let causes = causes(&status);
    assert!(
        causes.contains(&("Capability".to_owned(), "build".to_owned())),
        "{causes:?}"
    );
    assert!(
        causes.contains(&("Tenant".to_owned(), tenant.name.clone())),
        "{causes:?}"
    );

    let left = tenant.api::<Build>().list(&ListParams::default()).await.unwrap();
    assert!(
        left.items.is_empty() && tenant.pods().await.is_empty(),
        "a denial has no side effect"
    );
    let entries = until("the denial is on record", 10, async || {
        Some(door.entries(&tenant, &["--kind", "denial"])).filter(|entries| !entries.is_empty())
    })
    .await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let told = entries[0].to_string();
    assert!(
        told.contains("tenant_capability_not_entitled") && told.contains("never"),
        "{told}"
    );
}

async fn not_registered(door: &Door) {
    let on = json!({"capabilities": {"build": true, "quarantineRequest": true, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("door-sor", on).await;
    let requests = tenant.api::<QuarantineRequest>();
    let status = refused(
        requests
            .create(&PostParams::default(), &request("redis", "APP-404"))
            .await,
    );
    assert_eq!(
        (status.code, status.reason.as_str()),
        (412, "sor_registration_required")
    );
    let words = "Enterprise EPR registration is required before requesting quarantine.";
    assert!(
        status.message.contains(words) && status.message.contains("APP-404"),
        "{}",
        status.message
    );
    assert!(requests.list(&ListParams::default()).await.unwrap().items.is_empty());
    let entries = door.entries(&tenant, &["--code", "sor_registration_required"]);
    assert_eq!(entries.len(), 1, "{entries:?}");
}

async fn not_confirmed(door: &Door) {
    let tenant = TestTenant::create("door-confirm").await;
    let projects = tenant.api::<Project>();
    tenant.project("doomed", json!({})).await;
    let status = refused(projects.delete("doomed", &DeleteParams::default()).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "confirmation_required"));
    assert!(
        status.message.contains("imagefactory.dev/confirm"),
        "{}",
        status.message
    );
    let confirm = json!({"metadata": {"annotations": {"imagefactory.dev/confirm": "doomed"}}});
    let patch = PatchParams::default();
    projects.patch("doomed", &patch, &Patch::Merge(&confirm)).await.unwrap();
    projects.delete("doomed", &DeleteParams::default()).await.unwrap();
    assert_eq!(door.entries(&tenant, &["--code", "confirmation_required"]).len(), 1);
}

async fn stamped(door: &Door) {
    let tenant = TestTenant::create("door-stamp").await;
    let made = try_build(&tenant, "asked", false).await.unwrap();
    let asked = made.annotations().get("imagefactory.dev/requested-by").cloned();
    assert!(
        asked.as_ref().is_some_and(|name| !name.is_empty()),
        "{:?}",
        made.annotations()
    );
    let forge = json!({"metadata": {"annotations": {"imagefactory.dev/requested-by": "somebody else"}}});
    let builds = tenant.api::<Build>();
    let patched = builds
        .patch("asked", &PatchParams::default(), &Patch::Merge(&forge))
        .await;
    let status = refused(patched);
    assert_eq!((status.code, status.reason.as_str()), (422, "field_immutable"));
    tenant.has_succeeded("asked").await;
    assert_eq!(door.entries(&tenant, &["--code", "field_immutable"]).len(), 1);
}

/// What the schema has a rule for too is told with its code, and is on record once: the mutating call comes first.
async fn told_before_the_schema(door: &Door) {
    let tenant = TestTenant::create("door-fields").await;
    let builds = tenant.api::<Build>();
    let mut several = build("several");
    several.spec.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
    let status = refused(builds.create(&PostParams::default(), &several).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "field_not_supported"));
    assert_eq!(door.entries(&tenant, &["--code", "field_not_supported"]).len(), 1);

    try_build(&tenant, "fixed", false).await.unwrap();
    let change = json!({"spec": {"priority": 7}});
    let patched = builds
        .patch("fixed", &PatchParams::default(), &Patch::Merge(&change))
        .await;
    let status = refused(patched);
    assert_eq!((status.code, status.reason.as_str()), (422, "field_immutable"));
    assert!(causes(&status).contains(&("Field".to_owned(), "can't change".to_owned())));
    assert_eq!(door.entries(&tenant, &["--code", "field_immutable"]).len(), 1);

    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    refused(
        builds
            .patch("fixed", &dry, &Patch::Merge(&json!({"spec": {"priority": 8}})))
            .await,
    );
    assert_eq!(
        door.entries(&tenant, &["--code", "field_immutable"]).len(),
        1,
        "a dry run is judged and not audited"
    );
}

/// A change that is let in is on record with who made it; what was refused leaves a denial alone.
async fn attempts(door: &Door) {
    let tenant = TestTenant::create("door-roles").await;
    let admin = format!("admin-of-{}", tenant.name);
    let person = |name: &str| json!({"subject": {"kind": "User", "name": name}, "role": "Admin"});
    let _ = tenant.patch_settings(&json!({"members": [person(&admin)]})).expect_ok();
    let entries = door.entries(&tenant, &["--kind", "attempt", "--resource", "TenantSettings"]);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].to_string().contains(&admin), "{entries:?}");

    // An admin can't make a role of what he does not hold.
    until("the admin's role is in force", 30, async || {
        let settings = tenant.api::<TenantSettings>().get("settings").await.ok()?;
        let status = settings.status?;
        (status.observed_generation == settings.metadata.generation?).then_some(())
    })
    .await;
    let client = door.cluster.client_as(&admin, &["system:authenticated"]).await;
    let settings: Api<TenantSettings> = Api::namespaced(client, &tenant.namespace);
    let billing = json!({"spec": {
        "members": [person(&admin), {"subject": {"kind": "User", "name": "eve"}, "role": "biller"}],
        "roles": [{"name": "biller", "permissions": ["ManageBilling"]}],
    }});
    let patch = PatchParams::default();
    let granted = until("RBAC knows the admin", 30, async || {
        match settings.patch("settings", &patch, &Patch::Merge(&billing)).await {
            Err(kube::Error::Api(status)) if status.reason == "Forbidden" => None,
            other => Some(other.map(|_| ())),
        }
    })
    .await;
    let status = refused(granted);
    assert_eq!((status.code, status.reason.as_str()), (403, "permission_denied"));
}

/// The webhook puts its own configurations back.
async fn restored(door: &Door) {
    let client = door.cluster.client.clone();
    let name = format!("{}-webhook", door.cluster.installation.prefix());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client);
    validating.delete(&name, &DeleteParams::default()).await.unwrap();
    mutating.delete(&name, &DeleteParams::default()).await.unwrap();
    until("both configurations are back, with their authority", 30, async || {
        let validating = validating.get_opt(&name).await.unwrap()?;
        let mutating = mutating.get_opt(&name).await.unwrap()?;
        let with = validating
            .webhooks?
            .iter()
            .all(|webhook| webhook.client_config.ca_bundle.is_some());
        let and = mutating
            .webhooks?
            .iter()
            .all(|webhook| webhook.client_config.ca_bundle.is_some());
        (with && and).then_some(())
    })
    .await;
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("door-back", off).await;
    let status = until("the door is shut again", 15, async || {
        try_build(&tenant, &format!("try-{}", rand_suffix()), false).await.err()
    })
    .await;
    assert_eq!(refused::<()>(Err(status)).reason, "tenant_capability_not_entitled");
}

fn rand_suffix() -> String {
    imagefactory_tests::cluster::unique("x").chars().take(30).collect()
}
