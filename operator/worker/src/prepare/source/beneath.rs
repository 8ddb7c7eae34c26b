//! Paths that tenants write, held beneath a root: by their text, and by what they lead to on the disk.

use std::io;
use std::path::{Path, PathBuf};

/// Why a path can't be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum PathError {
    /// Its text leads elsewhere, or nowhere.
    #[error("the path {path:?} is not a plain relative path: {problem}")]
    Text {
        /// As written, cut.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing is there.
    #[error("the source has no {path:?}")]
    NotFound {
        /// As written.
        path: String,
    },
    /// It leads out by a link.
    #[error("the path {path:?} leads out of the source by a symbolic link")]
    Escapes {
        /// As written.
        path: String,
    },
    /// It is a file where a directory is wanted, or the other way round.
    #[error("{path:?} in the source is not a {wanted}")]
    Kind {
        /// As written.
        path: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The disk says no.
    #[error("{path:?} can't be read")]
    Io {
        /// As written.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// `relative` below `root`, component by component. Does not look at the disk.
pub(in crate::prepare) fn join(root: &Path, relative: &str) -> Result<PathBuf, PathError> {
    let refuse = |problem| {
        Err(PathError::Text {
            path: cut(relative),
            problem,
        })
    };
    if relative.contains('\0') {
        return refuse("it has a NUL");
    }
    let mut path = root.to_owned();
    for component in relative.split('/') {
        match component {
            "" => return refuse("it begins or ends with '/', or has '//'"),
            "." | ".." => return refuse("it has '.' or '..'"),
            _ => path.push(component),
        }
    }
    Ok(path)
}

/// The directory at `relative`, links followed and held beneath `root`. Empty for the root itself.
pub(in crate::prepare) fn directory(root: &Path, relative: &str) -> Result<PathBuf, PathError> {
    let found = if relative.is_empty() {
        real(root, root, relative)?
    } else {
        resolve(root, root, relative)?
    };
    wanted(found.is_dir(), relative, "directory").map(|()| found)
}

/// The regular file at `relative` below `directory`, links followed and held beneath `root`.
pub(in crate::prepare) fn file(root: &Path, directory: &Path, relative: &str) -> Result<PathBuf, PathError> {
    let found = resolve(root, directory, relative)?;
    wanted(found.is_file(), relative, "file").map(|()| found)
}

fn resolve(root: &Path, directory: &Path, relative: &str) -> Result<PathBuf, PathError> {
    real(root, &join(directory, relative)?, relative)
}

fn real(root: &Path, path: &Path, shown: &str) -> Result<PathBuf, PathError> {
    let shown = || cut(shown);
    let root = root
        .canonicalize()
        .map_err(|source| PathError::Io { path: shown(), source })?;
    match path.canonicalize() {
        Ok(real) if real.starts_with(&root) => Ok(real),
        Ok(_) => Err(PathError::Escapes { path: shown() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(PathError::NotFound { path: shown() })
        }
        Err(source) => Err(PathError::Io { path: shown(), source }),
    }
}

fn wanted(is: bool, path: &str, wanted: &'static str) -> Result<(), PathError> {
    if is {
        Ok(())
    } else {
        Err(PathError::Kind {
            path: cut(path),
            wanted,
        })
    }
}

fn cut(text: &str) -> String {
    text.chars().take(256).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_relative_paths_are_joined() {
        let root = Path::new("/w");
        assert_eq!(join(root, "a/.b/c-d").unwrap(), Path::new("/w/a/.b/c-d"));
        assert_eq!(join(root, "..a").unwrap(), Path::new("/w/..a"));
        for text in [
            "", "/", "/etc", "a/", "a//b", ".", "..", "../a", "a/..", "a/./b", "a/../b", "a\0b",
        ] {
            assert!(matches!(join(root, text), Err(PathError::Text { .. })), "{text:?}");
        }
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("app/docker")).unwrap();
        std::fs::write(at("app/docker/Dockerfile"), "FROM a").unwrap();
        symlink("docker/Dockerfile", at("app/Dockerfile")).unwrap();
        symlink("app", at("link")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink(outside.path().join("secret"), at("app/secret")).unwrap();
        symlink("../../../../../../../../etc/passwd", at("app/up")).unwrap();
        symlink("loop", at("loop")).unwrap();

        let context = directory(root.path(), "link").unwrap();
        let found = file(root.path(), &context, "Dockerfile").unwrap();
        assert_eq!(found, at("app/docker/Dockerfile").canonicalize().unwrap());
        for (relative, name) in [("out", "secret"), ("app", "secret"), ("app", "up")] {
            let result = directory(root.path(), relative).and_then(|context| file(root.path(), &context, name));
            assert!(
                matches!(result, Err(PathError::Escapes { .. })),
                "{relative}/{name}: {result:?}"
            );
        }
        assert!(directory(root.path(), "loop").is_err());
        assert!(matches!(
            directory(root.path(), "none"),
            Err(PathError::NotFound { .. })
        ));
        assert!(matches!(
            directory(root.path(), "app/Dockerfile/x"),
            Err(PathError::NotFound { .. })
        ));
        assert!(matches!(
            directory(root.path(), "app/Dockerfile"),
            Err(PathError::Kind { .. })
        ));
        assert!(matches!(
            file(root.path(), &at("app"), "docker"),
            Err(PathError::Kind { .. })
        ));
        assert_eq!(directory(root.path(), "").unwrap(), root.path().canonicalize().unwrap());
    }
}
