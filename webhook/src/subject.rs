//! A request's objects as one of our kinds.

use imagefactory_crds::admission::{Persons, Request, Requester, Subject, Write};
use imagefactory_crds::denial::{Cause, Code, Denial};
use imagefactory_crds::{GROUP, VERSION};
use kube::core::DynamicObject;
use kube::core::admission::Operation;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::review::Asked;

/// Longest message of a parser that is told on, in characters: it quotes what was sent.
const MAX_PARSE_ERROR: usize = 300;

/// What a request turns out to be.
#[derive(Debug)]
pub enum Understood {
    /// A write that the rules decide about.
    Request(Box<Request>),
    /// An object as it is stored that is none of its kind any more, and somebody who may tidy up.
    TidiesUp,
}

/// Why an object is none of its kind.
#[derive(Debug)]
struct Misfit {
    path: String,
    error: String,
}

/// Takes the objects for what their kind says.
///
/// # Errors
/// The denial, where they are not.
pub fn understand(asked: &Asked, persons: &Persons) -> Result<Understood, Denial> {
    let user = requester(asked);
    let subject = if asked.kind.group == GROUP && asked.kind.version == VERSION {
        subject(asked)
    } else {
        None
    };
    let Some(subject) = subject else {
        return Err(unknown_kind(asked));
    };
    match subject {
        Ok(subject) => Ok(Understood::Request(Box::new(Request {
            user,
            namespace: asked.namespace.clone().filter(|namespace| !namespace.is_empty()),
            subject,
        }))),
        Err(Unfit::New(misfit)) if !(leaves_spec(asked) && tidies_up(&user, persons)) => Err(refuse_new(&misfit)),
        Err(Unfit::Stored(misfit)) if !tidies_up(&user, persons) => Err(refuse_stored(&misfit)),
        Err(_) => Ok(Understood::TidiesUp),
    }
}

/// Who asks.
#[must_use]
pub fn requester(asked: &Asked) -> Requester {
    Requester {
        name: asked.user_info.username.clone().unwrap_or_default(),
        groups: asked.user_info.groups.clone().unwrap_or_default(),
    }
}

enum Unfit {
    New(Misfit),
    Stored(Misfit),
}

/// The kinds that are decided about: a line for each.
fn subject(asked: &Asked) -> Option<Result<Subject, Unfit>> {
    Some(match asked.kind.kind.as_str() {
        "Tenant" => write(asked).map(Subject::Tenant),
        "TenantSettings" => write(asked).map(Subject::TenantSettings),
        "Project" => write(asked).map(Subject::Project),
        "Build" => write(asked).map(Subject::Build),
        "ImagePolicy" => write(asked).map(Subject::ImagePolicy),
        "SorRecord" => write(asked).map(Subject::SorRecord),
        "ImageScan" => write(asked).map(Subject::ImageScan),
        "QuarantineRequest" => write(asked).map(Subject::QuarantineRequest),
        _ => return None,
    })
}

fn write<K: DeserializeOwned>(asked: &Asked) -> Result<Write<K>, Unfit> {
    let new = || fit(asked.object.as_ref()).map_err(Unfit::New);
    let old = || fit(asked.old_object.as_ref()).map_err(Unfit::Stored);
    match asked.operation {
        Operation::Create => Ok(Write::Create(new()?)),
        Operation::Update => {
            let new = new()?;
            Ok(Write::Update { old: old()?, new })
        }
        Operation::Delete => Ok(Write::Delete(old()?)),
        Operation::Connect => Err(Unfit::New(Misfit {
            path: String::new(),
            error: "nothing connects to this kind".to_owned(),
        })),
    }
}

fn fit<K: DeserializeOwned>(object: Option<&DynamicObject>) -> Result<Box<K>, Misfit> {
    let object = object.ok_or_else(|| Misfit {
        path: String::new(),
        error: "the review holds no object".to_owned(),
    })?;
    serde_path_to_error::deserialize(whole(object))
        .map(Box::new)
        .map_err(|error| {
            let path = error.path().to_string();
            Misfit {
                path: if path == "." { String::new() } else { path },
                error: error.into_inner().to_string().chars().take(MAX_PARSE_ERROR).collect(),
            }
        })
}

/// The object as it was sent, without its list of field managers.
fn whole(object: &DynamicObject) -> Value {
    let mut whole = match &object.data {
        Value::Object(data) => data.clone(),
        _ => Map::new(),
    };
    if let Some(types) = &object.types {
        whole.insert("apiVersion".to_owned(), types.api_version.clone().into());
        whole.insert("kind".to_owned(), types.kind.clone().into());
    }
    let mut metadata = object.metadata.clone();
    metadata.managed_fields = None;
    whole.insert(
        "metadata".to_owned(),
        serde_json::to_value(metadata).unwrap_or_default(),
    );
    Value::Object(whole)
}

/// Whether an update changes nothing of what the object says: finalizers, owners and labels alone.
fn leaves_spec(asked: &Asked) -> bool {
    match (&asked.object, &asked.old_object) {
        (Some(new), Some(old)) => new.data.get("spec") == old.data.get("spec"),
        _ => false,
    }
}

/// Who may take away what nobody understands: our own accounts, Kubernetes' cleaners and the platform's administrators.
fn tidies_up(user: &Requester, persons: &Persons) -> bool {
    persons.own_accounts.contains(&user.name)
        || user
            .groups
            .iter()
            .any(|group| group == "system:masters" || persons.platform_groups.contains(group))
}

fn unknown_kind(asked: &Asked) -> Denial {
    let kind = &asked.kind;
    let named = format!("{}/{} {}", kind.group, kind.version, kind.kind);
    let named: String = named.chars().take(200).collect();
    Denial::new(
        Code::InvalidObject,
        format!(
            "Image Factory's webhook knows no rules for {named}: its configuration names kinds that it should not."
        ),
    )
    .because(Cause::of("Kind", named))
}

fn refuse_new(misfit: &Misfit) -> Denial {
    let place = if misfit.path.is_empty() {
        "the object"
    } else {
        &misfit.path
    };
    Denial::new(
        Code::InvalidObject,
        format!("{place} can't be understood: {}.", misfit.error),
    )
    .because(Cause::field(misfit.path.clone(), misfit.error.clone()))
}

fn refuse_stored(misfit: &Misfit) -> Denial {
    Denial::new(
        Code::InvalidObject,
        format!(
            "The object as it is stored can't be understood ({}: {}). A platform administrator can mend or delete it.",
            misfit.path, misfit.error
        ),
    )
    .because(Cause::field(misfit.path.clone(), misfit.error.clone()))
}
