//! Events for tests.

use imagefactory_crds::audit::{Actor, AuditEvent, EventKind, Resource};

/// An event with that id and a message of so many bytes.
pub(crate) fn event(id: &str, size: usize) -> AuditEvent {
    AuditEvent {
        id: id.to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        kind: EventKind::Attempt,
        actor: Actor {
            user: "alice".to_owned(),
            groups: Vec::new(),
        },
        action: "create".to_owned(),
        resource: Resource {
            kind: "Build".to_owned(),
            ..Resource::default()
        },
        tenant: None,
        project: None,
        code: None,
        capability: None,
        message: "x".repeat(size),
        reason: None,
        before: None,
        after: None,
        before_hash: String::new(),
        after_hash: String::new(),
        write_key: "w".to_owned(),
        fold_key: String::new(),
        count: 1,
    }
}
