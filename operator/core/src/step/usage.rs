//! What the container that builds used: a line at the end of its log, and of its termination message where it ended well.
//!
//! Our launcher in that container writes it and tenant code there could forge it, so it is read strictly, bounded, and
//! only ever shown (docs/decisions/0020). Where the container failed the message stays empty, since the kubelet then puts
//! the end of the log in its place, which tells what failed, and ends with the same line.

use imagefactory_crds::build::Usage;

/// Where the kernel tells of a container's own control group. The root of all has no peak in version 2: where that is what
/// is seen, nothing is told.
const CPU: &str = "/sys/fs/cgroup/cpu.stat";
const PEAK: &str = "/sys/fs/cgroup/memory.peak";
/// The same on nodes with control groups of version 1, of which a container sees its own alone; the first in nanoseconds.
const CPU_V1: &str = "/sys/fs/cgroup/cpuacct/cpuacct.usage";
const PEAK_V1: &str = "/sys/fs/cgroup/memory/memory.max_usage_in_bytes";

const BEGIN: &str = "imagefactory: used ";
const MIDDLE: &str = " ms of CPU, ";
const END: &str = " bytes of memory at most";
/// More than a machine has for a year: what is above is no measure.
const MOST_CPU: u64 = 1 << 44;
const MOST_MEMORY: u64 = 1 << 50;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    cpu_milliseconds: u64,
    peak_memory: u64,
}

/// Asks the kernel, by a function that reads a file.
#[must_use]
pub fn measure(read: impl Fn(&str) -> Option<String>) -> Option<Measured> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let of = |cpu_milliseconds, peak| {
        Some(Measured {
            cpu_milliseconds,
            peak_memory: number(&read(peak)?)?,
        })
    };
    if let Some(nanoseconds) = read(CPU_V1) {
        return of(number(&nanoseconds)? / 1_000_000, PEAK_V1);
    }
    let stat = read(CPU)?;
    let microseconds = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    of(number(microseconds)? / 1000, PEAK)
}

impl Measured {
    /// The line that tells it, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{BEGIN}{}{MIDDLE}{}{END}", self.cpu_milliseconds, self.peak_memory)
    }

    fn parse(line: &str) -> Option<Self> {
        let (cpu, memory) = line.strip_prefix(BEGIN)?.strip_suffix(END)?.split_once(MIDDLE)?;
        let number = |text: &str, most: u64| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_plain && *number <= most)
        };
        Some(Self {
            cpu_milliseconds: number(cpu, MOST_CPU)?,
            peak_memory: number(memory, MOST_MEMORY)?,
        })
    }

    fn to_status(self) -> Usage {
        Usage {
            cpu_seconds: u32::try_from(self.cpu_milliseconds.div_ceil(1000)).unwrap_or(u32::MAX),
            peak_memory: i64::try_from(self.peak_memory).unwrap_or(i64::MAX),
        }
    }
}

/// What the builder's termination message, or the end of its log, says was used; the last word counts.
#[must_use]
pub fn read(message: &str) -> Option<Usage> {
    message.lines().rev().find_map(Measured::parse).map(Measured::to_status)
}

/// The message without that word: what the builder itself said.
#[must_use]
pub fn without(message: &str) -> String {
    let kept = |line: &&str| Measured::parse(line.trim_end()).is_none();
    message.split_inclusive('\n').filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(cpu: Option<&str>, peak: Option<&str>) -> Option<Measured> {
        measure(|path| match path {
            CPU => cpu.map(str::to_owned),
            PEAK => peak.map(str::to_owned),
            _ => None,
        })
    }

    #[test]
    fn what_the_kernel_tells_reaches_status() {
        let stat = "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n";
        let line = files(Some(stat), Some("1073741824\n")).unwrap().line();
        assert_eq!(
            line,
            "imagefactory: used 1234 ms of CPU, 1073741824 bytes of memory at most"
        );
        let usage = Usage {
            cpu_seconds: 2,
            peak_memory: 1 << 30,
        };
        assert_eq!(read(&line), Some(usage));
        assert_eq!(read(&format!("error: no such file\n{line}\nlate words\n")), Some(usage));
    }

    #[test]
    fn control_groups_of_version_1_tell_the_same() {
        let of_v1 = |path: &str| match path {
            CPU_V1 => Some("1234567890\n".to_owned()),
            PEAK_V1 => Some("2048\n".to_owned()),
            _ => None,
        };
        let expected = "imagefactory: used 1234 ms of CPU, 2048 bytes of memory at most";
        assert_eq!(measure(of_v1).unwrap().line(), expected);
        assert_eq!(measure(|path| of_v1(path).filter(|_| path == CPU_V1)), None);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_not_told() {
        assert_eq!(files(None, Some("1")), None);
        assert_eq!(files(Some("usage_usec 1\n"), None), None, "as in the root of all");
        assert_eq!(files(Some("user_usec 1\n"), Some("1")), None);
        assert_eq!(files(Some("usage_usec x\n"), Some("max")), None);
    }

    #[test]
    fn what_is_no_measure_is_none() {
        for text in [
            "",
            "used 1 ms of CPU, 2 bytes of memory at most",
            "imagefactory: used -1 ms of CPU, 2 bytes of memory at most",
            "imagefactory: used +1 ms of CPU, 2 bytes of memory at most",
            "imagefactory: used 1.5 ms of CPU, 2 bytes of memory at most",
            "imagefactory: used 1 ms of CPU, 2 bytes of memory at most, and more",
            "imagefactory: used  ms of CPU, 2 bytes of memory at most",
            "imagefactory: used 99999999999999999999 ms of CPU, 2 bytes of memory at most",
            "imagefactory: used 1 ms of CPU, 9999999999999999999 bytes of memory at most",
        ] {
            assert_eq!(read(text), None, "{text}");
            assert_eq!(without(text), text);
        }
    }

    #[test]
    fn the_log_is_shown_without_the_line() {
        let line = "imagefactory: used 1 ms of CPU, 2 bytes of memory at most";
        assert_eq!(without(&format!("boom\n{line}\nbang")), "boom\nbang");
        assert_eq!(without(&format!("boom\r\n{line}\n")), "boom\r\n");
        assert_eq!(without(line), "");
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_harm(message in ".{0,200}(\nimagefactory: used [0-9]{1,25} ms of CPU, [0-9]{1,25} bytes of memory at most)?") {
            if let Some(usage) = read(&message) {
                prop_assert!(usage.peak_memory >= 0);
            }
            prop_assert_eq!(read(&without(&message)), None);
        }

        #[test]
        fn what_is_written_is_read(cpu in 0..MOST_CPU, memory in 0..MOST_MEMORY) {
            let measured = Measured { cpu_milliseconds: cpu, peak_memory: memory };
            prop_assert_eq!(Measured::parse(&measured.line()), Some(measured));
        }
    }
}
