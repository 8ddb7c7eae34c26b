//! kubectl, for what is about people's view, and for tidying up where nothing can be awaited.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::environment::Environment;

/// kubectl, bound to the cluster of this checkout.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: std::path::PathBuf,
    kubeconfig: String,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it ended well.
    pub ok: bool,
    /// What it wrote for programs.
    pub stdout: String,
    /// What it wrote for people.
    pub stderr: String,
}

impl Answer {
    /// Its output, where it ended well.
    ///
    /// # Panics
    /// Where it did not.
    #[must_use]
    pub fn expect_ok(self) -> String {
        assert!(self.ok, "the command failed: {}{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl Kubectl {
    /// The one that came with the cluster.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        Self {
            program: environment.tool("kubectl"),
            kubeconfig: environment.get("KUBECONFIG").to_owned(),
        }
    }

    /// Runs a command.
    ///
    /// # Panics
    /// Where kubectl is not there.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, "")
    }

    /// Runs a command with something on its standard input.
    ///
    /// # Panics
    /// Where kubectl is not there.
    #[must_use]
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("running kubectl");
        // A command that does not read it closes the pipe; that is its right.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("waiting for kubectl");
        Answer {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
