//! Git repositories for tests, made with the git program and pushed to the cluster's Git server.

pub mod server;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::cluster::unique;
use crate::environment::Environment;

/// A repository on this machine that is pushed to the Git server.
pub struct GitRepository {
    folder: TempDir,
    push_url: String,
    /// Path on the server.
    pub path: String,
}

impl GitRepository {
    /// An empty one. `folder` is where it comes to lie on the server: empty, or as in `private/`.
    ///
    /// # Panics
    /// Where git is not there.
    #[must_use]
    pub fn create(environment: &Environment, folder: &str) -> Self {
        let path = format!("{folder}{}", unique("repository"));
        let push_url = format!("{}/{path}", environment.get("GIT_PUSH_URL"));
        let repository = Self {
            folder: tempfile::tempdir().expect("a folder"),
            push_url,
            path,
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Writes files, commits them, and gives the commit.
    ///
    /// # Panics
    /// Where git does not want to.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let file = self.folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).expect("making a folder");
            std::fs::write(file, content).expect("writing a file");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a test"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Names the present commit.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", "--annotate", "--message", "a test", name]);
    }

    /// Begins a branch at the present commit and goes there.
    pub fn branch(&self, name: &str) {
        self.git(&["checkout", "--quiet", "-b", name]);
    }

    /// Sends branches and tags to the server.
    pub fn push(&self) {
        self.git(&["push", "--quiet", &self.push_url, "--all"]);
        self.git(&["push", "--quiet", &self.push_url, "--tags"]);
    }

    /// Where it is served, below one of the server's URLs.
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        format!("{base}/{}", self.path)
    }

    fn clone_bare(&self, to: &Path) {
        self.git(&["clone", "--quiet", "--bare", ".", &to.to_string_lossy()]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args([
                "-c",
                "user.name=Tests",
                "-c",
                "user.email=tests@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .expect("running git");
        // Not the arguments: the URL to push to holds a password.
        assert!(
            output.status.success(),
            "git {}: {}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
