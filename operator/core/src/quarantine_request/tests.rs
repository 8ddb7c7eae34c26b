//! What becomes of requests, and what their status says.

use imagefactory_crds::common::LocalRef;
use imagefactory_crds::conditions::find;
use imagefactory_crds::names::{ANNOTATION_REQUESTED_BY, LABEL_SOR_SOURCE};
use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::tenant::Capabilities;
use imagefactory_crds::{
    ProjectSpec, QuarantineRequestSpec, QuarantineRequestStatus, SorRecordSpec, SorRecordStatus, TenantSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A request with all that it needs, as one test after another changes it.
#[derive(Clone)]
struct World {
    request: QuarantineRequest,
    tenant: Option<Tenant>,
    project: Option<Project>,
    record: Option<SorRecord>,
    has_policy: bool,
    stamps_requester: bool,
    now: i64,
}

impl World {
    /// Made at 0, long ago: what is missing is missing.
    fn new() -> Self {
        let mut request = QuarantineRequest::new(
            "postgres",
            QuarantineRequestSpec {
                sor_record_id: Some("APP-1".into()),
                project_ref: LocalRef::to("web"),
                ..QuarantineRequestSpec::default()
            },
        );
        request.metadata.namespace = Some("tenant-acme".to_owned());
        request.metadata.generation = Some(1);
        request.metadata.creation_timestamp = Some(Time(at(0)));
        let capabilities = Capabilities {
            quarantine_request: Some(true),
            ..Capabilities::default()
        };
        let tenant = TenantSpec {
            capabilities: Some(capabilities),
            ..TenantSpec::default()
        };
        let record = SorRecordSpec {
            record_id: "APP-1".into(),
            tenants: vec!["acme".into()],
            expires_at: Some(Time(at(1000))),
            ..SorRecordSpec::default()
        };
        Self {
            request,
            tenant: Some(Tenant::new("acme", tenant)),
            project: Some(Project::new("web", ProjectSpec::default())),
            record: Some(SorRecord::new("app-1", record)),
            has_policy: false,
            stamps_requester: false,
            now: 100,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn tenant(self, change: impl FnOnce(&mut TenantSpec)) -> Self {
        self.with(|world| change(&mut world.tenant.as_mut().unwrap().spec))
    }

    fn record(self, change: impl FnOnce(&mut SorRecord)) -> Self {
        self.with(|world| change(world.record.as_mut().unwrap()))
    }

    fn asked<T>(&self, ask: impl FnOnce(Situation<'_>) -> T) -> T {
        let records: Vec<_> = self.record.iter().collect();
        ask(Situation {
            request: &self.request,
            tenant: self.tenant.as_ref(),
            is_leaving: false,
            project: self.project.as_ref(),
            has_policy: self.has_policy,
            records: &records,
            onboarding: OnboardingPolicy::default(),
            stamps_requester: self.stamps_requester,
            now: at(self.now),
        })
    }

    fn verdict(&self) -> Verdict {
        self.asked(decide).unwrap()
    }

    fn status(&self) -> QuarantineRequestStatus {
        let verdict = self.verdict();
        self.asked(|situation| status(situation, &verdict))
    }

    /// The same after the status was written and read back.
    fn written(&self) -> Self {
        let text = serde_json::to_string(&self.status()).unwrap();
        self.clone()
            .with(|world| world.request.status = Some(serde_json::from_str(&text).unwrap()))
    }

    /// Why it failed.
    #[track_caller]
    fn fails_with(&self) -> &'static str {
        match self.verdict() {
            Verdict::Failed(reason) => reason.word,
            other => panic!("{other:?}"),
        }
    }
}

/// Conditions as `Type=Status`, then the reason.
fn said(status: &QuarantineRequestStatus) -> String {
    let conditions = status.conditions.iter();
    let words: Vec<_> = conditions.map(|c| format!("{}={}", c.type_, c.status)).collect();
    format!(
        "{} {}",
        words.join(" "),
        find(&status.conditions, "Succeeded").unwrap().reason
    )
}

#[test]
fn a_request_that_is_allowed_waits_for_approval_and_is_judged_again_when_its_record_ends() {
    let world = World::new();
    assert_eq!(world.verdict(), Verdict::Pending { until: Some(at(1000)) });
    let status = world.status();
    assert_eq!(
        said(&status),
        "Succeeded=Unknown Ready=Unknown Reconciling=True PendingApproval"
    );
    assert_eq!(status.phase, Some(RequestPhase::PendingApproval));
    assert_eq!(status.pending_approval_at, Some(Time(at(100))));
    assert_eq!(status.phase_time, status.pending_approval_at);
    let again = world.asked(|situation| look_again(situation, &world.verdict()));
    assert_eq!(again, Some(Duration::from_secs(900)));
}

#[test]
fn a_second_look_writes_nothing() {
    let world = World::new().written();
    let later = world.with(|world| world.now = 500);
    assert_eq!(Some(later.status()), later.request.status);
}

#[test]
fn a_withdrawn_request_ends_whatever_else_is_wrong() {
    let withdrawn = World::new().written().with(|world| {
        world.request.spec.withdrawn = true;
        world.tenant = None;
        world.now = 200;
    });
    let status = withdrawn.status();
    assert_eq!(said(&status), "Succeeded=False Ready=False Stalled=True Withdrawn");
    assert_eq!(status.phase, Some(RequestPhase::Withdrawn));
    assert_eq!(status.withdrawn_at, Some(Time(at(200))));
    assert_eq!(status.pending_approval_at, Some(Time(at(100))), "each has its own time");
}

#[test]
fn each_lack_has_its_code_or_word() {
    let off = World::new().tenant(|tenant| tenant.capabilities = None);
    assert_eq!(off.fails_with(), "tenant_capability_not_entitled");
    let archived = World::new().with(|world| world.project.as_mut().unwrap().spec.archived = true);
    assert_eq!(archived.fails_with(), "project_archived");
    let nowhere = World::new().with(|world| world.tenant = None);
    assert_eq!(nowhere.fails_with(), "NotATenantNamespace");
    let projectless = World::new().with(|world| world.project = None);
    assert_eq!(projectless.fails_with(), "ProjectNotFound");
    let ruleless = World::new().with(|world| world.request.spec.policy_ref = Some(LocalRef::to("strict")));
    assert_eq!(ruleless.fails_with(), "PolicyNotFound");
    let ruled = ruleless.with(|world| world.has_policy = true);
    assert!(matches!(ruled.verdict(), Verdict::Pending { .. }));
}

#[test]
fn without_a_registration_it_fails_with_the_code_the_words_and_the_record() {
    for (world, cause) in [
        (
            World::new().with(|world| world.request.spec.sor_record_id = None),
            NotRegistered::Missing,
        ),
        (World::new().with(|world| world.record = None), NotRegistered::Unknown),
        (
            World::new().record(|record| record.spec.tenants = vec!["globex".into()]),
            NotRegistered::Unknown,
        ),
        (
            World::new().record(|record| record.spec.suspended = true),
            NotRegistered::Suspended,
        ),
        (World::new().with(|world| world.now = 1000), NotRegistered::Expired),
    ] {
        let Verdict::Failed(reason) = world.verdict() else {
            panic!("{cause:?}");
        };
        assert_eq!(reason.word, "sor_registration_required");
        assert_eq!(
            NotRegistered::told(&reason.message),
            Some(cause),
            "it is counted by that"
        );
        assert!(
            reason
                .message
                .starts_with("Enterprise EPR registration is required before requesting quarantine. "),
            "{}",
            reason.message
        );
        assert_eq!(reason.message.contains("APP-1"), cause != NotRegistered::Missing);
        let status = world.status();
        assert_eq!(
            said(&status),
            "Succeeded=False Ready=False Stalled=True sor_registration_required"
        );
        assert_eq!(status.failed_at, Some(Time(at(world.now))));
    }
}

#[test]
fn what_is_withdrawn_or_runs_out_while_a_request_waits_fails_it_with_the_code() {
    let pending = World::new().written();
    let off = pending
        .clone()
        .tenant(|tenant| tenant.capabilities.as_mut().unwrap().quarantine_request = Some(false));
    assert_eq!(off.fails_with(), "tenant_capability_not_entitled");
    let narrowed = serde_json::from_value(serde_json::json!({"quarantineRequest": false})).unwrap();
    let by_project = |world: &mut World| world.project.as_mut().unwrap().spec.capabilities = Some(narrowed);
    assert_eq!(
        pending.clone().with(by_project).fails_with(),
        "tenant_capability_not_entitled"
    );
    assert_eq!(
        World::new().with(by_project).fails_with(),
        "tenant_capability_not_entitled"
    );
    let expired = pending.clone().with(|world| world.now = 1000);
    assert_eq!(expired.fails_with(), "sor_registration_required");
    let gone = pending.with(|world| world.record = None);
    assert_eq!(gone.fails_with(), "sor_registration_required");
}

#[test]
fn what_has_failed_stays_failed_and_says_only_that_it_was_seen() {
    let failed = World::new().tenant(|tenant| tenant.capabilities = None).written();
    let later = failed.with(|world| {
        world.tenant = World::new().tenant;
        world.request.spec.withdrawn = true;
        world.request.metadata.generation = Some(2);
    });
    assert_eq!(later.verdict(), Verdict::Settled);
    let (before, after) = (later.request.status.clone().unwrap(), later.status());
    assert_eq!(after.observed_generation, 2);
    assert_eq!(
        QuarantineRequestStatus {
            observed_generation: 1,
            ..after
        },
        before
    );
}

#[test]
fn a_suspended_tenants_request_waits_and_goes_on_when_that_is_lifted() {
    let held = World::new().tenant(|tenant| tenant.suspended = true).written();
    let status = held.request.status.clone().unwrap();
    assert_eq!(
        said(&status),
        "Succeeded=Unknown Ready=Unknown Reconciling=True TenantSuspended"
    );
    let lifted = held
        .tenant(|tenant| tenant.suspended = false)
        .with(|world| world.now = 300);
    assert_eq!(lifted.status().pending_approval_at, status.pending_approval_at);
    assert!(said(&lifted.status()).ends_with("PendingApproval"));
}

#[test]
fn an_outage_of_the_system_of_record_holds_what_waits_and_refuses_what_is_new() {
    let fetched = |until| {
        World::new().record(move |record| {
            record.metadata.labels = Some([(LABEL_SOR_SOURCE.to_owned(), "http".to_owned())].into());
            record.status = Some(SorRecordStatus {
                trusted_until: Some(Time(at(until))),
                ..SorRecordStatus::default()
            });
        })
    };
    assert_eq!(fetched(500).verdict(), Verdict::Pending { until: Some(at(500)) });
    assert_eq!(fetched(50).fails_with(), "sor_registration_required");
    let waiting = fetched(500).written().with(|world| world.now = 600);
    assert!(
        said(&waiting.status()).ends_with(RECORD_NOT_VERIFIED),
        "{:?}",
        waiting.verdict()
    );
}

#[test]
fn what_was_applied_together_is_waited_for_and_not_for_long() {
    for lacking in [
        World::new().with(|world| world.record = None),
        World::new().with(|world| world.project = None),
        World::new().with(|world| world.tenant = None),
        World::new().with(|world| world.request.spec.policy_ref = Some(LocalRef::to("strict"))),
    ] {
        let young = lacking.clone().with(|world| world.now = 14);
        let verdict = young.verdict();
        assert!(matches!(verdict, Verdict::Lacking(_)), "{verdict:?}");
        let status = young.status();
        assert!(said(&status).starts_with("Succeeded=Unknown Ready=False Reconciling=True"));
        assert_eq!((status.phase, status.pending_approval_at), (None, None));
        let again = young.asked(|situation| look_again(situation, &verdict));
        assert_eq!(again, Some(Duration::from_secs(1)));
        assert!(matches!(
            lacking.with(|world| world.now = 15).verdict(),
            Verdict::Failed(_)
        ));
    }
}

#[test]
fn what_a_capability_or_an_archived_project_refuses_is_refused_at_once() {
    let young = |world: World| world.with(|world| world.now = 1);
    assert_eq!(
        young(World::new().tenant(|tenant| tenant.capabilities = None)).fails_with(),
        "tenant_capability_not_entitled"
    );
    assert_eq!(
        young(World::new().record(|record| record.spec.suspended = true)).fails_with(),
        "sor_registration_required"
    );
}

fn stamped(by: &str) -> World {
    World::new().with(|world| {
        let annotation = (ANNOTATION_REQUESTED_BY.to_owned(), by.to_owned());
        world.request.metadata.annotations = Some([annotation].into());
    })
}

#[test]
fn without_the_webhook_nothing_is_read_into_the_annotation() {
    assert_eq!(stamped("mallory").status().requested_by, None);
}

#[test]
fn who_asked_is_copied_once() {
    let world = stamped("alice").with(|world| world.stamps_requester = true).written();
    assert_eq!(world.status().requested_by.as_deref(), Some("alice"));
    let forged = stamped("mallory").with(|other| {
        other.stamps_requester = true;
        other.request.status = world.request.status.clone();
    });
    assert_eq!(forged.status().requested_by.as_deref(), Some("alice"));
}

#[test]
fn with_the_webhook_nothing_is_done_for_nobody() {
    for nobody in [World::new(), stamped(""), stamped(&"a".repeat(513))] {
        let nobody = nobody.with(|world| world.stamps_requester = true);
        assert_eq!(nobody.fails_with(), REQUESTER_UNKNOWN);
        let nor_entitled = nobody.tenant(|tenant| tenant.capabilities = None);
        assert_eq!(nor_entitled.fails_with(), "tenant_capability_not_entitled");
    }
}

#[test]
fn of_a_request_that_goes_nothing_is_said() {
    let going = World::new().with(|world| world.request.metadata.deletion_timestamp = Some(Time(at(1))));
    assert_eq!(going.asked(decide), None);
    let leaving = World::new().asked(|situation| {
        decide(Situation {
            is_leaving: true,
            ..situation
        })
    });
    assert_eq!(leaving, None);
}

proptest::proptest! {
    /// Whatever is there: no panic, `Succeeded` is always said, and a second look at the same time writes nothing.
    #[test]
    fn every_situation_has_one_status(
        parts: [bool; 10], now in 0i64..2000, waited: bool,
    ) {
        let mut world = if waited { World::new().written() } else { World::new() };
        let [tenant, project, record, policy, capable, suspended, archived, withdrawn, stamps, named] = parts;
        world = world.tenant(|spec| {
            spec.suspended = suspended;
            spec.capabilities.as_mut().unwrap().quarantine_request = Some(capable);
        });
        world.project.as_mut().unwrap().spec.archived = archived;
        world.request.spec.withdrawn = withdrawn;
        world.request.spec.policy_ref = named.then(|| LocalRef::to("strict"));
        (world.has_policy, world.stamps_requester, world.now) = (policy, stamps, now);
        world.tenant = world.tenant.filter(|_| tenant);
        world.project = world.project.filter(|_| project);
        world.record = world.record.filter(|_| record);
        let status = world.status();
        let is_pending = matches!(world.verdict(), Verdict::Pending { .. });
        proptest::prop_assert!(!is_pending || (tenant && project && record && capable && !suspended && !archived));
        proptest::prop_assert!(find(&status.conditions, "Succeeded").is_some());
        let again = world.written();
        proptest::prop_assert_eq!(Some(again.status()), again.request.status);
    }
}
