//! A pod for tests of fetches, and servers for it.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::test_repository::{Repository, serve};
use super::{GitError, Limits, Request, fetch};
use crate::ca::Roots;
use crate::places::Places;
use crate::prepare::test_server::{Answer, Asked, Server, Tls};

/// What a fetch is given in a test.
pub(super) struct Pod {
    root: tempfile::TempDir,
    pub(super) roots: Roots,
    pub(super) limits: Limits,
}

impl Pod {
    pub(super) fn new(tls: Option<&Tls>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        let path = places.path("/ca/build");
        std::fs::create_dir_all(&path).unwrap();
        if let Some(tls) = tls {
            std::fs::write(path.join("ca.crt"), &tls.authority).unwrap();
        }
        std::fs::create_dir(root.path().join("workspace")).unwrap();
        Self {
            roots: Roots::collect(&places, true).unwrap(),
            root,
            limits: Limits::default(),
        }
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.root.path().join("workspace")
    }

    pub(super) fn fetch(&self, url: &str, revision: Option<&str>) -> Result<String, GitError> {
        crate::disk::empty(&self.workspace()).unwrap();
        let credentials = self.root.path().join("credentials");
        let credentials = credentials.is_dir().then_some(credentials);
        let request = Request {
            url,
            revision,
            credentials: credentials.as_deref(),
            roots: &self.roots,
            limits: self.limits,
            first_wait: Duration::ZERO,
        };
        fetch(&request, &self.workspace())
    }

    pub(super) fn with_credentials(self, username: &str, password: &str) -> Self {
        let directory = self.root.path().join("credentials");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("username"), username).unwrap();
        std::fs::write(directory.join("password"), password).unwrap();
        self
    }

    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.workspace().join(path)).unwrap()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.workspace()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(super) fn plain(repository: &Repository) -> Server {
    let root = repository.root();
    Server::start(None, move |asked| serve(&root, asked, true))
}

/// Serves those alone who have the password.
pub(super) fn guarded(root: &std::path::Path, asked: &Asked) -> Answer {
    let right = format!("Basic {}", STANDARD.encode("me:secret"));
    match asked.header("authorization") {
        Some(given) if given == right => serve(root, asked, true),
        _ => Answer::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    }
}

pub(super) fn reason(result: &Result<String, GitError>) -> &'static str {
    result.as_ref().unwrap_err().reason()
}
