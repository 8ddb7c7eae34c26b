//! What was seen of objects that configure: each generation once, and that one is gone. An attempt that wants such a state
//! is confirmed by it.

use imagefactory_crds::audit::{AuditEvent, DELETED, EventKind, spec_hash};
use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::{ImagePolicy, Project, SorRecord, Tenant, TenantSettings};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Audited, Teller, blank, id, resource};

/// An object that configures, without its spec.
struct Seen<'a> {
    kind: &'static str,
    metadata: &'a ObjectMeta,
}

impl Seen<'_> {
    fn event_id(&self) -> Option<String> {
        let generation = self.metadata.generation.unwrap_or_default();
        Some(id(self.metadata.uid.as_deref()?, &format!("seen-{generation}")))
    }

    fn event(&self, hash: String, teller: Teller<'_>) -> Option<AuditEvent> {
        Some(AuditEvent {
            id: self.event_id()?,
            action: "seen".to_owned(),
            after_hash: hash,
            ..self.blank(teller)?
        })
    }

    fn gone(&self, teller: Teller<'_>) -> Option<AuditEvent> {
        Some(AuditEvent {
            id: id(self.metadata.uid.as_deref()?, "gone"),
            action: "gone".to_owned(),
            after_hash: DELETED.to_owned(),
            ..self.blank(teller)?
        })
    }

    fn blank(&self, teller: Teller<'_>) -> Option<AuditEvent> {
        let resource = resource(self.kind, self.metadata)?;
        let tenant = match self.kind {
            "Tenant" => Some(resource.name.clone()),
            _ => tenant_of_namespace(&resource.namespace).map(str::to_owned),
        };
        let project = (self.kind == "Project").then(|| resource.name.clone());
        Some(AuditEvent {
            tenant,
            project,
            ..blank(EventKind::Confirmation, resource, teller)
        })
    }
}

macro_rules! audited {
    ($($kind:ident),* $(,)?) => {$(
        impl Audited for $kind {
            fn uid(&self) -> Option<&str> {
                self.metadata.uid.as_deref()
            }

            fn event_id(&self) -> Option<String> {
                seen(stringify!($kind), &self.metadata).event_id()
            }

            fn event(&self, teller: Teller<'_>) -> Option<AuditEvent> {
                seen(stringify!($kind), &self.metadata).event(spec_hash(&self.spec), teller)
            }

            fn gone(&self, teller: Teller<'_>) -> Option<AuditEvent> {
                seen(stringify!($kind), &self.metadata).gone(teller)
            }
        }
    )*};
}

fn seen<'a>(kind: &'static str, metadata: &'a ObjectMeta) -> Seen<'a> {
    Seen { kind, metadata }
}

// The kinds whose changes the webhook records as attempts (crds/src/admission/attempt.rs).
audited!(ImagePolicy, Project, SorRecord, Tenant, TenantSettings);
