//! Finalizers and owners: who may change an object is not who may delete it, so no person sets what keeps it or what has
//! the garbage collector delete it.

use imagefactory_crds::admission::{Requester, Subject, Write};
use imagefactory_crds::denial::Denial;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::Resource;
use serde_json::json;

use crate::support::door::{
    Door, acme, build, in_groups, platform, project, quarantine, record, scan, settings, typed, user,
};
use crate::support::{KINDS, object};

const FINALIZERS: &str = "metadata.finalizers";
const OWNERS: &str = "metadata.ownerReferences";
/// What may be made to go with what asked for it.
const OWNED: [&str; 3] = ["Build", "ImageScan", "QuarantineRequest"];
/// What platform administrators alone make.
const PLATFORM_S: [&str; 3] = ["Tenant", "ImagePolicy", "SorRecord"];

/// What of an object's metadata matters here: finalizers, and owners by uid and name.
type Marks = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const PLAIN: Marks = (&[], &[]);

fn put(marks: Marks, meta: &mut ObjectMeta) {
    let owner = |(uid, name): &(&str, &str)| OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: (*name).into(),
        uid: (*uid).into(),
        ..OwnerReference::default()
    };
    let (finalizers, owners) = marks;
    meta.finalizers = (!finalizers.is_empty()).then(|| finalizers.iter().map(|name| (*name).to_owned()).collect());
    meta.owner_references = (!owners.is_empty()).then(|| owners.iter().map(owner).collect());
}

fn write<T: Clone + Resource>(object: T, old: Option<Marks>, new: Marks) -> Write<T> {
    let with = |marks| {
        let mut object = object.clone();
        put(marks, object.meta_mut());
        Box::new(object)
    };
    match old {
        None => Write::Create(with(new)),
        Some(old) => Write::Update {
            old: with(old),
            new: with(new),
        },
    }
}

/// A creation, or an update of nothing else.
fn subject(kind: &str, old: Option<Marks>, new: Marks) -> Subject {
    match kind {
        "Tenant" => Subject::Tenant(write(acme().tenant().clone(), old, new)),
        "TenantSettings" => Subject::TenantSettings(write(settings(json!({})), old, new)),
        "Project" => Subject::Project(write(project("shop", json!({})), old, new)),
        "Build" => Subject::Build(write(build(json!({})), old, new)),
        "ImagePolicy" => Subject::ImagePolicy(write(typed(object("ImagePolicy", "open", json!({}))), old, new)),
        "SorRecord" => Subject::SorRecord(write(record("APP-1", "acme"), old, new)),
        "QuarantineRequest" => Subject::QuarantineRequest(write(quarantine("APP-1"), old, new)),
        "ImageScan" => Subject::ImageScan(write(scan("registry.example.com/images/acme/shop:1"), old, new)),
        _ => panic!("{kind} is new: say how one is written"),
    }
}

/// Where everything can be asked for.
fn door() -> Door {
    let mut door = acme();
    let capabilities = door.tenant_mut().spec.capabilities.as_mut().unwrap();
    capabilities.quarantine_request = Some(true);
    capabilities.on_demand_image_scanning = Some(true);
    door
}

/// The field that is refused, or the code where another rule refuses; empty where it is let in.
fn refused(door: &Door, who: &Requester, subject: Subject) -> String {
    let field = |denial: Denial| {
        let mut fields = denial.causes.iter().filter(|cause| !cause.field.is_empty());
        match fields.next() {
            Some(cause) if denial.code.as_str() == "field_immutable" => cause.field.clone(),
            _ => denial.code.as_str().to_owned(),
        }
    };
    door.asks(who, subject).denial.map(field).unwrap_or_default()
}

const KEEP: &[&str] = &["example.com/keep"];
const GONE: &[(&str, &str)] = &[("1", "gone")];

/// Before, after, and the field that no person may change so.
const UPDATES: [(Marks, Marks, &str); 12] = [
    (PLAIN, PLAIN, ""),
    (PLAIN, (KEEP, &[]), FINALIZERS),
    ((KEEP, &[]), (&["example.com/keep", "orphan"], &[]), FINALIZERS),
    ((KEEP, &[]), (&["example.com/other"], &[]), FINALIZERS),
    ((KEEP, &[]), (KEEP, &[]), ""),
    ((KEEP, &[]), PLAIN, ""),
    (PLAIN, (&[], GONE), OWNERS),
    ((&[], GONE), (&[], &[("1", "gone"), ("2", "gone")]), OWNERS),
    ((&[], GONE), (&[], &[("2", "gone")]), OWNERS),
    ((&[], GONE), (&[], &[("1", "renamed")]), OWNERS),
    ((&[], GONE), (&[], GONE), ""),
    ((KEEP, GONE), PLAIN, ""),
];

#[test]
fn no_person_adds_finalizers_or_owners_to_what_exists_and_everybody_may_take_them_away() {
    let door = door();
    for kind in KINDS {
        for (old, new, field) in UPDATES {
            let update = || subject(kind, Some(old), new);
            for person in ["olga", "adam", "tess", "eve"] {
                assert_eq!(
                    refused(&door, &user(person), update()),
                    field,
                    "{person}: {kind} {old:?} {new:?}"
                );
            }
        }
    }
}

#[test]
fn a_person_makes_nothing_with_a_finalizer_and_with_owners_only_what_is_one_run_or_one_request() {
    let door = door();
    for kind in KINDS {
        for (new, field) in [(PLAIN, ""), ((KEEP, &[][..]), FINALIZERS), ((&[][..], GONE), OWNERS)] {
            let expected = match field {
                _ if PLATFORM_S.contains(&kind) => "permission_denied",
                OWNERS if OWNED.contains(&kind) => "",
                field => field,
            };
            assert_eq!(
                refused(&door, &user("olga"), subject(kind, None, new)),
                expected,
                "{kind} {new:?}"
            );
        }
    }
}

#[test]
fn nothing_is_made_with_very_many_owners() {
    let door = door();
    let owners: Vec<(&str, &str)> = vec![("1", "gone"); 17];
    let owners: &'static [(&str, &str)] = owners.leak();
    for kind in OWNED {
        for (count, field) in [(16, ""), (17, OWNERS)] {
            let made = subject(kind, None, (&[], &owners[..count]));
            assert_eq!(refused(&door, &user("olga"), made), field, "{kind} {count}");
        }
    }
}

#[test]
fn the_platform_gitops_the_factory_and_what_cleans_up_are_not_asked() {
    let door = door();
    let all = [
        platform(),
        in_groups("root", &["system:masters"]),
        user("system:serviceaccount:flux-system:kustomize-controller"),
        user("system:serviceaccount:image-factory:operator"),
        user("system:serviceaccount:kube-system:generic-garbage-collector"),
        user("system:serviceaccount:kube-system:namespace-controller"),
    ];
    for who in all {
        for kind in KINDS {
            for (old, new, _) in UPDATES {
                let update = subject(kind, Some(old), new);
                assert_eq!(refused(&door, &who, update), "", "{who:?}: {kind} {old:?} {new:?}");
            }
            for new in [PLAIN, (KEEP, GONE)] {
                assert_eq!(
                    refused(&door, &who, subject(kind, None, new)),
                    "",
                    "{who:?}: {kind} {new:?}"
                );
            }
        }
    }
}

/// Who holds nothing in a tenant learns nothing of it.
#[test]
fn the_right_to_write_is_asked_for_before_what_is_written() {
    let door = door();
    let made = subject("Build", None, (KEEP, &[]));
    assert_eq!(refused(&door, &user("eve"), made), "permission_denied");
    let mut archived = door;
    archived.project = Some(project("shop", json!({"archived": true})));
    let made = subject("Build", None, (KEEP, &[]));
    assert_eq!(refused(&archived, &user("mia"), made), "project_archived");
}

/// `kubectl delete --cascade=foreground` says so to the API server, which puts its finalizer on: no update is asked for.
#[test]
fn what_is_deleted_may_carry_finalizers_and_owners() {
    let mut there = build(json!({}));
    put((&["foregroundDeletion"], GONE), there.meta_mut());
    assert_eq!(
        refused(&door(), &user("adam"), Subject::Build(Write::Delete(Box::new(there)))),
        ""
    );
}
