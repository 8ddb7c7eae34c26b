//! The mounted directory: a docker configuration for each tenant, and one for all others.
//!
//! What lies in it is secret: it is never logged, not even in part by a parser's message.

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::fs;

/// Name of the file for tenants that have none of their own, without its suffix.
const DEFAULT: &str = "_default";
/// Suffix of the files.
const SUFFIX: &str = ".json";
/// Most bytes that a Secret may have, and so a file of it.
const LONGEST: u64 = 1 << 20;
/// Where a mounted Secret's files really are: the kubelet swaps this link when they change.
const CURRENT: &str = "..data";

/// SHA-256 of a content.
pub(super) type Hash = [u8; 32];

/// A docker configuration.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    hash: Hash,
}

impl Debug for Content {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(…)")
    }
}

impl Content {
    /// What belongs in the Secret.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash
    }
}

/// The directory can't be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read {path}")]
pub(super) struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// The directory as it was at one moment.
#[derive(Debug, Default)]
pub(super) struct Contents(BTreeMap<String, Option<Content>>);

impl Contents {
    /// Reads all files of the directory as they were at one moment.
    pub(super) async fn read(directory: &Path) -> Result<Self, ReadError> {
        // Listed and read beneath what the link points at now, so that a swap in between is an error and no mixture.
        let current = fs::canonicalize(directory.join(CURRENT))
            .await
            .unwrap_or_else(|_| directory.to_owned());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ReadError { path, source }
        };
        let mut entries = fs::read_dir(&current).await.map_err(failed(&current))?;
        let mut contents = BTreeMap::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed(&current))? {
            let name = entry.file_name();
            let Some(tenant) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            let path = entry.path();
            let length = fs::metadata(&path).await.map_err(failed(&path))?.len();
            let bytes = if length > LONGEST {
                Vec::new()
            } else {
                fs::read(&path).await.map_err(failed(&path))?
            };
            contents.insert(tenant.to_owned(), parse(bytes));
        }
        Ok(Self(contents))
    }

    /// What belongs in that tenant's namespace. A file of its own that is no docker configuration does not fall back
    /// to the default: that could reach further than the tenant's own.
    pub(super) fn of_tenant(&self, tenant: &str) -> Option<&Content> {
        self.0.get(tenant).or_else(|| self.0.get(DEFAULT))?.as_ref()
    }

    /// What an administrator should mend.
    pub(super) fn problem(&self) -> Option<String> {
        if self.0.is_empty() {
            return Some("there are no staging credentials: no <tenant>.json and no _default.json".to_owned());
        }
        let broken: Vec<_> = self
            .0
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        (!broken.is_empty()).then(|| {
            format!(
                "no docker configuration: {}{SUFFIX}",
                broken.join(&format!("{SUFFIX}, "))
            )
        })
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "auths")]
    _auths: BTreeMap<String, serde_json::Value>,
}

fn parse(bytes: Vec<u8>) -> Option<Content> {
    serde_json::from_slice::<DockerConfig>(&bytes).ok()?;
    let hash = Sha256::digest(&bytes).into();
    Some(Content { bytes, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"auths":{"r.io":{"auth":"b25l"}}}"#;
    const ALL: &str = r#"{"auths":{"r.io":{"auth":"YWxs"}}}"#;

    async fn read(files: &[(&str, &str)]) -> Contents {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Contents::read(directory.path()).await.unwrap()
    }

    #[tokio::test]
    async fn a_tenant_has_its_own_file_or_the_default() {
        let contents = read(&[("acme.json", ONE), ("_default.json", ALL), ("README", "x")]).await;
        assert_eq!(contents.of_tenant("acme").unwrap().bytes(), ONE.as_bytes());
        assert_eq!(contents.of_tenant("other").unwrap().bytes(), ALL.as_bytes());
        assert_eq!(contents.problem(), None);
    }

    #[tokio::test]
    async fn without_a_default_a_tenant_without_a_file_has_nothing() {
        assert!(read(&[("acme.json", ONE)]).await.of_tenant("other").is_none());
        let none = read(&[]).await;
        assert!(none.of_tenant("acme").is_none() && none.problem().is_some());
    }

    #[tokio::test]
    async fn a_broken_file_falls_back_to_nothing_and_is_named_but_not_quoted() {
        for broken in ["", "{", "[]", r#"{"auths":"hunter2"}"#, r#"{"other":{}}"#] {
            let contents = read(&[("acme.json", broken), ("_default.json", ALL)]).await;
            assert!(contents.of_tenant("acme").is_none(), "{broken}");
            let problem = contents.problem().unwrap();
            assert!(
                problem.contains("acme.json") && !problem.contains("hunter2"),
                "{problem}"
            );
        }
    }

    #[tokio::test]
    async fn a_mounted_secret_is_read_through_its_link() {
        let directory = tempfile::tempdir().unwrap();
        let version = directory.path().join("..2026");
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("acme.json"), ONE).unwrap();
        std::os::unix::fs::symlink("..2026", directory.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/acme.json", directory.path().join("acme.json")).unwrap();
        let contents = Contents::read(directory.path()).await.unwrap();
        assert_eq!(contents.of_tenant("acme").unwrap().bytes(), ONE.as_bytes());
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_an_error_and_not_empty() {
        assert!(Contents::read(Path::new("/nowhere/at/all")).await.is_err());
    }

    #[tokio::test]
    async fn a_content_is_never_shown() {
        let contents = read(&[("acme.json", ONE)]).await;
        assert!(!format!("{contents:?}").contains("b25l"));
    }
}
