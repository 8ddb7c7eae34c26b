//! Sources that are files: those written in the Build, and the keys of a ConfigMap.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use imagefactory_crds::build::InlineFile;

use super::beneath::{self, PathError};
use crate::disk::write_new;

/// A ConfigMap holds at most 1 MiB.
const MAX_CONFIG_FILE: u64 = 2 << 20;
const MAX_CONFIG_FILES: usize = 4096;

/// Why files can't be laid out.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum FilesError {
    /// A path that can't be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Two files of one path, or a file where another needs a directory.
    #[error("the path {path:?} stands for two files, or for a file and a directory")]
    Twice {
        /// As written.
        path: String,
    },
    /// The ConfigMap is not mounted.
    #[error("the ConfigMap is not there")]
    NoConfigMap(#[source] io::Error),
    /// More than a ConfigMap can hold.
    #[error("the ConfigMap holds more than a ConfigMap can hold")]
    TooLarge,
    /// The disk says no.
    #[error("{path:?} can't be written")]
    Write {
        /// As written.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes inline files below `workspace`, which is empty.
pub(super) fn write_inline(files: &[InlineFile], workspace: &Path) -> Result<(), FilesError> {
    for file in files {
        write(workspace, file.path.as_str(), file.content.as_bytes())?;
    }
    Ok(())
}

/// Copies the mounted keys. The mount has `..data` and links into it; what leads out of the mount is not copied.
pub(super) fn copy_config_map(mount: &Path, workspace: &Path) -> Result<(), FilesError> {
    for (copied, entry) in fs::read_dir(mount).map_err(FilesError::NoConfigMap)?.enumerate() {
        let name = entry.map_err(FilesError::NoConfigMap)?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("..") {
            continue;
        }
        let path = beneath::file(mount, mount, &name)?;
        let mut content = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_CONFIG_FILE + 1).read_to_end(&mut content))
            .map_err(|source| PathError::Io {
                path: name.clone(),
                source,
            })?;
        if content.len() as u64 > MAX_CONFIG_FILE || copied > MAX_CONFIG_FILES {
            return Err(FilesError::TooLarge);
        }
        write(workspace, &name, &content)?;
    }
    Ok(())
}

/// Makes a new file, and the directories that it needs. Nothing is followed or written over.
fn write(root: &Path, relative: &str, content: &[u8]) -> Result<(), FilesError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => FilesError::Twice {
            path: relative.to_owned(),
        },
        _ => FilesError::Write {
            path: relative.to_owned(),
            source,
        },
    };
    let path = beneath::join(root, relative)?;
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed)?;
    }
    write_new(&path, content, 0o644).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn inline(path: &str, content: &str) -> InlineFile {
        InlineFile {
            path: path.into(),
            content: content.into(),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn inline_files_are_laid_out_with_plain_modes() {
        let root = tempfile::tempdir().unwrap();
        write_inline(
            &[inline("Dockerfile", "FROM a\n"), inline("app/sub/x.py", "x")],
            root.path(),
        )
        .unwrap();
        assert_eq!(fs::read_to_string(root.path().join("Dockerfile")).unwrap(), "FROM a\n");
        assert_eq!(fs::read_to_string(root.path().join("app/sub/x.py")).unwrap(), "x");
        assert_eq!(mode(&root.path().join("Dockerfile")), 0o644);
        assert_eq!(mode(&root.path().join("app/sub")), 0o755);
    }

    #[test]
    fn inline_files_stay_inside_and_stand_once() {
        for files in [
            vec![inline("../x", "")],
            vec![inline("/x", "")],
            vec![inline("a/../../x", "")],
            vec![inline("a", ""), inline("a", "")],
            vec![inline("a", ""), inline("a/b", "")],
            vec![inline("a/b", ""), inline("a", "")],
        ] {
            let parent = tempfile::tempdir().unwrap();
            let root = parent.path().join("w");
            fs::create_dir(&root).unwrap();
            assert!(write_inline(&files, &root).is_err(), "{files:?}");
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn the_keys_of_a_mounted_config_map_are_copied_as_files() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("..2026_01_01")).unwrap();
        fs::write(mount.path().join("..2026_01_01/Dockerfile"), "FROM a").unwrap();
        symlink("..2026_01_01", mount.path().join("..data")).unwrap();
        symlink("..data/Dockerfile", mount.path().join("Dockerfile")).unwrap();
        let root = tempfile::tempdir().unwrap();
        copy_config_map(mount.path(), root.path()).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("Dockerfile")).unwrap(), "FROM a");
        assert!(fs::symlink_metadata(root.path().join("Dockerfile")).unwrap().is_file());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_config_map_s_link_that_leads_out_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("token"), "t").unwrap();
        let mount = tempfile::tempdir().unwrap();
        symlink(outside.path().join("token"), mount.path().join("token")).unwrap();
        let root = tempfile::tempdir().unwrap();
        let result = copy_config_map(mount.path(), root.path());
        assert!(
            matches!(result, Err(FilesError::Path(PathError::Escapes { .. }))),
            "{result:?}"
        );
        assert!(!root.path().join("token").exists());
        assert!(matches!(
            copy_config_map(&mount.path().join("no"), root.path()),
            Err(FilesError::NoConfigMap(_))
        ));
    }
}
