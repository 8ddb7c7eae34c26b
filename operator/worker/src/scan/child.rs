//! A program that a step runs: by a list of arguments, bounded in time, ended with the step, the end of its words kept.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, Command};

/// How much of a program's last words is kept.
const KEPT: usize = 2048;
/// How much of them is told.
const TOLD: usize = 320;
/// How long its last words are waited for after its end: what it started may hold them open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It can't be started.
    #[error("it can't be started")]
    Start(#[source] io::Error),
    /// It ended with a failure.
    #[error("{status}: {words}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        words: String,
    },
    /// It did not end.
    #[error("it did not end within {} s", limit.as_secs())]
    TooLong {
        /// How long it may take.
        limit: Duration,
    },
}

/// Runs a program to its end. It is killed when it takes longer than `limit`, and when this is dropped: a step that is
/// stopped leaves nothing running.
pub(super) async fn run(mut command: Command, limit: Duration) -> Result<(), ChildError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(ChildError::Start)?;
    let words = child.stderr.take().map(|stderr| tokio::spawn(listen(stderr)));
    let Ok(ended) = tokio::time::timeout(limit, child.wait()).await else {
        return Err(ChildError::TooLong { limit });
    };
    let status = ended.map_err(ChildError::Start)?;
    let words = match words {
        Some(task) => tokio::time::timeout(LAST_WORDS, task).await.ok().and_then(Result::ok),
        None => None,
    };
    if status.success() {
        return Ok(());
    }
    Err(ChildError::Failed {
        status,
        words: told(&words.unwrap_or_default()),
    })
}

/// Passes what a program says on to our log, and keeps the end of it.
async fn listen(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = VecDeque::new();
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let piece = buffer.get(..count).unwrap_or_default();
        let _ = io::stderr().write_all(piece);
        kept.extend(piece);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    kept.into()
}

/// The end of what was said, as one line.
fn told(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(TOLD);
    if skipped == 0 {
        return line;
    }
    std::iter::once('…').chain(line.chars().skip(skipped)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_end_of_a_failing_program_s_words_is_told() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; echo 'FATAL\tno such image' >&2; exit 7";
        let told = run(shell(script), Duration::from_secs(60))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            told.starts_with("exit status: 7: …") && told.ends_with("line 2999 FATAL no such image"),
            "{told}"
        );
        assert!(told.chars().count() < 2 * TOLD);
    }

    #[tokio::test]
    async fn a_program_that_is_missing_or_does_not_end_is_an_error() {
        let missing = run(Command::new("/no/such/program"), Duration::from_secs(1)).await;
        assert!(matches!(missing, Err(ChildError::Start(_))));
        let slow = run(shell("sleep 60"), Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(ChildError::TooLong { .. })));
        assert!(run(shell("exit 0"), Duration::from_secs(60)).await.is_ok());
    }
}
