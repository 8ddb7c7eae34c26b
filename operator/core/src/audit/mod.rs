//! What the operator tells the audit, read off objects alone: how a run stands, and what was seen of an object that
//! configures, so that an attempt at it is confirmed. The same object tells the same event, under the same id, whoever reads
//! it and however often: an event that is told twice is stored once (docs/decisions/0025).

mod runs;
mod seen;

#[cfg(test)]
mod tests;

pub use runs::MAX_MESSAGE;

use imagefactory_crds::audit::{Actor, AuditEvent, EventKind, Resource};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Most characters of an id.
const MAX_ID: usize = 64;

/// Who tells, and when.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'a> {
    /// The operator's user name.
    pub user: &'a str,
    /// The time, for what an object does not say the time of.
    pub now: Timestamp,
}

/// An object that the audit is told of.
pub trait Audited: Send + Sync {
    /// Uid of the object.
    fn uid(&self) -> Option<&str>;

    /// Id of the event that tells how the object stands; none while there is nothing to tell.
    fn event_id(&self) -> Option<String>;

    /// That event.
    fn event(&self, teller: Teller<'_>) -> Option<AuditEvent>;

    /// The event that tells that the object is gone; none where nobody asks that.
    fn gone(&self, teller: Teller<'_>) -> Option<AuditEvent>;
}

/// An id is a uid of the API server, which has 36 characters, and words of ours. What an id may not have is left out.
fn id(uid: &str, what: &str) -> String {
    format!("{uid}-{what}")
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(MAX_ID)
        .collect()
}

fn resource(kind: &str, metadata: &ObjectMeta) -> Option<Resource> {
    Some(Resource {
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
    })
}

fn blank(kind: EventKind, resource: Resource, teller: Teller<'_>) -> AuditEvent {
    AuditEvent {
        id: String::new(),
        time: teller.now,
        kind,
        actor: Actor {
            user: teller.user.to_owned(),
            groups: Vec::new(),
        },
        action: String::new(),
        resource,
        tenant: None,
        project: None,
        code: None,
        capability: None,
        message: String::new(),
        reason: None,
        before: None,
        after: None,
        before_hash: String::new(),
        after_hash: String::new(),
        // What the operator refuses are objects that are there: a tenant's quotas bound them, and each has a name to be
        // found by. So none is folded.
        write_key: String::new(),
        fold_key: String::new(),
        count: 1,
    }
}
