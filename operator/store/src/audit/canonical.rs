//! The one way in which an event is written as JSON: no spaces, keys of all objects in the order of their bytes.

use imagefactory_crds::audit::AuditEvent;
use imagefactory_crds::digest;

pub(super) fn event(event: &AuditEvent) -> Result<String, serde_json::Error> {
    Ok(digest::canonical(&serde_json::to_value(event)?))
}
