//! Git repositories for tests, made and served by the real Git.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::prepare::test_server::{Answer, Asked};

/// A repository in a directory that is served.
pub(in crate::prepare) struct Repository {
    root: tempfile::TempDir,
    name: String,
}

impl Repository {
    /// An empty one, served as `/<name>`.
    pub(in crate::prepare) fn new(name: &str) -> Self {
        Self::with_format(name, "sha1")
    }

    pub(in crate::prepare) fn with_format(name: &str, format: &str) -> Self {
        let repository = Self {
            root: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
        };
        let format = format!("--object-format={format}");
        repository.run(&["init", "--quiet", "--initial-branch=main", &format, "."], b"");
        repository
    }

    pub(in crate::prepare) fn root(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    fn directory(&self) -> PathBuf {
        let directory = self.root.path().join(&self.name);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// Runs Git in it, and returns what it says.
    pub(in crate::prepare) fn run(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = run(git().current_dir(self.directory()).args(arguments), input);
        String::from_utf8(output).unwrap().trim().to_owned()
    }

    /// Path in the work tree.
    pub(in crate::prepare) fn path(&self, path: &str) -> PathBuf {
        let path = self.directory().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Commits all that lies in the work tree. Returns the commit.
    pub(in crate::prepare) fn commit(&self) -> String {
        self.run(&["add", "--all"], b"");
        self.run(&["commit", "--quiet", "--allow-empty", "--message=x"], b"");
        self.run(&["rev-parse", "HEAD"], b"")
    }

    /// Writes a file and commits.
    pub(in crate::prepare) fn commit_file(&self, path: &str, content: &str) -> String {
        std::fs::write(self.path(path), content).unwrap();
        self.commit()
    }

    /// Makes a tree of raw entries (mode, name, id), whatever they are.
    pub(in crate::prepare) fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend(format!("{mode} {name}\0").bytes());
            bytes.extend(
                (0..id.len() / 2).map(|at| u8::from_str_radix(id.get(at * 2..at * 2 + 2).unwrap(), 16).unwrap()),
            );
        }
        self.run(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &bytes)
    }

    pub(in crate::prepare) fn blob(&self, content: &[u8]) -> String {
        self.run(&["hash-object", "-w", "--stdin"], content)
    }

    /// Makes a commit of a tree and lets the branch `main` name it.
    pub(in crate::prepare) fn commit_tree(&self, tree: &str) -> String {
        let commit = self.run(&["commit-tree", "-m", "x", tree], b"");
        self.run(&["update-ref", "refs/heads/main", &commit], b"");
        commit
    }
}

/// Answers as a Git server does. `version2`: whether it speaks the protocol's version 2.
pub(in crate::prepare) fn serve(root: &Path, asked: &Asked, version2: bool) -> Answer {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut command = git();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("CONTENT_TYPE", asked.header("content-type").unwrap_or_default())
        .env(
            "HTTP_CONTENT_ENCODING",
            asked.header("content-encoding").unwrap_or_default(),
        );
    if let Some(version) = asked.header("git-protocol").filter(|_| version2) {
        command.env("GIT_PROTOCOL", version);
    }
    // It fails where it tells the client of an error.
    let (output, _) = output(&mut command, &asked.body);
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let mut answer = Answer::status(200).body(&output[end + 4..]);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(':').unwrap();
        match name {
            "Status" => answer.status = value.split_whitespace().next().unwrap().parse().unwrap(),
            _ => answer = answer.header(name, value.trim()),
        }
    }
    answer
}

fn git() -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let (output, error) = output(command, input);
    assert_eq!(error, None, "{command:?}");
    output
}

fn output(command: &mut Command, input: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let error = (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned());
    (output.stdout, error)
}
