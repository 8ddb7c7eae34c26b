//! A builder behind our launcher reads, says and ends with what it would without it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use imagefactory_core::step::usage;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const USED: &str = "imagefactory: used 1500 ms of CPU, 2048 bytes of memory at most";

/// A container's root with the files by which the kernel tells what is used.
fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let group = root.path().join("sys/fs/cgroup");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cpu.stat"), "usage_usec 1500000\nuser_usec 1\n").unwrap();
    fs::write(group.join("memory.peak"), "2048\n").unwrap();
    root
}

fn launch(root: &TempDir, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command
        .args(["launch", "/bin/sh", "-c", script, "sh", "--flag=a b", "$HOME"])
        .env("TERMINATION_LOG", root.path().join("message"))
        .env("IMAGEFACTORY_ROOT", root.path());
    command
}

fn output(root: &TempDir, script: &str) -> Output {
    launch(root, script).output().unwrap()
}

fn message(root: &TempDir) -> Option<String> {
    fs::read_to_string(root.path().join("message")).ok()
}

#[test]
fn arguments_output_and_a_good_end_pass_and_what_was_used_is_told() {
    let root = root();
    let output = output(&root, r#"printf '%s|%s\n' "$1" "$2"; echo err >&2"#);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--flag=a b|$HOME\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("err\n{USED}\n"));
    let usage = usage::read(&message(&root).unwrap()).unwrap();
    assert_eq!((usage.cpu_seconds, usage.peak_memory), (2, 2048));
}

#[test]
fn a_bad_end_passes_and_leaves_the_message_to_the_log() {
    let root = root();
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -11 $$", 139)] {
        let output = output(&root, script);
        assert_eq!(output.status.code(), Some(code), "{script}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!("{USED}\n"),
            "{script}"
        );
        assert_eq!(message(&root), None, "{script}");
    }
}

#[test]
fn a_signal_reaches_the_program_and_its_answer_counts() {
    let root = root();
    let script = "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = launch(&root, script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_program_has_the_signals_that_it_would_have_without_us() {
    let root = root();
    // Neither blocked nor ignored: the shell's own view of SIGPIPE, SIGTERM and SIGCHLD.
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let said = String::from_utf8(output(&root, script).stdout).unwrap();
    for line in said.lines() {
        let (_, mask) = line.split_once(':').unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        for signal in [Signal::PIPE, Signal::TERM, Signal::INT, Signal::CHILD] {
            assert_eq!(mask >> (signal.as_raw() - 1) & 1, 0, "{signal:?} in {line}");
        }
    }
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_program_that_is_not_there_ends_as_a_shell_says_it() {
    let root = root();
    for arguments in [vec!["launch", "/no/such/program"], vec!["launch"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_worker"))
            .args(&arguments)
            .env("IMAGEFACTORY_ROOT", root.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(127), "{arguments:?}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .starts_with("imagefactory: the builder can't be run")
        );
    }
}

#[test]
fn where_the_kernel_tells_nothing_nothing_is_told() {
    let root = tempfile::tempdir().unwrap();
    let output = output(&root, "true");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert_eq!(message(&root), None);
}
