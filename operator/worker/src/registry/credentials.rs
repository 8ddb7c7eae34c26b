//! Credentials for registries: read from `dockerconfigjson`, each bound to the host (and path) that its entry
//! names, all of them bound to the repository prefixes that they may be used for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::DecodePaddingMode;
use imagefactory_core::reference::lies_under;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::error::RegistryError;
use super::name::{Repository, normalise_host};

/// Largest file that is read. A Secret holds at most 1 MiB.
const MAX_FILE: u64 = 1 << 20;
const MAX_ENTRIES: usize = 256;
/// The key of Docker Hub in the files that Docker's tools read.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Docker's own tools write padding, others do not.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Why a `dockerconfigjson` can't be used. Says which entry, never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file can't be read.
    #[error("credentials can't be read from {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any Secret.
    #[error("{path} is larger than 1 MiB")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// The file is not a `dockerconfigjson`. The parser's own words could quote a password, so only the place is told.
    #[error("{path} is not a dockerconfigjson: error at line {line}, column {column}")]
    Malformed {
        /// The file.
        path: String,
        /// Line of the error.
        line: usize,
        /// Column of the error.
        column: usize,
    },
    /// The file has more entries than anyone needs.
    #[error("{path} has more than 256 entries")]
    TooMany {
        /// The file.
        path: String,
    },
    /// An entry that can't be used.
    #[error("{path}: the entry for {host:?} {problem}")]
    Entry {
        /// The file.
        path: String,
        /// The entry's key, cut.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

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
            return Err(RegistryError::OutsidePrefix { repository: repository.clone() });
        }
        let named = self.entries.iter().filter(|(scope, _)| lies_under(&name, scope));
        Ok(named.max_by_key(|(scope, _)| scope.len()).map(|(_, credential)| credential))
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

fn read(file: &Path, path: &str) -> Result<Vec<u8>, CredentialError> {
    use std::io::Read as _;
    let failed = |source| CredentialError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CredentialError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

fn parse(path: &str, text: &[u8]) -> Result<Vec<(String, Credential)>, CredentialError> {
    let file: File = serde_json::from_slice(text).map_err(|error| CredentialError::Malformed {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    if file.auths.len() > MAX_ENTRIES {
        return Err(CredentialError::TooMany { path: path.to_owned() });
    }
    let mut found = Vec::new();
    for (key, entry) in file.auths {
        let refuse =
            |problem| CredentialError::Entry { path: path.to_owned(), host: key.chars().take(128).collect(), problem };
        let scope = scope_of(&key).map_err(refuse)?;
        if let Some(credential) = credential_of(entry).map_err(refuse)? {
            found.push((scope, credential));
        }
    }
    Ok(found)
}

/// Host, or host and path, that an entry's key names.
fn scope_of(key: &str) -> Result<String, &'static str> {
    if key.starts_with("http://") {
        return Err("names plain http: credentials go over TLS only");
    }
    let bare = key.strip_prefix("https://").unwrap_or(key).trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte));
    if host.is_empty() || !plain(host) || !plain(path) {
        return Err("names no host: patterns and user names are not supported");
    }
    // Docker's own tools write `https://host/v1/`.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let host = normalise_host(host);
    Ok(if path.is_empty() { host } else { format!("{host}/{path}") })
}

fn credential_of(entry: Entry) -> Result<Option<Credential>, &'static str> {
    if !entry.identity_token.is_empty() || !entry.registry_token.is_empty() {
        return Err("holds a token of a login session (identitytoken or registrytoken): use a user name and a password or access token");
    }
    let (username, password) = if entry.auth.is_empty() {
        (entry.username, entry.password)
    } else {
        let decoded = BASE64.decode(entry.auth.trim()).map_err(|_| "has an auth that is not base64")?;
        let decoded = String::from_utf8(decoded).map_err(|_| "has an auth that is not UTF-8")?;
        let (username, password) = decoded.split_once(':').ok_or("has an auth without a colon")?;
        (username.to_owned(), password.trim_end_matches('\0').to_owned())
    };
    if username.is_empty() && password.is_empty() {
        return Ok(None);
    }
    if username.is_empty() || password.is_empty() {
        return Err("lacks a user name or a password");
    }
    Ok(Some(Credential { username, password: SecretString::from(password) }))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
