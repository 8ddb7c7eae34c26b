//! Processes of this machine: servers of the native cluster, and the operator's own, as signals reach them. Whatever a
//! test does to one is undone when what it was given goes, also where the test fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::Cluster;

/// A process, told from a later one of its number by when it began.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    began: String,
}

impl Process {
    /// The process of that number, if there is one.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            began: began(pid)?,
        })
    }

    /// Whether it still is.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        began(self.pid).is_some_and(|began| began == self.began)
    }

    /// Stops it where it stands (SIGSTOP), until what is given back goes.
    pub fn freeze(&self) -> Frozen {
        self.signal("STOP");
        Frozen(self.clone())
    }

    /// Ends it without a goodbye.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Memory it holds, in bytes; none where it is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        self.is_alive().then_some(kilobytes * 1024)
    }

    fn signal(&self, name: &str) {
        if !self.is_alive() {
            return;
        }
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()) || !self.is_alive() || std::thread::panicking(),
            "process {} did not get SIG{name}",
            self.pid
        );
    }
}

/// A process that stands still. It goes on when this goes.
#[must_use = "the process goes on when this goes"]
pub struct Frozen(Process);

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}

/// A server of the cluster that was killed. It is started again when this goes.
#[must_use = "the server is started again when this goes"]
pub struct Down(Cluster);

impl Drop for Down {
    fn drop(&mut self) {
        let script = self.0.environment.path("hack/cluster/up.sh");
        let output = Command::new(&script).output();
        let done = output.as_ref().is_ok_and(|output| output.status.success());
        assert!(
            done || std::thread::panicking(),
            "{} did not bring the server back: {output:?}",
            script.display()
        );
    }
}

impl Cluster {
    /// A server of the cluster by the name that hack/cluster gives it: `etcd`, `kube-apiserver`, `kubelet`, `registry`.
    ///
    /// # Panics
    /// Where no such process is there, as in a cluster by kind.
    #[must_use]
    pub fn server(&self, name: &str) -> Process {
        let file = self.state_folder().join(format!("run/{name}.pid"));
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("only the native cluster has {}: {error}", file.display()));
        let pid = text.split(' ').next().and_then(|pid| pid.trim().parse().ok());
        let process = pid.and_then(Process::find);
        process.unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Kills a server of the cluster; it comes back when what is given back goes.
    pub fn take_down(&self, name: &str) -> Down {
        self.without(name, Process::kill)
    }

    /// Asks a server of the cluster to end, so that it may take its leave of others; it comes back in the same way.
    pub fn shut_down(&self, name: &str) -> Down {
        self.without(name, Process::terminate)
    }

    fn without(&self, name: &str, end: impl Fn(&Process)) -> Down {
        let server = self.server(name);
        end(&server);
        while server.is_alive() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Down(self.clone())
    }

    /// The operator's process in that pod.
    ///
    /// # Panics
    /// Where none is there.
    #[must_use]
    pub fn operator_process(&self, pod: &str) -> Process {
        let found = processes()
            .find(|pid| is_operator_of(*pid, pod))
            .and_then(Process::find);
        found.unwrap_or_else(|| panic!("no process of {pod} runs on this machine"))
    }

    /// The webhook's processes, one of each pod that has one now.
    #[must_use]
    pub fn webhook_processes(&self) -> Vec<Process> {
        let found = processes().filter(|pid| is_webhook(*pid));
        found.filter_map(Process::find).collect()
    }

    /// Where the native cluster keeps what it runs on.
    ///
    /// # Panics
    /// Where the audit log lies in no folder.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        let log = Path::new(self.environment.get("AUDIT_LOG"));
        let folder = log
            .parent()
            .and_then(Path::parent)
            .expect("the audit log lies in a folder");
        folder.to_owned()
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_operator_of(pid: u32, pod: &str) -> bool {
    let words = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (command, environment) = (words("cmdline"), words("environ"));
    let wanted = format!("HOSTNAME={pod}");
    command.starts_with(b"/operator\0run\0")
        && environment
            .split(|byte| *byte == 0)
            .any(|word| word == wanted.as_bytes())
}

fn is_webhook(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.starts_with(b"/webhook\0--prefix=")
}

/// When the process began, on the kernel's clock.
fn began(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so what comes before its end is not split. A dead one that nobody waited for is none.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_frozen_and_goes_on_and_is_known_to_be_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(child.id()).unwrap();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        let becomes = |wanted: &str| {
            (0..200).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                wanted.contains(state())
            })
        };
        let frozen = process.freeze();
        assert!(becomes("T"));
        drop(frozen);
        assert!(becomes("SR"));
        assert!(process.resident_bytes().is_some_and(|bytes| bytes > 0));
        process.kill();
        child.wait().unwrap();
        assert!(!process.is_alive() && process.resident_bytes().is_none());
    }
}
