//! Capabilities: the keys, the texts, and the decision whether a tenant (and a project) may use one.
//!
//! Pure, and shared by everything that has to decide, so that each line of defence gives the same code for the
//! same reason. Messages are part of the contract (product.md, Capabilities).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tenant::Capabilities;

/// What to do about any capability that is off.
pub const REMEDIATION: &str = "Contact your administrator to request access.";

/// Code of a denial: the capability is off.
pub const CODE_NOT_ENTITLED: &str = "tenant_capability_not_entitled";

/// Something that a tenant may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Build images.
    Build,
    /// Ask for an outside image to be imported.
    QuarantineRequest,
    /// Ask for a scan of an image.
    #[serde(rename = "ondemand_image_scanning")]
    OnDemandImageScanning,
    /// Release a quarantined image.
    QuarantineRelease,
}

impl Capability {
    /// All of them, in the order of product.md.
    pub const ALL: [Self; 4] = [
        Self::Build,
        Self::QuarantineRequest,
        Self::OnDemandImageScanning,
        Self::QuarantineRelease,
    ];

    /// Key in the API, in errors and in metric labels.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::QuarantineRequest => "quarantine_request",
            Self::OnDemandImageScanning => "ondemand_image_scanning",
            Self::QuarantineRelease => "quarantine_release",
        }
    }

    /// What a user reads when the capability is off.
    #[must_use]
    pub fn message_when_off(self) -> &'static str {
        match self {
            Self::Build => "Image build is not enabled for this tenant.",
            Self::QuarantineRequest => "Quarantine request is not enabled for this tenant.",
            Self::OnDemandImageScanning => "On-demand image scanning is not enabled for this tenant.",
            Self::QuarantineRelease => "Quarantine release is not enabled for this tenant.",
        }
    }

    fn written_in(self, capabilities: &Capabilities) -> Option<bool> {
        match self {
            Self::Build => capabilities.build,
            Self::QuarantineRequest => capabilities.quarantine_request,
            Self::OnDemandImageScanning => capabilities.on_demand_image_scanning,
            Self::QuarantineRelease => capabilities.quarantine_release,
        }
    }
}

/// What a tenant has when its Tenant does not say: the chart's onboarding policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnboardingPolicy {
    /// Whether `build` is on by default.
    #[serde(default)]
    pub build: bool,
}

/// Capabilities that a project turns off for itself. A project can't turn one on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectCapabilities {
    /// `false` turns builds off for this project. `true` changes nothing: the tenant decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<bool>,
    /// Ask for images from outside. False turns it off for this project; true changes nothing where the tenant has it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_request: Option<bool>,
    /// Scan images on demand. False turns it off for this project; true changes nothing where the tenant has it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand_image_scanning: Option<bool>,
}

/// One capability as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveCapability {
    /// Key of the capability.
    pub name: Capability,
    /// Whether the tenant may use it.
    pub enabled: bool,
    /// Code of the denial, when off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub code: Option<String>,
    /// What a user is shown, when off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// What to do about it, when off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub remediation: Option<String>,
}

/// Whether the tenant has the capability.
#[must_use]
pub fn tenant_may(capability: Capability, written: Option<&Capabilities>, onboarding: OnboardingPolicy) -> bool {
    written
        .and_then(|capabilities| capability.written_in(capabilities))
        .unwrap_or(match capability {
            Capability::Build => onboarding.build,
            Capability::QuarantineRequest | Capability::OnDemandImageScanning | Capability::QuarantineRelease => false,
        })
}

/// Whether a project leaves the capability on. It can only narrow what the tenant has.
#[must_use]
pub fn project_leaves(capability: Capability, written: Option<&ProjectCapabilities>) -> bool {
    let says = |read: fn(&ProjectCapabilities) -> Option<bool>| written.and_then(read).unwrap_or(true);
    match capability {
        Capability::Build => says(|capabilities| capabilities.build),
        Capability::QuarantineRequest => says(|capabilities| capabilities.quarantine_request),
        Capability::OnDemandImageScanning => says(|capabilities| capabilities.on_demand_image_scanning),
        // Comes with what honours it.
        Capability::QuarantineRelease => true,
    }
}

/// The whole set for a tenant's status, in the order of [`Capability::ALL`].
#[must_use]
pub fn effective(written: Option<&Capabilities>, onboarding: OnboardingPolicy) -> Vec<EffectiveCapability> {
    Capability::ALL
        .into_iter()
        .map(|name| {
            let enabled = tenant_may(name, written, onboarding);
            let when_off = |text: &str| (!enabled).then(|| text.to_owned());
            EffectiveCapability {
                name,
                enabled,
                code: when_off(CODE_NOT_ENTITLED),
                message: when_off(name.message_when_off()),
                remediation: when_off(REMEDIATION),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_follows_the_onboarding_policy_and_everything_else_is_off_by_default() {
        let on = |policy| {
            effective(None, policy)
                .into_iter()
                .filter(|state| state.enabled)
                .map(|state| state.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(on(OnboardingPolicy { build: true }), [Capability::Build]);
        assert_eq!(on(OnboardingPolicy { build: false }), []);
    }

    #[test]
    fn what_the_tenant_says_wins_over_the_onboarding_policy() {
        let off = Capabilities {
            build: Some(false),
            ..Capabilities::default()
        };
        assert!(!tenant_may(
            Capability::Build,
            Some(&off),
            OnboardingPolicy { build: true }
        ));
    }

    #[test]
    fn a_capability_that_is_off_carries_the_words_of_the_contract() {
        let state = effective(None, OnboardingPolicy::default());
        let texts: Vec<_> = state.iter().filter_map(|state| state.message.as_deref()).collect();
        assert_eq!(
            texts,
            [
                "Image build is not enabled for this tenant.",
                "Quarantine request is not enabled for this tenant.",
                "On-demand image scanning is not enabled for this tenant.",
                "Quarantine release is not enabled for this tenant.",
            ]
        );
        assert!(
            state
                .iter()
                .all(|state| state.remediation.as_deref() == Some(REMEDIATION))
        );
    }

    #[test]
    fn a_project_can_turn_off_what_it_has_but_not_on() {
        for (capability, key) in [
            (Capability::Build, "build"),
            (Capability::OnDemandImageScanning, "onDemandImageScanning"),
        ] {
            let says = |value: bool| serde_json::from_value(serde_json::json!({ key: value })).unwrap();
            assert!(!project_leaves(capability, Some(&says(false))), "{key}");
            assert!(project_leaves(capability, Some(&says(true))), "{key}");
            for other in Capability::ALL.into_iter().filter(|other| *other != capability) {
                assert!(project_leaves(other, Some(&says(false))), "{key}");
            }
        }
    }

    #[test]
    fn a_project_turns_off_what_it_names_and_nothing_else_and_on_nothing() {
        for (field, off) in [
            ("build", Capability::Build),
            ("quarantineRequest", Capability::QuarantineRequest),
            ("onDemandImageScanning", Capability::OnDemandImageScanning),
        ] {
            let written = serde_json::from_value(serde_json::json!({ field: false })).unwrap();
            let gone = |capability: &Capability| !project_leaves(*capability, Some(&written));
            let gone: Vec<_> = Capability::ALL.into_iter().filter(gone).collect();
            assert_eq!(gone, [off]);
            let written = serde_json::from_value(serde_json::json!({ field: true })).unwrap();
            assert!(
                Capability::ALL
                    .into_iter()
                    .all(|capability| project_leaves(capability, Some(&written)))
            );
        }
    }

    #[test]
    fn the_keys_are_those_of_the_api() {
        for capability in Capability::ALL {
            assert_eq!(serde_json::to_value(capability).unwrap(), capability.key());
        }
    }
}
