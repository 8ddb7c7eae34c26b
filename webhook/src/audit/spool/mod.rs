//! Events on disk until the intake has them: files of records, the last of which is open for more. A file goes when all of
//! it was delivered; one that was delivered in part before a crash is delivered again, and stored once for its ids.
//!
//! | module | does |
//! |---|---|
//! | [`codec`] | a record as bytes |
//! | [`fold`] | which events are records, and which are counted |
//! | [`writes`] | which are the same write asked for again |
//! | [`record`] | writes records to a file |
//! | [`held`] | files of what the intake refused, out of the way of the others and kept |

mod codec;
mod fold;
mod held;
mod record;
mod writes;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use imagefactory_crds::audit::AuditEvent;
use tracing::warn;

#[cfg(test)]
pub(crate) use codec::fits;
pub use record::Came;
use record::{Open, write};
use writes::Writes;

/// Size at which a file is closed and the next begun.
const SEGMENT: u64 = 1 << 20;
/// File that is written to find out whether there is room. The next trial overwrites what a crash left of one.
const TRIAL: &str = "trial";

/// Events could not be put on disk.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// As many bytes as there may be.
    #[error("the spool is full")]
    Full,
    /// The disk.
    #[error("the spool can't be written")]
    Io(#[from] io::Error),
    /// A thread that had it is gone.
    #[error("the spool was lost to this process")]
    Lost,
    /// Another process has it.
    #[error("another process uses the spool")]
    Taken,
}

/// The spool of this process. Blocking: each call writes and waits for the disk.
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    /// Files that are closed, oldest first.
    closed: BTreeMap<u64, Closed>,
    open: Option<Open>,
    /// Files that are tried again later, above all of what the intake refused, and the one that is open for more of that.
    held: BTreeMap<u64, Closed>,
    refused: Option<Open>,
    writes: Writes,
    next: u64,
    _lock: File,
}

/// A file that is not written to any more.
#[derive(Clone, Copy)]
struct Closed {
    bytes: u64,
    events: u64,
    /// Whether the intake has refused all of it before.
    again: bool,
}

/// One file's events, to be delivered.
pub struct Oldest {
    number: u64,
    /// The events, oldest first.
    pub events: Vec<AuditEvent>,
    /// Whether the intake has refused all of them before.
    pub again: bool,
}

impl Spool {
    /// Opens the spool in a folder, which is made if need be. What is there is kept.
    ///
    /// # Errors
    /// When the folder can't be used, or another process uses it.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| SpoolError::Taken)?;
        let mut closed = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(number) = number_of(&path) else { continue };
            let bytes = fs::read(&path)?;
            let events = codec::decode(&bytes).len() as u64;
            let file = Closed {
                bytes: bytes.len() as u64,
                events,
                again: false,
            };
            closed.insert(number, file);
        }
        let next = closed.keys().next_back().map_or(0, |last| last + 1);
        Ok(Self {
            folder: folder.to_owned(),
            limit,
            closed,
            open: None,
            held: BTreeMap::new(),
            refused: None,
            writes: Writes::default(),
            next,
            _lock: lock,
        })
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.files().map(|(_, file)| file.bytes).sum();
        let open = [&self.open, &self.refused].into_iter().flatten();
        closed + open.map(|open| open.size).sum::<u64>()
    }

    /// Records on disk that wait to be delivered, but for those that were refused before.
    #[must_use]
    pub fn events(&self) -> u64 {
        let new = self.files().filter(|(_, file)| !file.again);
        let closed: u64 = new.map(|(_, file)| file.events).sum();
        closed + self.open.as_ref().map_or(0, |open| open.events)
    }

    /// Whether anything is to be delivered now.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.closed.is_empty() || self.open.as_ref().is_some_and(|open| open.events > 0)
    }

    /// Whether there is hardly room for an event more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes() + 2 * imagefactory_crds::audit::MAX_EVENT_BYTES as u64 > self.limit
    }

    /// Puts events on disk, all with one wait for it. When this returns, they outlive the process and the machine's power,
    /// but for those that it says can't be written; if it fails, none of them counts as kept.
    ///
    /// # Errors
    /// When the spool is full, or the disk fails.
    pub fn append(&mut self, events: &[AuditEvent], came: Came) -> Result<Vec<bool>, SpoolError> {
        let room = self.limit.saturating_sub(self.bytes());
        let open = match self.open.take() {
            Some(open) if open.size < SEGMENT => open,
            done => {
                self.close(done);
                self.begin()?
            }
        };
        // What fails leaves the file in a state that nobody knows: it is closed, and read up to where it is whole.
        match write(open, events, (came, Some(&mut self.writes)), room) {
            Ok((open, kept)) => {
                self.open = Some(open);
                Ok(kept)
            }
            Err((open, error)) => {
                self.writes.forget();
                if matches!(error, SpoolError::Full) {
                    self.open = Some(open);
                } else {
                    self.close(Some(open));
                }
                Err(error)
            }
        }
    }

    /// Notes what was put on record elsewhere: who asks for the same write again is not counted for it.
    pub fn note(&mut self, events: &[AuditEvent]) {
        for event in events {
            self.writes.is_new(event);
        }
    }

    /// The oldest file's events, and last those that were refused before; none where nothing waits. The file is closed, so
    /// that it holds still. One that can't be read keeps no other: it is tried again when what was refused is.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn oldest(&mut self) -> Result<Option<Oldest>, SpoolError> {
        if self.closed.values().all(|file| file.again) {
            let open = self.open.take();
            self.close(open);
        }
        let files = self.closed.iter().map(|(number, file)| (file.again, *number));
        let Some((again, number)) = files.min() else {
            return Ok(None);
        };
        let bytes = fs::read(self.path(number)).inspect_err(|_| self.put_off(number))?;
        Ok(Some(Oldest {
            number,
            events: codec::decode(&bytes),
            again,
        }))
    }

    /// Takes a file away whose events the intake has, but for some that it refused: those are kept, to be tried again. Says
    /// how many found no room.
    ///
    /// # Errors
    /// When the file can't be removed. It is delivered again when what was refused is.
    pub fn delivered(&mut self, oldest: &Oldest, refused: &[AuditEvent]) -> Result<usize, SpoolError> {
        let held = self.hold(oldest, refused);
        match fs::remove_file(self.path(oldest.number)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.put_off(oldest.number);
                return Err(error.into());
            }
        }
        self.closed.remove(&oldest.number);
        // A full disk has room for them now. The file goes in any case: whoever asks next needs its room.
        let held = held.or_else(|_| self.hold(oldest, refused));
        Ok(held.unwrap_or_else(|error| {
            warn!(error = crate::chain(&error), "what the intake refused can't be kept");
            refused.len()
        }))
    }

    /// Whether the disk takes as much as an event may need, which a disk that was full or failed does not yet.
    ///
    /// # Errors
    /// When it does not.
    pub fn try_disk(&mut self) -> Result<(), SpoolError> {
        let path = self.folder.join(TRIAL);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; 2 * imagefactory_crds::audit::MAX_EVENT_BYTES])?;
            file.sync_data()
        });
        // Also what was written in part takes room.
        fs::remove_file(&path)?;
        Ok(written?)
    }

    fn files(&self) -> impl Iterator<Item = (&u64, &Closed)> {
        self.closed.iter().chain(&self.held)
    }

    fn begin(&mut self) -> Result<Open, SpoolError> {
        let number = self.next;
        self.next += 1;
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(self.path(number))?;
        // The name of the file has to be on disk as well.
        File::open(&self.folder)?.sync_all()?;
        Ok(Open::new(number, file))
    }

    fn close(&mut self, open: Option<Open>) {
        if let Some((number, file)) = self.closed(open) {
            self.closed.insert(number, file);
        }
    }

    /// The file as one that is written to no more; none if nothing is in it.
    fn closed(&self, open: Option<Open>) -> Option<(u64, Closed)> {
        let open = open?;
        if open.size == 0 && fs::remove_file(self.path(open.number)).is_ok() {
            return None;
        }
        let file = Closed {
            bytes: open.size,
            events: open.events,
            again: false,
        };
        Some((open.number, file))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.log"))
    }
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_suffix(".log")?;
    u64::from_str_radix(number, 16).ok().or_else(|| {
        warn!(file = %path.display(), "not a file of the spool");
        None
    })
}

#[cfg(test)]
mod tests;
