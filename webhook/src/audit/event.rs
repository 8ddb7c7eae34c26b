//! What is audited of a decision, within bounds.

use imagefactory_crds::admission::{Attempt, Requester};
use imagefactory_crds::audit::{Actor, AuditEvent, EventKind, MAX_EVENT_BYTES, Resource};
use imagefactory_crds::denial::Denial;
use imagefactory_crds::digest::hex;
use imagefactory_crds::sor_record::NotRegistered;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::admission::Operation;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::review::Asked;

/// Longest user name and group, in characters.
const MAX_NAME: usize = 512;
/// Most groups of an actor.
const MAX_GROUPS: usize = 64;
/// Longest message and reason, in characters.
const MAX_TEXT: usize = 2000;

/// What was decided, as far as it is audited.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It was refused.
    Denied(&'a Denial),
    /// It was let in, and is of those changes that are recorded.
    LetIn(&'a Attempt),
}

/// Where it happened.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Tenant, where there is one.
    pub tenant: Option<String>,
    /// Project, where there is one.
    pub project: Option<String>,
    /// Hash of the spec as it is; empty on create.
    pub before_hash: String,
    /// Hash of the spec as it would be, or that it goes.
    pub after_hash: String,
}

/// The event of a decision about a request.
#[must_use]
pub fn event(asked: &Asked, user: &Requester, place: Place, verdict: Verdict<'_>, now: Timestamp) -> AuditEvent {
    let resource = resource(asked);
    let action = action(&asked.operation);
    let mut event = AuditEvent {
        id: format!("{:032x}", rand::random::<u128>()),
        time: now,
        kind: EventKind::Attempt,
        actor: actor(user),
        action: action.to_owned(),
        tenant: place.tenant,
        project: place.project,
        code: None,
        capability: None,
        message: String::new(),
        reason: None,
        before: None,
        after: None,
        before_hash: place.before_hash,
        after_hash: place.after_hash,
        write_key: write_key(asked, user, &resource),
        fold_key: String::new(),
        count: 1,
        resource,
    };
    match verdict {
        Verdict::Denied(denial) => {
            event.kind = EventKind::Denial;
            event.code = Some(denial.code);
            event.capability = denial.capability;
            event.message = cut(&denial.message, MAX_TEXT);
            event.fold_key = fold_key(&event, denial);
        }
        Verdict::LetIn(attempt) => {
            event.before.clone_from(&attempt.before);
            event.after.clone_from(&attempt.after);
            event.reason = attempt.reason.as_deref().map(|reason| cut(reason, MAX_TEXT));
        }
    }
    fit(event)
}

/// Word of an operation in events, logs and metrics.
#[must_use]
pub fn action(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Connect => "connect",
    }
}

fn actor(user: &Requester) -> Actor {
    let mut groups: Vec<String> = user.groups.iter().map(|group| cut(group, MAX_NAME)).collect();
    groups.sort();
    groups.dedup();
    groups.truncate(MAX_GROUPS);
    Actor {
        user: cut(&user.name, MAX_NAME),
        groups,
    }
}

fn resource(asked: &Asked) -> Resource {
    let object = asked.object.as_ref().or(asked.old_object.as_ref());
    let sent = object.and_then(|object| object.metadata.name.clone());
    let stored = asked.old_object.as_ref();
    Resource {
        kind: cut(&asked.kind.kind, 63),
        namespace: cut(asked.namespace.as_deref().unwrap_or_default(), 253),
        name: cut(
            &Some(asked.name.clone())
                .filter(|name| !name.is_empty())
                .or(sent)
                .unwrap_or_default(),
            253,
        ),
        uid: cut(&stored.and_then(ResourceExt::uid).unwrap_or_default(), 64),
    }
}

/// What makes one write one: the API server may ask more than once for it, each time with another review uid.
fn write_key(asked: &Asked, user: &Requester, resource: &Resource) -> String {
    let which = if resource.uid.is_empty() {
        json!([asked.kind.kind, resource.namespace, resource.name])
    } else {
        json!([resource.uid])
    };
    let spec = asked.object.as_ref().and_then(|object| object.data.get("spec"));
    hash(&(&user.name, action(&asked.operation), which, hash(&spec)))
}

/// What is alike in equal denials.
fn fold_key(event: &AuditEvent, denial: &Denial) -> String {
    let capability = denial.capability.map(|capability| capability.key());
    hash(&(
        &event.actor.user,
        &event.action,
        &event.resource.kind,
        &event.resource.namespace,
        denial.code.as_str(),
        capability,
        // Those that are counted apart are folded apart.
        NotRegistered::told(&denial.message).map(NotRegistered::as_str),
    ))
}

fn hash(of: &impl Serialize) -> String {
    // Tuples of text always serialize; an empty hash would only mean that nothing is taken for equal.
    let bytes = serde_json::to_vec(of).unwrap_or_default();
    hex(&Sha256::digest(bytes))
}

/// The intake takes no event beyond a size. What is let go is said.
fn fit(mut event: AuditEvent) -> AuditEvent {
    let size = |event: &AuditEvent| serde_json::to_vec(event).map_or(usize::MAX, |bytes| bytes.len());
    let too_long = |value: &Value| json!({"leftOut": "too long", "sha256": hash(value)});
    if size(&event) > MAX_EVENT_BYTES {
        event.before = event.before.as_ref().map(too_long);
        event.after = event.after.as_ref().map(too_long);
    }
    if size(&event) > MAX_EVENT_BYTES {
        event.actor.groups.truncate(8);
        event.message = cut(&event.message, 200);
    }
    event
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
