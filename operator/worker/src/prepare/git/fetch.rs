//! Which objects to ask a Git server for, and what to ask for when it does not give them.

use std::path::Path;

use gix::ObjectId;
use gix::hash::Kind;
use gix::remote::fetch::{RefMap, refmap};

use super::error::GitError;
use super::receive::{Received, Source, Want};

impl Source<'_> {
    /// Fetches a revision into a new repository at `directory`. A full id is a commit; any other name is looked for
    /// among the branches, then among the tags, so that a branch stands above a tag of its name.
    pub(super) fn fetch(
        &self,
        revision: Option<&str>,
        directory: &Path,
    ) -> Result<(gix::Repository, ObjectId), GitError> {
        let Some(revision) = revision else {
            let empty = || GitError::Empty {
                url: self.url.to_string(),
            };
            return self.fetch_name(&["HEAD"], directory)?.ok_or_else(empty);
        };
        if let Ok(commit) = ObjectId::from_hex(revision.to_ascii_lowercase().as_bytes()) {
            return self.fetch_commit(commit, directory);
        }
        let missing = || GitError::RevisionNotFound {
            url: self.url.to_string(),
            revision: revision.chars().take(255).collect(),
        };
        let (branch, tag) = (format!("refs/heads/{revision}"), format!("refs/tags/{revision}"));
        if gix::validate::reference::name(branch.as_str().into()).is_err() {
            return Err(missing());
        }
        self.fetch_name(&[&branch, &tag], directory)?.ok_or_else(missing)
    }

    /// The first of the references that the server has.
    fn fetch_name(&self, names: &[&str], directory: &Path) -> Result<Option<(gix::Repository, ObjectId)>, GitError> {
        let mut want = Want {
            specs: names,
            shallow: true,
            hash: Kind::Sha1,
        };
        let mut received = self.receive(want, directory);
        if let Ok(Received::OtherHash(hash)) = received {
            want.hash = hash;
            received = self.receive(want, directory);
        }
        if let Err(error @ GitError::Fetch { .. }) = &received {
            // Some servers know no shallow fetch. Others may have broken off: then this is the second try.
            tracing::warn!(error = %crate::registry::chain(error), "the revision is fetched with all its history");
            want.shallow = false;
            received = self.receive(want, directory);
        }
        let Received::Objects(repo, refs) = received? else {
            return Ok(None);
        };
        let found = names.iter().find_map(|name| target(&refs, name));
        Ok(found.map(|commit| (*repo, commit)))
    }

    /// A commit by its id. A server may hand out only what a branch or tag names: then all of these are fetched.
    fn fetch_commit(&self, commit: ObjectId, directory: &Path) -> Result<(gix::Repository, ObjectId), GitError> {
        let missing = || GitError::CommitNotFound {
            url: self.url.to_string(),
            commit: commit.to_string(),
        };
        let hex = commit.to_string();
        let hash = commit.kind();
        let alone = self.receive(
            Want {
                specs: &[&hex],
                shallow: true,
                hash,
            },
            directory,
        );
        match alone {
            Ok(Received::Objects(repo, _)) if repo.has_object(commit) => return Ok((*repo, commit)),
            Ok(Received::OtherHash(_)) => return Err(missing()),
            Err(error @ (GitError::TooLarge { .. } | GitError::Disk(_))) => return Err(error),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = %crate::registry::chain(&error), "the commit can't be fetched by its id");
            }
        }
        let all = Want {
            specs: &["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"],
            shallow: false,
            hash,
        };
        match self.receive(all, directory)? {
            Received::Objects(repo, _) if repo.has_object(commit) => Ok((*repo, commit)),
            _ => Err(missing()),
        }
    }
}

/// The commit that a reference of the server leads to.
fn target(refs: &RefMap, name: &str) -> Option<ObjectId> {
    refs.mappings.iter().find_map(|mapping| {
        let refmap::Source::Ref(reference) = &mapping.remote else {
            return None;
        };
        let (found, target, peeled) = reference.unpack();
        let id = peeled.or(target)?;
        (found == name).then(|| id.to_owned())
    })
}
