//! Emulation of another platform on this machine's kernel, for as long as a test needs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cluster::unique;
use crate::environment::Environment;

/// What arm64's programs begin with, but for what differs between them, as the kernel is told it.
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// An entry of the kernel's list of programs that run others; containers on this machine see it. Gone with the test.
pub struct Emulation {
    list: TempDir,
    entry: PathBuf,
}

impl Emulation {
    /// Has this machine run arm64's programs too.
    ///
    /// # Panics
    /// Where we are not root, the kernel has no `binfmt_misc`, or Debian's QEMU is not to be had.
    #[must_use]
    pub fn of_arm64(environment: &Environment) -> Self {
        let qemu = said(&mut Command::new(environment.path("hack/tools/qemu.sh")));
        let list = tempfile::tempdir().expect("a folder");
        let mount = ["-t", "binfmt_misc", "binfmt_misc"];
        let _ = said(Command::new("mount").args(mount).arg(list.path()));
        let name = unique("imagefactory");
        let entry = list.path().join(&name);
        let emulation = Self { list, entry };
        // F: opened now, and so also there for who does not see the file.
        let line = format!(":{name}:M::{MAGIC}:{MASK}:{}:F", qemu.trim());
        let told = fs::write(emulation.list.path().join("register"), line);
        told.expect("the kernel takes it");
        emulation
    }
}

impl Drop for Emulation {
    fn drop(&mut self) {
        take_away(&self.entry);
        let _ = Command::new("umount").arg(self.list.path()).status();
    }
}

fn take_away(entry: &Path) {
    if entry.exists() {
        let gone = fs::write(entry, "-1");
        // A panic during a panic would end the process and hide the first one.
        assert!(
            gone.is_ok() || std::thread::panicking(),
            "{} stays: {gone:?}",
            entry.display()
        );
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("running a program");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
