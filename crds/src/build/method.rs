//! What builds an image, and what is said to who names anything else.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What builds the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Kaniko: one platform, that of the node.
    #[default]
    Kaniko,
    /// BuildKit: an index of several platforms.
    Buildx,
    /// BuildKit: one platform, what `docker build` would do.
    Docker,
    /// A program of the tenant's that writes an OCI layout.
    Custom,
}

impl Method {
    const ALL: [Self; 4] = [Self::Kaniko, Self::Buildx, Self::Docker, Self::Custom];

    /// The word in specs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kaniko => "kaniko",
            Self::Buildx => "buildx",
            Self::Docker => "docker",
            Self::Custom => "custom",
        }
    }
}

impl JsonSchema for Method {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    /// A rule and no `enum`: with one the API server would only list the words, and not say what to do about `packer`.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = Self::ALL.map(|method| format!("'{}'", method.as_str())).join(", ");
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 16,
            "pattern": "^[a-z]+$",
            "x-kubernetes-validations": [{
                "rule": format!("self in [{words}]"),
                "message": "must be kaniko, buildx, docker or custom; packer and nix are not there yet: use a Dockerfile or a recipe with one of the first three, or custom with an image of yours that writes an OCI layout",
            }],
        })
    }
}
