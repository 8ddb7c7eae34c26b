//! Where the daemon and its client keep things: all below the state directory, so that the container's own file system
//! stays read-only.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use imagefactory_core::step::buildkit::BuildkitStep;

use crate::check::Refusal;
use crate::config;
use crate::error::{LaunchError, file};

/// The state directory of one build.
#[derive(Clone, Debug)]
pub struct Workdir {
    root: PathBuf,
}

impl Workdir {
    /// The state directory at this place.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/buildkitd.sock")
    }

    /// Home of programs.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Runtime directory of programs.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Temporary files.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// What the daemon keeps: snapshots and content.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("buildkit")
    }

    /// A directory with nothing but the Dockerfile and its ignore file: a frontend image may read all of it.
    #[must_use]
    pub fn dockerfile_dir(&self) -> PathBuf {
        self.root.join("dockerfile")
    }

    /// The daemon's configuration.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.root.join("buildkitd.toml")
    }

    /// The daemon's log. It is shown where the daemon fails; in a build's log it is noise.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("buildkitd.log")
    }

    /// Makes directories, configuration and the Dockerfile's place.
    ///
    /// # Errors
    /// What can't be written, and a context that is not where it says.
    pub fn prepare(&self, step: &BuildkitStep) -> Result<(), LaunchError> {
        for directory in [
            self.run(),
            self.temporary(),
            self.home(),
            self.data(),
            self.dockerfile_dir(),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(file("making", &directory))?;
        }
        let configuration = config::daemon_configuration(step, self)?;
        let path = self.configuration();
        fs::write(&path, configuration).map_err(file("writing", &path))?;
        self.place_dockerfile(Path::new(&step.dockerfile))?;
        real_directory(Path::new(&step.context))
    }

    fn place_dockerfile(&self, from: &Path) -> Result<(), LaunchError> {
        let to = self.dockerfile_dir().join("Dockerfile");
        fs::copy(from, &to).map_err(file("copying", from))?;
        let mut ignore = OsString::from(from);
        ignore.push(".dockerignore");
        if Path::new(&ignore).is_file() {
            let to = self.dockerfile_dir().join("Dockerfile.dockerignore");
            fs::copy(&ignore, &to).map_err(file("copying", Path::new(&ignore)))?;
        }
        Ok(())
    }
}

/// A link in the path of the context could name any directory of the container as the context.
fn real_directory(context: &Path) -> Result<(), LaunchError> {
    let real = fs::canonicalize(context).map_err(file("looking for", context))?;
    let plain: PathBuf = context.components().collect();
    if real == plain && real.is_dir() {
        Ok(())
    } else {
        Err(LaunchError::Refused(Refusal::Path("context")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(root: &Path) -> BuildkitStep {
        fs::create_dir_all(root.join("context")).unwrap();
        fs::write(root.join("Dockerfile"), "FROM scratch\n").unwrap();
        BuildkitStep {
            context: root.join("context").display().to_string(),
            dockerfile: root.join("Dockerfile").display().to_string(),
            state: root.join("state").display().to_string(),
            ..BuildkitStep::default()
        }
    }

    #[test]
    fn the_frontend_sees_the_dockerfile_and_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let step = step(root.path());
        fs::write(root.path().join("Dockerfile.dockerignore"), "a\n").unwrap();
        fs::write(root.path().join("credentials"), "secret").unwrap();
        let workdir = Workdir::new(&step.state);
        workdir.prepare(&step).unwrap();
        let mut names: Vec<_> = fs::read_dir(workdir.dockerfile_dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["Dockerfile", "Dockerfile.dockerignore"]);
    }

    #[test]
    fn a_context_behind_a_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut step = step(root.path());
        std::os::unix::fs::symlink("/etc", root.path().join("context/link")).unwrap();
        step.context = root.path().join("context/link").display().to_string();
        let result = Workdir::new(&step.state).prepare(&step);
        assert!(matches!(result, Err(LaunchError::Refused(Refusal::Path("context")))));
    }
}
