//! What must hold of every answer.

use futures::executor::block_on;
use imagefactory_core::build::validated::{References, validate};
use imagefactory_core::policy::Policies;
use imagefactory_crds::admission::{Subject, entitlement};
use imagefactory_crds::denial::Code;
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::{Build, Project, QuarantineRequest, Tenant};
use imagefactory_webhook::review::{Asked, read};
use imagefactory_webhook::subject::{Understood, understand};
use kube::core::admission::AdmissionResponse;

use crate::input::Input;
use crate::worlds::{World, operator_settings, with, world};

/// Longest warning and message of an answer, in characters.
const MAX_WARNING: usize = 120;
const MAX_MESSAGE: usize = 2000;

/// Any bytes, as the API server's client could send them.
pub fn bytes(bytes: &[u8]) {
    let (first, again) = (read(bytes), read(bytes));
    match (first, again) {
        (Ok(asked), Ok(_)) => answered(&asked, world(0)),
        (Err(error), Err(same)) => {
            assert_eq!(error.to_string(), same.to_string());
            assert_eq!(error.status().as_u16(), 400);
        }
        (first, again) => panic!("the same bytes were read in two ways: {first:?} {again:?}"),
    }
}

/// A review of a kind in its world.
pub fn asked(input: &Input) {
    let known = input.asked.object.as_ref().filter(|_| input.is_known);
    let strange = known
        .and_then(|object| serde_json::to_value(object).ok())
        .map(|mut object| {
            object["kind"] = input.asked.kind.kind.clone().into();
            object["apiVersion"] = "imagefactory.dev/v1alpha1".into();
            object
        })
        .and_then(|object| with(input.world, &object));
    answered(&input.asked, strange.as_ref().unwrap_or_else(|| world(input.world)));
}

fn answered(asked: &Asked, world: &World) {
    let answer = block_on(world.door.validate(asked));
    let again = block_on(world.door.validate(asked));
    assert_eq!(text(&answer), text(&again), "one write, two answers");
    well_formed(asked, &answer);
    let stamped = block_on(world.door.mutate(asked));
    assert_eq!(
        text(&stamped),
        text(&block_on(world.door.mutate(asked))),
        "one write, two stamps"
    );
    well_formed(asked, &stamped);
    if answer.allowed {
        let understood = understand(asked, &world.settings.persons());
        if let Ok(Understood::Request(request)) = understood {
            allowed_again(&request.subject, request.namespace.as_deref(), world);
        }
    }
}

fn text(answer: &AdmissionResponse) -> String {
    serde_json::to_string(&answer.clone().into_review()).expect("an answer is JSON")
}

fn well_formed(asked: &Asked, answer: &AdmissionResponse) {
    assert_eq!(answer.uid, asked.uid);
    for warning in answer.warnings.iter().flatten() {
        assert!(warning.chars().count() <= MAX_WARNING, "{warning}");
    }
    if answer.allowed {
        return;
    }
    let status = &answer.result;
    let code = Code::parse(&status.reason).unwrap_or_else(|| panic!("a code of no table: {}", status.reason));
    assert_eq!(status.code, code.http(), "{code}");
    assert!(!status.message.is_empty() && status.message.chars().count() <= MAX_MESSAGE);
    assert!(answer.patch.is_none(), "what is refused is not changed");
    let details = status.details.as_ref().expect("a denial has details");
    assert!(!details.causes.is_empty(), "a denial has causes: {}", status.message);
    for cause in &details.causes {
        assert!(!cause.reason.is_empty() && cause.message.chars().count() <= MAX_MESSAGE);
    }
}

/// What starts work and was let in is nothing that the operator then refuses to the tenant.
fn allowed_again(subject: &Subject, namespace: Option<&str>, world: &World) {
    if namespace != Some("tenant-acme") {
        return;
    }
    let entitled = |capability, project: &str| {
        let project = (project == "shop").then_some(&world.project);
        entitlement::may(capability, Some(&world.tenant), project, world.settings.onboarding)
            .expect("let in without the capability");
        entitlement::not_suspended(&world.tenant).expect("let in while the tenant is suspended");
        project
            .map_or(Ok(()), entitlement::not_archived)
            .expect("let in an archived project");
    };
    match subject {
        Subject::Build(imagefactory_crds::admission::Write::Create(build)) => {
            entitled(Capability::Build, &build.spec.project_ref.name);
            operators_check(build, &world.tenant, &world.project);
        }
        Subject::QuarantineRequest(imagefactory_crds::admission::Write::Create(request)) => {
            let request: &QuarantineRequest = request;
            entitled(Capability::QuarantineRequest, &request.spec.project_ref.name);
        }
        Subject::ImageScan(imagefactory_crds::admission::Write::Create(scan)) => {
            entitled(Capability::OnDemandImageScanning, &scan.spec.project_ref.name);
        }
        _ => {}
    }
}

/// The operator's own check of a Build: it may find more that is wrong, but nothing that the door should have refused.
fn operators_check(build: &Build, tenant: &Tenant, project: &Project) {
    let mut build = build.clone();
    build.metadata.uid.get_or_insert_with(|| "6f1b0c1e".to_owned());
    let is_named = build.spec.project_ref.name.as_str() == "shop";
    let references = References {
        tenant: Some(tenant),
        tenant_settings: None,
        project: is_named.then_some(project),
        policies: &Policies::default(),
        rerun_of: None,
        inputs_of: None,
        begun_with: None,
        is_leaving: false,
    };
    if let Err(refusal) = validate(&build, references, operator_settings()) {
        let code = Code::parse(refusal.reason);
        assert!(
            code != Some(Code::TenantCapabilityNotEntitled),
            "let in, and refused by the operator: {}",
            refusal.message
        );
    }
}
