//! What is recorded of decisions, and how it is made durable before the answer leaves.

pub mod bounds;
pub mod event;
pub mod recorder;
pub mod spool;
#[cfg(test)]
pub(crate) mod testing;

use imagefactory_crds::audit::AuditEvent;
pub use imagefactory_serving::audit::intake;
use tracing::info;

/// An event could not be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit takes no events")]
pub struct Unrecorded;

/// Where events go.
#[derive(Clone, Debug, Default)]
pub enum Recorder {
    /// To the log alone, where the release has no audit.
    #[default]
    Log,
    /// To the intake, or to the spool.
    Delivery(recorder::Delivery),
}

impl Recorder {
    /// Records an event.
    ///
    /// # Errors
    /// When it is durable nowhere.
    pub async fn record(&self, event: AuditEvent) -> Result<(), Unrecorded> {
        match self {
            Self::Log => {
                log(&event);
                Ok(())
            }
            Self::Delivery(delivery) => delivery.record(event).await,
        }
    }
}

/// Tells an event to the log. What a person wrote stands there escaped.
pub(crate) fn log(event: &AuditEvent) {
    info!(
        event = event.kind.as_str(),
        code = event.code.map(|code| code.as_str()),
        user = %event.actor.user.escape_debug(),
        action = event.action,
        kind = event.resource.kind,
        namespace = event.resource.namespace,
        name = %event.resource.name.escape_debug(),
        message = %event.message.escape_debug(),
        "decided"
    );
}
