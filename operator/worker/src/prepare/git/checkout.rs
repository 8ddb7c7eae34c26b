//! Lays a tree out as files: attributes of the repository count (line ends, encodings), programs do not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix::ObjectId;
use gix::utils::progress::Discard;
use gix::worktree::stack::state::attributes;

use super::error::GitError;

/// Writes the files of `tree` into `workspace`, where nothing but the repository lies. Links come last, so none is written through.
pub(super) fn checkout(repo: &gix::Repository, tree: ObjectId, workspace: &Path) -> Result<(), GitError> {
    let mut options = repo
        .checkout_options(attributes::Source::IdMapping)
        .map_err(GitError::Object)?;
    let index = gix::index::State::from_tree(&tree, &repo.objects, options.validate)
        .map_err(|source| GitError::Object(gix::Error::from_error(source)))?;
    let mut index = gix::index::File::from_state(index, repo.index_path());
    options.destination_is_initially_empty = true;
    options.overwrite_existing = false;
    options.keep_going = false;
    let objects = repo.objects.clone().into_arc().map_err(GitError::Disk)?;
    let stop = AtomicBool::new(false);
    let outcome = gix::worktree::state::checkout(&mut index, workspace, objects, &Discard, &Discard, &stop, options)
        .map_err(GitError::Object)?;
    let collision = outcome.collisions.first().map(|collision| collision.path.to_string());
    let error = outcome.errors.first().map(|error| error.path.to_string());
    match collision.or(error) {
        Some(path) => Err(GitError::File(path.chars().take(256).collect())),
        None => Ok(()),
    }
}

/// Sets the modes that a checkout has with the usual umask, whatever ours is: 0755 for directories and programs, 0644
/// for other files. Links are left alone and not followed.
pub(super) fn set_modes(directory: &Path) -> Result<(), GitError> {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(GitError::Disk)? {
            let entry = entry.map_err(GitError::Disk)?;
            let metadata = entry.metadata().map_err(GitError::Disk)?;
            let mode = match metadata.file_type() {
                kind if kind.is_dir() => 0o755,
                kind if kind.is_file() && metadata.permissions().mode() & 0o100 != 0 => 0o755,
                kind if kind.is_file() => 0o644,
                _ => continue,
            };
            if metadata.permissions().mode() & 0o7777 != mode {
                fs::set_permissions(entry.path(), Permissions::from_mode(mode)).map_err(GitError::Disk)?;
            }
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}
