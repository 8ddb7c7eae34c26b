//! Credentials for registries: read from `dockerconfigjson`, each bound to the host (and path) that its entry
//! names, all of them bound to the repository prefixes that they may be used for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use imagefactory_core::reference::lies_under;
use secrecy::{ExposeSecret, SecretString};

use super::docker_config::{BASE64, CredentialError, parse, read};
use super::error::RegistryError;
use super::name::Repository;

/// The key of Docker Hub in the files that Docker's tools read.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A user's name and password. The password is not shown by `Debug`.
#[derive(Clone, Debug)]
pub struct Credential {
    pub(super) username: String,
    pub(super) password: SecretString,
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.username == other.username && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// Credentials, each bound to its host.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// By host, or host and path.
    entries: BTreeMap<String, Credential>,
    prefixes: Option<Vec<String>>,
}

impl Credentials {
    /// No credentials: every request is anonymous.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads `dockerconfigjson` files. Of two entries for one host the first counts.
    ///
    /// # Errors
    /// A file is not one, or has an entry that can't be used.
    pub fn load(files: &[PathBuf]) -> Result<Self, CredentialError> {
        let mut all = Self::none();
        for file in files {
            let path = file.display().to_string();
            let text = read(file, &path)?;
            for (scope, credential) in parse(&path, &text)? {
                all.entries.entry(scope).or_insert(credential);
            }
        }
        Ok(all)
    }

    /// These credentials, and those of `others` for hosts that these do not name.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        for (scope, credential) in others.entries {
            self.entries.entry(scope).or_insert(credential);
        }
        self
    }

    /// Binds the credentials to repository prefixes: for what lies outside no request is sent, not even without a credential.
    #[must_use]
    pub fn bound_to(mut self, prefixes: Vec<String>) -> Self {
        self.prefixes = Some(prefixes);
        self
    }

    /// The credential for a repository: the entry that names its host, and most of its path.
    ///
    /// # Errors
    /// The repository lies outside the prefixes that these credentials are bound to.
    pub fn for_repository(&self, repository: &Repository) -> Result<Option<&Credential>, RegistryError> {
        let name = repository.to_string();
        if let Some(prefixes) = &self.prefixes
            && !prefixes.iter().any(|prefix| lies_under(&name, prefix))
        {
            return Err(RegistryError::OutsidePrefix {
                repository: repository.clone(),
            });
        }
        let named = self.entries.iter().filter(|(scope, _)| lies_under(&name, scope));
        Ok(named
            .max_by_key(|(scope, _)| scope.len())
            .map(|(_, credential)| credential))
    }

    /// All entries as one `dockerconfigjson`, for tools that read such a file.
    #[must_use]
    pub fn to_docker_config(&self) -> SecretString {
        let auths: serde_json::Map<_, _> = self
            .entries
            .iter()
            .map(|(scope, Credential { username, password })| {
                let key = if scope == "docker.io" { DOCKER_HUB_KEY } else { scope };
                let auth = BASE64.encode(format!("{username}:{}", password.expose_secret()));
                (key.to_owned(), serde_json::json!({ "auth": auth }))
            })
            .collect();
        SecretString::from(serde_json::json!({ "auths": auths }).to_string())
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
