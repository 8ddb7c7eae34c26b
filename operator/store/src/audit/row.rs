//! What an event becomes in columns: what is filtered by, joined and counted. All of it follows from the event.
//!
//! Text of columns is cut and has no NUL (PostgreSQL takes none, and its indexes take no long text); the event itself is
//! kept whole in its JSON.
//!
//! - `wants`: what an attempt would leave behind: a digest of kind, namespace, name and the hash of the spec after it.
//! - `shows`: what an event shows to be so: of a confirmation the spec that was seen, of a later attempt the one before it.
//!   An attempt is confirmed by an event that shows what it wants.

use imagefactory_crds::audit::{AuditEvent, EventKind};

use super::chain;

/// Longest text of a column, in bytes: names of Kubernetes fit, and so do three of them in one index.
const LONGEST: usize = 253;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) id: String,
    pub(super) time: i64,
    pub(super) kind: &'static str,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) resource_kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) tenant: String,
    pub(super) project: String,
    pub(super) code: &'static str,
    pub(super) capability: &'static str,
    pub(super) count: i64,
    pub(super) write_key: String,
    pub(super) fold_key: String,
    pub(super) wants: String,
    pub(super) shows: String,
}

impl Columns {
    pub(super) fn of(event: &AuditEvent) -> Self {
        let resource = &event.resource;
        Self {
            id: event.id.clone(),
            time: event.time.as_microsecond(),
            kind: event.kind.as_str(),
            actor: cut(&event.actor.user),
            action: cut(&event.action),
            resource_kind: cut(&resource.kind),
            namespace: cut(&resource.namespace),
            name: cut(&resource.name),
            uid: cut(&resource.uid),
            tenant: cut(event.tenant.as_deref().unwrap_or_default()),
            project: cut(event.project.as_deref().unwrap_or_default()),
            code: event.code.map_or("", |code| code.as_str()),
            capability: event.capability.map_or("", |capability| capability.key()),
            count: i64::try_from(event.count).unwrap_or(i64::MAX),
            write_key: event.write_key.clone(),
            fold_key: event.fold_key.clone(),
            wants: wants(event),
            shows: shows(event),
        }
    }
}

/// As much of a text as a column takes.
pub(super) fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().replace('\0', "\u{fffd}")
}

fn wants(event: &AuditEvent) -> String {
    match event.kind {
        EventKind::Attempt => state(event, &event.after_hash),
        _ => String::new(),
    }
}

fn shows(event: &AuditEvent) -> String {
    match event.kind {
        EventKind::Confirmation => state(event, &event.after_hash),
        EventKind::Attempt => state(event, &event.before_hash),
        _ => String::new(),
    }
}

/// The object as that hash says. Empty where nothing is said.
fn state(event: &AuditEvent, hash: &str) -> String {
    if hash.is_empty() {
        String::new()
    } else {
        digest(event, hash)
    }
}

fn digest(event: &AuditEvent, state: &str) -> String {
    let resource = &event.resource;
    chain::digest(&[&resource.kind, &resource.namespace, &resource.name, state])
}
