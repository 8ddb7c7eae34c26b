//! A tenant, its people, and what they ask for: for tests of what is let in.

use imagefactory_crds::admission::{Decision, Persons, Request, Requester, Subject, World, Write, decide};
use imagefactory_crds::build::AllowedPlacement;
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::image_scan::PlatformPrefixes;
use imagefactory_crds::{Build, ImageScan, Project, QuarantineRequest, SorRecord, Tenant, TenantSettings};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::object;

/// Reads an object.
pub fn typed<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// What is known at the door.
#[derive(Clone)]
pub struct Door {
    pub tenant: Option<Tenant>,
    pub settings: TenantSettings,
    pub project: Option<Project>,
    pub namespace_is_leaving: bool,
    pub projects: usize,
    pub records: Vec<SorRecord>,
    pub onboarding: OnboardingPolicy,
    pub placement: AllowedPlacement,
    pub registries: PlatformPrefixes,
    pub pull_secrets: Vec<String>,
    pub persons: Persons,
}

/// Tenant acme: olga owns it, adam is an admin, mia a member, vic a viewer, lisa an admin of project shop alone, rex may
/// cancel, tess manages the team; group ops are admins, and so is the service account ci.
pub fn acme() -> Door {
    let user = |name: &str, role: &str| json!({"subject": {"kind": "User", "name": name}, "role": role});
    let mut lisa = user("lisa", "Admin");
    lisa["projects"] = json!(["shop"]);
    Door {
        tenant: Some(typed(object(
            "Tenant",
            "acme",
            json!({
                "owners": [{"kind": "User", "name": "olga"}],
                "capabilities": {"build": true, "changeReason": "onboarding"},
                "quota": {"projects": 3},
            }),
        ))),
        settings: settings(json!({
            "members": [
                user("adam", "Admin"), user("mia", "Member"), user("vic", "Viewer"), lisa,
                user("rex", "stopper"), user("tess", "lead"),
                {"subject": {"kind": "Group", "name": "ops"}, "role": "Admin"},
                {"subject": {"kind": "ServiceAccount", "name": "ci", "namespace": "tenant-acme"}, "role": "Admin"},
            ],
            "roles": [
                {"name": "stopper", "permissions": ["ViewProjects", "CancelBuilds"]},
                {"name": "lead", "permissions": ["ViewProjects", "ManageTeam"]},
            ],
        })),
        project: Some(project("shop", json!({}))),
        namespace_is_leaving: false,
        projects: 1,
        records: vec![record("APP-1", "acme"), record("APP-2", "other")],
        onboarding: OnboardingPolicy::default(),
        placement: AllowedPlacement::default(),
        registries: PlatformPrefixes {
            staging: "registry.example.com/staging".into(),
            output: "registry.example.com/images".into(),
        },
        pull_secrets: vec!["mirror-pull".into()],
        persons: Persons {
            platform_groups: vec!["platform".into()],
            security_groups: vec!["security".into()],
            gitops_accounts: vec!["system:serviceaccount:flux-system:kustomize-controller".into()],
            own_accounts: vec!["system:serviceaccount:image-factory:operator".into()],
        },
    }
}

pub fn settings(spec: Value) -> TenantSettings {
    let mut object = object("TenantSettings", "settings", spec);
    object["metadata"]["namespace"] = json!("tenant-acme");
    typed(object)
}

pub fn project(name: &str, spec: Value) -> Project {
    let mut object = object("Project", name, spec);
    object["metadata"]["namespace"] = json!("tenant-acme");
    typed(object)
}

pub fn build(spec: Value) -> Build {
    let mut whole = json!({"projectRef": {"name": "shop"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut object = object("Build", "shop-1", whole);
    object["metadata"]["namespace"] = json!("tenant-acme");
    typed(object)
}

/// A record of the system of record for one tenant.
pub fn record(id: &str, tenant: &str) -> SorRecord {
    typed(object(
        "SorRecord",
        &id.to_lowercase(),
        json!({
            "recordId": id, "tenants": [tenant], "product": "Shop", "technology": "Java", "justification": "It is ours.",
        }),
    ))
}

/// A request for an outside image, for that product.
pub fn quarantine(record: &str) -> QuarantineRequest {
    let mut object = object(
        "QuarantineRequest",
        "redis",
        json!({
            "source": {"image": "quay.io/team/redis:7"}, "sorRecordId": record, "justification": "We need it.",
            "projectRef": {"name": "shop"},
        }),
    );
    object["metadata"]["namespace"] = json!("tenant-acme");
    typed(object)
}

/// A scan of an image of the tenant's.
pub fn scan(image: &str) -> ImageScan {
    let mut object = object(
        "ImageScan",
        "nightly",
        json!({"projectRef": {"name": "shop"}, "image": image}),
    );
    object["metadata"]["namespace"] = json!("tenant-acme");
    typed(object)
}

/// A user without groups but those that everybody has.
pub fn user(name: &str) -> Requester {
    in_groups(name, &["system:authenticated"])
}

pub fn in_groups(name: &str, groups: &[&str]) -> Requester {
    Requester {
        name: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

/// An administrator of the platform.
pub fn platform() -> Requester {
    in_groups("pat", &["platform"])
}

pub fn create<T>(object: T) -> Write<T> {
    Write::Create(Box::new(object))
}

pub fn update<T: Clone>(old: &T, change: impl FnOnce(&mut T)) -> Write<T> {
    let mut new = old.clone();
    change(&mut new);
    Write::Update {
        old: Box::new(old.clone()),
        new: Box::new(new),
    }
}

pub fn delete<T>(object: T) -> Write<T> {
    Write::Delete(Box::new(object))
}

impl Door {
    pub fn asks(&self, user: &Requester, subject: Subject) -> Decision {
        let namespaced = !matches!(
            subject,
            Subject::Tenant(_) | Subject::ImagePolicy(_) | Subject::SorRecord(_)
        );
        let request = Request {
            user: user.clone(),
            namespace: namespaced.then(|| "tenant-acme".to_owned()),
            subject,
        };
        let records: Vec<_> = self.records.iter().collect();
        decide(&request, &self.world(&records))
    }

    pub fn world<'a>(&'a self, records: &'a [&'a SorRecord]) -> World<'a> {
        World {
            tenant: self.tenant.as_ref(),
            settings: Some(&self.settings),
            project: self.project.as_ref(),
            namespace_is_leaving: self.namespace_is_leaving,
            projects: self.projects,
            records,
            onboarding: self.onboarding,
            platform_placement: Some(&self.placement),
            registries: Some(&self.registries),
            pull_secrets: &self.pull_secrets,
            persons: &self.persons,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    pub fn tenant(&self) -> &Tenant {
        self.tenant.as_ref().unwrap()
    }

    pub fn tenant_mut(&mut self) -> &mut Tenant {
        self.tenant.as_mut().unwrap()
    }

    /// The word of the code, or `let in`.
    pub fn says(&self, user: &Requester, subject: Subject) -> &'static str {
        self.asks(user, subject)
            .denial
            .map_or("let in", |denial| denial.code.as_str())
    }
}

/// Puts the confirmation there.
pub fn confirm<T: kube_core::Resource>(object: &mut T, names: &str) {
    annotate(object, "imagefactory.dev/confirm", names);
}

pub fn annotate<T: kube_core::Resource>(object: &mut T, key: &str, value: &str) {
    let annotations = object.meta_mut().annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}
