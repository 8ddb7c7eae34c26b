//! Fetches a Git repository over HTTPS or HTTP and lays one commit out.
//!
//! Everything is done in this process: no program is started, no configuration of a user or a system is read, no
//! hook is run, no submodule fetched. The repository is removed when its files are there.

mod bound;
mod checkout;
mod credentials;
mod error;
mod fetch;
mod probe;
mod receive;
mod tree;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod test_pod;
#[cfg(test)]
pub(super) mod test_repository;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

pub(super) use error::GitError;
use reqwest::Url;

use crate::ca::Roots;
use credentials::Account;

/// Where the repository lies in the workspace while its files are laid out. No tree can hold this name.
const REPOSITORY: &str = ".git";

/// What can grow with a repository, and how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes that are received.
    pub(super) pack: u64,
    /// Bytes of one object in memory.
    pub(super) object: u64,
    /// Bytes of all files.
    pub(super) files: u64,
    /// Files, links and directories.
    pub(super) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack: 4 << 30,
            object: 512 << 20,
            files: 4 << 30,
            entries: 500_000,
        }
    }
}

/// A repository and what is wanted from it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// URL over HTTPS or HTTP.
    pub(super) url: &'a str,
    /// Branch, tag or full commit; none for the default branch.
    pub(super) revision: Option<&'a str>,
    /// Directory with `username` and `password`, if there are credentials.
    pub(super) credentials: Option<&'a Path>,
    /// Certificate authorities that are trusted.
    pub(super) roots: &'a Roots,
    /// How far it may grow.
    pub(super) limits: Limits,
    /// Wait before a server that can't be reached is asked again; it doubles with each time.
    pub(super) first_wait: Duration,
}

/// Fetches and lays out into `workspace`, which is empty. Returns the commit. Blocks.
pub(super) fn fetch(request: &Request<'_>, workspace: &Path) -> Result<String, GitError> {
    let url = parse(request.url)?;
    let account = match request.credentials {
        Some(directory) if url.scheme() == "https" => Some(Account::read(directory, &url)?),
        Some(_) => return Err(GitError::CredentialsOverHttp { url: url.into() }),
        None => None,
    };
    let url = probe::patiently(&url, account.as_ref(), request.roots, request.first_wait)?;
    let repository = workspace.join(REPOSITORY);
    let source = receive::Source {
        url: &url,
        account: account.as_ref(),
        roots: request.roots,
        limits: request.limits,
    };
    let (repo, found) = source.fetch(request.revision, &repository)?;
    let (commit, tree) = tree::of_commit(&repo, found)?;
    let survey = tree::survey(&repo, tree, request.limits)?;
    if survey.submodules > 0 {
        tracing::warn!(
            submodules = survey.submodules,
            "the repository has submodules: they are not fetched, their directories are empty"
        );
    }
    checkout::checkout(&repo, tree, workspace)?;
    drop(repo);
    std::fs::remove_dir_all(&repository).map_err(GitError::Disk)?;
    checkout::set_modes(workspace)?;
    tracing::info!(%commit, entries = survey.entries, bytes = survey.bytes, "source checked out");
    Ok(commit.to_string())
}

fn parse(text: &str) -> Result<Url, GitError> {
    let refuse = || GitError::Url {
        url: text.chars().take(256).collect(),
    };
    let url = Url::parse(text).map_err(|_| refuse())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(refuse()) }
}
