//! `dockerconfigjson` as it stands in a Secret: which entry is for which host, and what can't be used.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretString;
use serde::Deserialize;

use super::credentials::Credential;
use super::name::normalise_host;

/// Largest file that is read. A Secret holds at most 1 MiB.
const MAX_FILE: u64 = 1 << 20;
const MAX_ENTRIES: usize = 256;
/// Docker's own tools write padding, others do not.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a `dockerconfigjson` can't be used. Says which entry, never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is no file: a Secret is mounted as optional, so that the Build can tell what is missing.
    #[error("the Secret is missing, or has no key .dockerconfigjson ({path})")]
    Missing {
        /// The file.
        path: String,
    },
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

impl CredentialError {
    /// What to do about it.
    #[must_use]
    pub fn next(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "Create the Secret in this namespace (kubectl create secret docker-registry …), or correct its name and try again."
            }
            _ => "Correct the Secret; `kubectl create secret docker-registry` makes a right one.",
        }
    }
}

/// A whole file.
pub(super) fn read(file: &Path, path: &str) -> Result<Vec<u8>, CredentialError> {
    use std::io::Read as _;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => CredentialError::Missing { path: path.to_owned() },
        _ => CredentialError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
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

/// The entries of a file, by host or host and path.
pub(super) fn parse(path: &str, text: &[u8]) -> Result<Vec<(String, Credential)>, CredentialError> {
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
        let refuse = |problem| CredentialError::Entry {
            path: path.to_owned(),
            host: key.chars().take(128).collect(),
            problem,
        };
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
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte))
    };
    if host.is_empty() || !plain(host) || !plain(path) {
        return Err("names no host: patterns and user names are not supported");
    }
    // Docker's own tools write `https://host/v1/`.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let host = normalise_host(host);
    Ok(if path.is_empty() {
        host
    } else {
        format!("{host}/{path}")
    })
}

fn credential_of(entry: Entry) -> Result<Option<Credential>, &'static str> {
    if !entry.identity_token.is_empty() || !entry.registry_token.is_empty() {
        return Err(
            "holds a token of a login session (identitytoken or registrytoken): use a user name and a password or access token",
        );
    }
    let (username, password) = if entry.auth.is_empty() {
        (entry.username, entry.password)
    } else {
        let decoded = BASE64
            .decode(entry.auth.trim())
            .map_err(|_| "has an auth that is not base64")?;
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
    Ok(Some(Credential {
        username,
        password: SecretString::from(password),
    }))
}
