//! One write with what every rule asks of it: as whom it is asked for, and in which tenant.

use super::standing::{Need, Standing};
use super::{Request, Requester, Subject, World};
use crate::denial::Denial;
use crate::{TenantSettingsSpec, names};

use super::rights::Right;

/// What a rule says: warnings where it lets in.
pub(super) type Verdict = Result<Vec<String>, Denial>;

/// A write in its world.
pub(super) struct Case<'a> {
    pub(super) user: &'a Requester,
    pub(super) world: &'a World<'a>,
    pub(super) standing: Standing,
    pub(super) tenant: &'a str,
    settings: Option<&'a TenantSettingsSpec>,
}

impl<'a> Case<'a> {
    pub(super) fn of(request: &'a Request, world: &'a World<'a>) -> Self {
        let settings = match &request.subject {
            // What the API server has is newer than any cache.
            Subject::TenantSettings(write) => write.old_object().map(|old| &old.spec),
            _ => world.settings.map(|settings| &settings.spec),
        };
        let tenant = match &request.subject {
            // It lies in no namespace that would say so.
            Subject::Tenant(write) => write.new_object().or(write.old_object()),
            _ => world.tenant,
        };
        let tenant = tenant.and_then(|tenant| tenant.metadata.name.as_deref());
        let by_namespace = || request.namespace.as_deref().and_then(names::tenant_of_namespace);
        Self {
            user: &request.user,
            world,
            standing: Standing::of(&request.user, world.tenant, settings, world.persons),
            tenant: tenant.or_else(by_namespace).unwrap_or_default(),
            settings,
        }
    }

    /// Asks for a right in a project, or in the tenant.
    pub(super) fn require(&self, right: Right, purpose: &str, project: Option<&str>) -> Result<(), Denial> {
        let need = Need {
            right,
            purpose,
            project,
            tenant: self.tenant,
        };
        self.standing.require(need, self.settings)
    }

    /// Whether what goes needs no confirmation, whatever it is.
    pub(super) fn goes_anyway(&self) -> bool {
        self.standing.is_factory() || self.world.namespace_is_leaving
    }
}

/// A warning: at most 120 characters.
pub(super) fn warning(text: &str) -> String {
    text.chars().take(120).collect()
}
