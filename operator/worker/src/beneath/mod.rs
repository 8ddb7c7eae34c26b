//! Opens files of a directory that hostile code wrote. Every path is a fixed list of plain names, opened one after
//! the other without following links, so that nothing outside the directory can be named. This needs no newer
//! system call than `openat`, and so holds in every sandbox.

mod list;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// A directory that files are opened beneath.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Missing, a link, or unreadable.
    #[error("{path} can't be opened as a plain file")]
    Open {
        /// Path in the directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A pipe, a device, a directory.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// Path in the directory.
        path: String,
    },
    /// Larger than it may be.
    #[error("{path} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Path in the directory.
        path: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

/// A regular file and its size when it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) size: u64,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map(Self)
            .map_err(|errno| failed(&[&path.display().to_string()], errno))
    }

    /// Opens a regular file by the plain names that lead to it.
    pub(crate) fn file(&self, names: &[&str]) -> Result<Opened, OpenError> {
        let (last, folders) = names
            .split_last()
            .ok_or_else(|| failed(names, rustix::io::Errno::INVAL))?;
        let mut folder: Option<OwnedFd> = None;
        for name in folders {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = open_at(folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd), name, flags);
            folder = Some(next.map_err(|errno| failed(names, errno))?);
        }
        // A pipe without a writer would hold us up for ever without NONBLOCK; of regular files it changes nothing.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = open_at(folder.as_ref().map_or(self.0.as_fd(), AsFd::as_fd), last, flags);
        let opened = opened.map_err(|errno| failed(names, errno))?;
        let stat = rustix::fs::fstat(&opened).map_err(|errno| failed(names, errno))?;
        // More than one hard link is no harm: links don't cross mounts, so each name lies in the layout too.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(OpenError::NotRegular { path: names.join("/") });
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        Ok(Opened {
            file: File::from(opened),
            size,
        })
    }

    /// Reads a whole file of at most `limit` bytes, also if it grows meanwhile.
    pub(crate) fn read(&self, names: &[&str], limit: u64) -> Result<Vec<u8>, OpenError> {
        let Opened { file, size } = self.file(names)?;
        let too_large = |size| OpenError::TooLarge {
            path: names.join("/"),
            size,
            limit,
        };
        if size > limit {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|source| OpenError::Open {
            path: names.join("/"),
            source,
        })?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }
}

fn open_at(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    // The names are ours; this holds should that ever change.
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(rustix::io::Errno::INVAL);
    }
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

fn failed(names: &[&str], errno: rustix::io::Errno) -> OpenError {
    OpenError::Open {
        path: names.join("/"),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn a_plain_file_is_read() {
        let (folder, root) = root();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/c"), "text").unwrap();
        std::fs::hard_link(folder.path().join("a/b/c"), folder.path().join("a/d")).unwrap();
        assert_eq!(root.read(&["a", "b", "c"], 4).unwrap(), b"text");
        assert_eq!(root.read(&["a", "d"], 4).unwrap(), b"text");
        assert!(matches!(
            root.read(&["a", "b", "c"], 3),
            Err(OpenError::TooLarge { size: 4, .. })
        ));
    }

    #[test]
    fn no_link_is_followed_on_the_whole_way() {
        let (folder, root) = root();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::fs::write(folder.path().join("real/secret"), "inside").unwrap();
        symlink(outside.path().join("secret"), folder.path().join("last")).unwrap();
        symlink(outside.path(), folder.path().join("folder")).unwrap();
        symlink("real", folder.path().join("inner")).unwrap();
        symlink("/proc/self/root", folder.path().join("magic")).unwrap();
        for names in [
            vec!["last"],
            vec!["folder", "secret"],
            vec!["inner", "secret"],
            vec!["magic", "etc", "passwd"],
        ] {
            assert!(matches!(root.file(&names), Err(OpenError::Open { .. })), "{names:?}");
        }
        assert!(Root::open(&folder.path().join("folder")).is_err());
    }

    #[test]
    fn names_that_are_not_plain_are_not_opened() {
        let (folder, root) = root();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for names in [
            vec![".."],
            vec!["..", "file"],
            vec!["."],
            vec![""],
            vec!["/etc/passwd"],
            vec!["./file"],
            vec![],
            vec!["a\0b"],
        ] {
            assert!(root.file(&names).is_err(), "{names:?}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_holds_nothing_up() {
        let (folder, root) = root();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), Mode::from(0o600)).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        for name in ["pipe", "folder"] {
            assert!(
                matches!(root.file(&[name]), Err(OpenError::NotRegular { .. })),
                "{name}"
            );
        }
        assert!(root.file(&["socket"]).is_err());
    }
}
