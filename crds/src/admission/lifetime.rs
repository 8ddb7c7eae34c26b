//! How long an object stays: a finalizer keeps one that was deleted, and an owner that does not exist has the garbage
//! collector, which nobody asks anything, delete it. Who may change an object is not who may delete it, so no person sets
//! either on one that exists.

use kube_core::Resource;

use super::case::Case;
use super::standing::{Standing, brief};
use super::{Subject, Write};
use crate::denial::{Cause, Code, Denial};

const FINALIZERS: &str = "metadata.finalizers";
const OWNERS: &str = "metadata.ownerReferences";

/// Most owners that an object is made with. They are compared with each other whenever somebody changes it.
const MAX_OWNERS: usize = 16;

/// Whether an object may be made with owners.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// What is one run or one request may go with what asked for it, as a controller of a pipeline does.
    AtCreation,
    /// It is not made to go with something else.
    Never,
}

/// Refuses finalizers and owners that a person adds. Taking them away is no way around anybody's rights.
pub(super) fn check(subject: &Subject, case: &Case<'_>) -> Result<(), Denial> {
    match case.standing {
        Standing::Factory | Standing::Platform => return Ok(()),
        Standing::Person(_) => {}
    }
    match subject {
        Subject::Build(write) => unchanged(write, Owners::AtCreation),
        Subject::ImageScan(write) => unchanged(write, Owners::AtCreation),
        Subject::QuarantineRequest(write) => unchanged(write, Owners::AtCreation),
        Subject::Project(write) => unchanged(write, Owners::Never),
        Subject::TenantSettings(write) => unchanged(write, Owners::Never),
        Subject::Tenant(write) => unchanged(write, Owners::Never),
        Subject::ImagePolicy(write) => unchanged(write, Owners::Never),
        Subject::SorRecord(write) => unchanged(write, Owners::Never),
    }
}

fn unchanged<K: Resource<DynamicType = ()>>(write: &Write<K>, owners: Owners) -> Result<(), Denial> {
    let (old, new) = match write {
        Write::Create(new) => (None, new.meta()),
        Write::Update { old, new } => (Some(old.meta()), new.meta()),
        Write::Delete(_) => return Ok(()),
    };
    let known = old.and_then(|old| old.finalizers.as_deref());
    if let Some(added) = first_new(known, new.finalizers.as_deref()) {
        return Err(finalizer_added(added));
    }
    if old.is_none() && owners == Owners::AtCreation {
        let count = new.owner_references.as_ref().map_or(0, Vec::len);
        return if count > MAX_OWNERS {
            Err(too_many_owners(count))
        } else {
            Ok(())
        };
    }
    let known = old.and_then(|old| old.owner_references.as_deref());
    let added = first_new(known, new.owner_references.as_deref());
    added.map_or(Ok(()), |_| Err(owner_added(&K::kind(&()), owners)))
}

/// The first entry that was not there. One that changed is another one.
fn first_new<'a, T: PartialEq>(old: Option<&[T]>, new: Option<&'a [T]>) -> Option<&'a T> {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    if old == new {
        return None;
    }
    new.iter().find(|entry| !old.contains(entry))
}

fn finalizer_added(name: &str) -> Denial {
    let message = format!(
        "{FINALIZERS} can't get {}: only Image Factory sets finalizers on its kinds, since one that nobody takes away keeps the object for ever. Leave it out of what you write; to do something before the object goes, do it before you delete it.",
        brief(name)
    );
    Denial::new(Code::FieldImmutable, message).because(Cause::field(FINALIZERS, "can't be added to"))
}

fn too_many_owners(count: usize) -> Denial {
    let message = format!("{OWNERS} holds {count} entries: name {MAX_OWNERS} at most.");
    Denial::new(Code::FieldImmutable, message).because(Cause::field(OWNERS, "too many"))
}

fn owner_added(kind: &str, owners: Owners) -> Denial {
    let instead = match owners {
        Owners::AtCreation => format!("Name owners when you create the {kind}"),
        Owners::Never => "Leave them out of what you write".to_owned(),
    };
    let message = format!(
        "{OWNERS} of this {kind} can't be added to or changed: Kubernetes deletes an object without asking anybody when its owner is gone. {instead}; to remove the {kind}, delete it."
    );
    Denial::new(Code::FieldImmutable, message).because(Cause::field(OWNERS, "can't be added to or changed"))
}
