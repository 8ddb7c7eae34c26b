//! What a Build runs: its spec with everything that template, project, tenant and platform add, as it was when the
//! Build was taken on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BuildInputs, Output};
use crate::common::{Digest, ObjectName};

/// The spec as it is carried out, with all defaults. Recorded when the Build is taken on; later changes of the Project, of
/// its templates or of defaults do not change what the Build runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSpec {
    /// Template of the project that went into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ObjectName>,
    /// Another Build, whose spec holds fields that are referred to. Only of a rerun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_of: Option<ObjectName>,
    /// How the image is built.
    #[serde(flatten)]
    pub inputs: BuildInputs,
    /// Where the image is published: the whole name with its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<Output>>,
    /// Fields that are not repeated here, because they are long: contents of inline files that stand in the Build's own spec, and whatever would make the status too large. They stand where they were taken from, and are used only while they have this digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub referred: Vec<ReferredField>,
}

/// A field that is not repeated in a resolved spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferredField {
    /// Name of the field, as in `buildArgs`.
    pub field: LongField,
    /// Digest of its value in JSON.
    pub digest: Digest,
}

/// Fields that may be too long to be repeated in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LongField {
    /// `source`
    Source,
    /// `recipe`
    Recipe,
    /// `custom`
    Custom,
    /// `buildArgs`
    BuildArgs,
    /// `labels`
    Labels,
    /// `secrets`
    Secrets,
    /// `proxy`
    Proxy,
    /// `placement`
    Placement,
    /// `pullSecrets`
    PullSecrets,
    /// `registryMirrors`
    RegistryMirrors,
}

impl LongField {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Source,
        Self::Recipe,
        Self::Custom,
        Self::BuildArgs,
        Self::Labels,
        Self::Secrets,
        Self::Proxy,
        Self::Placement,
        Self::PullSecrets,
        Self::RegistryMirrors,
    ];

    /// The field's name in a spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Recipe => "recipe",
            Self::Custom => "custom",
            Self::BuildArgs => "buildArgs",
            Self::Labels => "labels",
            Self::Secrets => "secrets",
            Self::Proxy => "proxy",
            Self::Placement => "placement",
            Self::PullSecrets => "pullSecrets",
            Self::RegistryMirrors => "registryMirrors",
        }
    }
}
