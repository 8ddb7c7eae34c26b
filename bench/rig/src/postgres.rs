//! A real PostgreSQL on a directory of its own, reached by its socket alone. It waits for the disk, as an operated one does.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::error::{BenchError, Result, Trying};
use crate::process::Process;
use crate::setup::until;

/// Where Debian puts its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The server refuses root.
const NOBODY: u32 = 65534;

/// A server.
pub struct Postgres {
    // Before its directory is.
    process: Process,
    folder: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// Starts it; none where no server is installed.
    ///
    /// # Errors
    /// When it is there and does not start.
    pub async fn start() -> Result<Option<Self>> {
        let programs = std::env::var_os("IMAGEFACTORY_POSTGRES").map_or_else(|| PathBuf::from(PROGRAMS), PathBuf::from);
        if !programs.join("initdb").is_file() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new()
            .prefix("if-bench-pg-")
            .tempdir_in("/tmp")
            .trying("no folder")?;
        let (path, data) = (folder.path(), folder.path().join("data"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).trying("could not prepare a folder")?;
        std::fs::create_dir(&data).trying("could not make a folder")?;
        if is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).trying("could not give a folder away")?;
            chown(path, Some(NOBODY), Some(NOBODY)).trying("could not give a folder away")?;
        }
        let mut make = nobody(&programs.join("initdb"));
        make.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        done(make.arg(&data))?;
        let process = serve(&programs, path).await?;
        Ok(Some(Self {
            process,
            folder,
            programs,
        }))
    }

    /// Ends it as it ends where its node does: nothing is written any more, and nobody is told.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut stop = nobody(&self.programs.join("pg_ctl"));
        done(
            stop.args(["stop", "--mode=immediate", "-D"])
                .arg(self.folder.path().join("data")),
        )?;
        self.process.kill();
        Ok(())
    }

    /// Starts it again, with what it had on its disk.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = serve(&self.programs, self.folder.path()).await?;
        Ok(())
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.folder.path().display()
        )
    }
}

async fn serve(programs: &Path, folder: &Path) -> Result<Process> {
    let mut command = nobody(&programs.join("postgres"));
    command
        .args(["-c", "listen_addresses=", "-k"])
        .arg(folder)
        .arg("-D")
        .arg(folder.join("data"));
    let process = Process::start("postgres", folder, &mut command)?;
    let socket = folder.display().to_string();
    until("PostgreSQL", async || {
        let asked = Command::new(programs.join("pg_isready"))
            .args(["-q", "-h", &socket])
            .status();
        Ok(asked.trying("could not run pg_isready")?.success())
    })
    .await?;
    Ok(process)
}

/// Runs a program to its end.
fn done(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .trying(format!("could not run {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Wrong(String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
