//! Looks a commit's tree over before a file is written: how much it is, and whether any name in it is a trick.

use std::collections::HashSet;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::objs::tree::EntryKind;
use gix::validate::path::component;

use super::Limits;
use super::error::GitError;

/// Longest path, and longest target of a link, that Linux takes.
const MAX_PATH: usize = 4096;

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Files, links, directories and submodules.
    pub(super) entries: u64,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Submodules, which are not fetched.
    pub(super) submodules: u64,
}

/// The commit that an object is or, as a tag, leads to, and its tree.
pub(super) fn of_commit(repo: &gix::Repository, found: ObjectId) -> Result<(ObjectId, ObjectId), GitError> {
    let object = repo.find_object(found).map_err(GitError::Object)?;
    let peeled = object.peel_to_kind(gix::object::Kind::Commit);
    let commit = peeled
        .map_err(|_| GitError::NotACommit {
            what: found.to_string(),
        })?
        .into_commit();
    let tree = commit.tree_id().map_err(GitError::Object)?.detach();
    Ok((commit.id, tree))
}

/// Walks the tree. A directory that is named often counts as often: a few objects can stand for more files than
/// any disk can hold.
pub(super) fn survey(repo: &gix::Repository, tree: ObjectId, limits: Limits) -> Result<Survey, GitError> {
    let mut survey = Survey::default();
    let mut open = vec![(BString::default(), tree)];
    while let Some((directory, tree)) = open.pop() {
        let tree = repo.find_tree(tree).map_err(GitError::Object)?;
        let mut names = HashSet::new();
        for entry in tree.iter() {
            let entry = entry.map_err(|source| GitError::Object(gix::Error::from_error(source)))?;
            let (name, kind) = (entry.filename().to_owned(), entry.mode().kind());
            let path = check_name(&directory, &name, kind, &mut names)?;
            survey.entries += 1;
            match kind {
                EntryKind::Tree => open.push((path, entry.oid().to_owned())),
                EntryKind::Commit => survey.submodules += 1,
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    let size = repo.find_header(entry.oid()).map_err(GitError::Object)?.size();
                    if kind == EntryKind::Link && size >= MAX_PATH as u64 {
                        return Err(refuse(&path, "a link whose target is too long"));
                    }
                    survey.bytes = survey.bytes.saturating_add(size);
                }
            }
            if survey.entries > limits.entries {
                return Err(GitError::TooLarge {
                    what: "files and directories",
                    limit: limits.entries,
                });
            }
            if survey.bytes > limits.files {
                return Err(GitError::TooLarge {
                    what: "bytes of files",
                    limit: limits.files,
                });
            }
        }
    }
    Ok(survey)
}

fn check_name(
    directory: &BString,
    name: &BString,
    kind: EntryKind,
    names: &mut HashSet<BString>,
) -> Result<BString, GitError> {
    let mut path = directory.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    // Windows' own rules would keep out names that are common elsewhere; the rest of the protections is on.
    let rules = component::Options {
        protect_windows: false,
        ..component::Options::default()
    };
    let mode = (kind == EntryKind::Link).then_some(component::Mode::Symlink);
    gix::validate::path::component(name.as_bstr(), mode, rules).map_err(|error| refuse(&path, &error.to_string()))?;
    if name.contains(&0) {
        return Err(refuse(&path, "a name with a NUL"));
    }
    if path.len() >= MAX_PATH {
        return Err(refuse(&path, "a path that is too long"));
    }
    // Git sorts a file and a directory of one name apart; a link and a directory of one name would be a way out.
    if !names.insert(name.clone()) {
        return Err(refuse(&path, "a name that stands twice"));
    }
    Ok(path)
}

fn refuse(path: &BString, problem: &str) -> GitError {
    GitError::Tree {
        path: path.to_string().chars().take(256).collect(),
        problem: problem.to_owned(),
    }
}
