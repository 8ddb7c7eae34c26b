//! What a directory holds that hostile code wrote, walked without following links.

use std::fs::Metadata;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags};

use super::{OpenError, Root, failed, open_at};

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) folder: bool,
}

impl Root {
    /// The files and directories of a directory, by the plain names that lead to it; none of both are links. What has
    /// no name in UTF-8 or is of another kind is left out. At most `limit`, else an error.
    pub(crate) fn entries(&self, names: &[&str], limit: usize) -> Result<Vec<Name>, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder: OwnedFd =
            rustix::fs::openat(&self.0, ".", flags, Mode::empty()).map_err(|errno| failed(names, errno))?;
        for name in names {
            folder = open_at(folder.as_fd(), name, flags).map_err(|errno| failed(names, errno))?;
        }
        let mut found = Vec::new();
        for entry in Dir::new(folder).map_err(|errno| failed(names, errno))? {
            let entry = entry.map_err(|errno| failed(names, errno))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let folder = match entry.file_type() {
                _ if matches!(name, "." | "..") => continue,
                FileType::Directory => true,
                FileType::RegularFile => false,
                _ => continue,
            };
            if found.len() == limit {
                return Err(failed(names, rustix::io::Errno::TOOBIG));
            }
            found.push(Name {
                name: name.to_owned(),
                folder,
            });
        }
        found.sort();
        Ok(found)
    }
}

impl super::Opened {
    /// When it was last written, in seconds; what its writer said.
    pub(crate) fn modified(&self) -> i64 {
        use std::os::unix::fs::MetadataExt as _;
        self.file.metadata().as_ref().map_or(0, Metadata::mtime)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    #[test]
    fn links_and_what_is_no_file_are_not_listed_and_not_gone_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("k:1/blobs")).unwrap();
        std::fs::write(at("k:1/index.json"), "{}").unwrap();
        std::fs::write(at("file"), "").unwrap();
        symlink("/etc", at("etc")).unwrap();
        symlink("file", at("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::from(0o600)).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let names = |names: &[&str]| {
            let found = root.entries(names, 100).unwrap();
            found
                .into_iter()
                .map(|entry| (entry.name, entry.folder))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), [("file".to_owned(), false), ("k:1".to_owned(), true)]);
        assert_eq!(
            names(&["k:1"]),
            [("blobs".to_owned(), true), ("index.json".to_owned(), false)]
        );
        for names in [vec!["etc"], vec![".."], vec!["file"], vec!["none"]] {
            assert!(root.entries(&names, 100).is_err(), "{names:?}");
        }
        assert!(root.entries(&[], 1).is_err(), "more than the limit");
        assert!(Root::open(Path::new("/no/such/folder")).is_err());
    }
}
