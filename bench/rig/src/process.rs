//! A process that is measured or that the rest stands on. It ends, hard, when its handle is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::{BenchError, Result, Trying};

/// Ticks of /proc/<pid>/stat in a second, on every Linux that is built with its defaults.
const TICKS: u64 = 100;

/// A running process.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

/// What a process holds of memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its share of what it maps.
    pub pss: u64,
    /// Everything that it maps.
    pub rss: u64,
    /// The most that it ever mapped.
    pub peak: u64,
}

/// Processor time of the threads of a process at one moment.
#[derive(Clone, Debug, Default)]
pub struct Threads(BTreeMap<u32, Duration>);

impl Threads {
    /// What those that are there took since an earlier moment. What a thread took that has ended meanwhile is lost.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let before = |thread| earlier.0.get(thread).copied().unwrap_or_default();
        let spent = self.0.iter().map(|(thread, now)| now.saturating_sub(before(thread)));
        spent.sum()
    }
}

impl Process {
    /// Starts a program; what it says goes to `<dir>/<name>.log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        let path = dir.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .trying(format!("could not open {}", path.display()))?;
        let errors = log.try_clone().trying("could not share a log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .trying(format!("could not start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            log: path,
            child,
        })
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn lives(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(BenchError::Wrong(format!("{} ended: {status}", self.name))),
            Err(source) => Err(source).trying(format!("could not look after {}", self.name)),
        }
    }

    /// The last line of its log, for who has to find out what went wrong.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or_default().chars().take(400).collect()
    }

    /// Ends it as kill -9 does.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Processor time that it took since it began.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let text = self.proc_file("stat")?;
        cpu_of(&text).ok_or_else(|| BenchError::Wrong(format!("/proc/…/stat of {} can't be read", self.name)))
    }

    /// Processor time of each of its threads, by the nanosecond: for what takes less than the ticks that [`Self::cpu`] counts.
    ///
    /// # Errors
    /// When it has ended.
    pub fn threads(&self) -> Result<Threads> {
        let path = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(&path).trying(format!("could not read {path} of {}", self.name))?;
        // A thread may have ended since it was listed.
        let times = tasks.flatten().filter_map(|task| {
            let thread = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let ran = text.split_whitespace().next()?.parse().ok()?;
            Some((thread, Duration::from_nanos(ran)))
        });
        Ok(Threads(times.collect()))
    }

    /// What it holds of memory now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<Memory> {
        let (rollup, status) = (self.proc_file("smaps_rollup")?, self.proc_file("status")?);
        Ok(Memory {
            pss: kib(&rollup, "Pss:"),
            rss: kib(&status, "VmRSS:"),
            peak: kib(&status, "VmHWM:"),
        })
    }

    fn proc_file(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).trying(format!("could not read {path} of {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// User and system time: fields 14 and 15, counted behind the name, which may hold anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

fn kib(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_counted_behind_a_name_that_holds_anything() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of("nonsense"), None);
    }

    #[test]
    fn threads_that_began_count_whole_and_those_that_ended_not_at_all() {
        let of = |times: &[(u32, u64)]| {
            let times = times
                .iter()
                .map(|(thread, time)| (*thread, Duration::from_nanos(*time)));
            Threads(times.collect())
        };
        let spent = of(&[(1, 15), (3, 4)]).since(&of(&[(1, 10), (2, 100)]));
        assert_eq!(spent, Duration::from_nanos(9));
    }

    #[test]
    fn a_process_tells_what_its_threads_took() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let process = Process::start("busy", folder.path(), &mut command).unwrap();
        let before = process.threads().unwrap();
        let began = std::time::Instant::now();
        while process.threads().unwrap().since(&before).is_zero() {
            assert!(began.elapsed() < Duration::from_secs(60), "it spends processor time");
        }
    }

    #[test]
    fn memory_is_read_by_its_key() {
        assert_eq!(kib("Rss:  9 kB\nPss:                1234 kB\n", "Pss:"), 1234);
        assert_eq!(kib("", "Pss:"), 0);
    }
}
