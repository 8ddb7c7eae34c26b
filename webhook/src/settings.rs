//! What the chart's values say that decisions rest on: one file, read at start.

use std::path::{Path, PathBuf};

use imagefactory_crds::admission::Persons;
use imagefactory_crds::build::AllowedPlacement;
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::image_scan::PlatformPrefixes;
use serde::Deserialize;

/// The file's content. An unknown key is an error: it may be a rule that this version does not know.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// What tenants have whose Tenant does not say.
    pub onboarding: OnboardingPolicy,
    /// Where builds of every tenant may ask to run.
    #[serde(default)]
    pub placement: AllowedPlacement,
    /// The platform's registries; none where they are not told, and then the operator alone asks where an image lies.
    #[serde(default)]
    pub registries: Option<PlatformPrefixes>,
    /// Secrets that the product's own images are pulled with: no tenant may refer to them.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
    /// Who is who.
    persons: PersonsFile,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PersonsFile {
    platform_groups: Vec<String>,
    security_groups: Vec<String>,
    gitops_accounts: Vec<String>,
    own_accounts: Vec<String>,
}

/// The settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No file.
    #[error("could not read {path}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not what is expected.
    #[error("could not understand {path}")]
    Parse {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// When there is none or it holds something else.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| SettingsError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Who is who, as the rules want it.
    #[must_use]
    pub fn persons(&self) -> Persons {
        let PersonsFile {
            platform_groups,
            security_groups,
            gitops_accounts,
            own_accounts,
        } = self.persons.clone();
        Persons {
            platform_groups,
            security_groups,
            gitops_accounts,
            own_accounts,
        }
    }
}
