//! Passes a log on as it comes and keeps its end.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes of a log's end that are kept.
const KEPT: usize = 64 << 10;

/// The end of a log.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    /// Copies until the end.
    ///
    /// # Errors
    /// What reading and writing can't do.
    pub fn pass_on(&mut self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return to.flush(),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let read = buffer.get(..count).unwrap_or_default();
            to.write_all(read)?;
            self.keep(read);
        }
    }

    /// Appends; what is older than the kept end is forgotten.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..surplus);
    }

    /// Whether the kept end holds this text.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).contains(text)
    }
}

/// The last lines of a file; none where it can't be read.
#[must_use]
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let content = fs::read(path).unwrap_or_default();
    let mut tail = Tail::default();
    tail.keep(&content);
    let bytes: Vec<u8> = tail.bytes.into();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_passed_on_whole_and_its_end_is_kept() {
        let log = vec![b'x'; KEPT].into_iter().chain(*b"the end").collect::<Vec<u8>>();
        let (mut tail, mut copy) = (Tail::default(), Vec::new());
        tail.pass_on(&mut log.as_slice(), &mut copy).unwrap();
        assert_eq!(copy, log);
        assert_eq!(tail.bytes.len(), KEPT);
        assert!(tail.contains("the end"));
    }

    #[test]
    fn the_last_lines_are_the_last() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a\nb\nc\n").unwrap();
        assert_eq!(last_lines(file.path(), 2), ["b", "c"]);
        assert!(last_lines(Path::new("/nowhere/at/all"), 2).is_empty());
    }
}
