//! Events on disk until the intake has them: files of records, the last of which is open for more. A file goes when all of
//! it was delivered; one that was delivered in part before a crash is delivered again, and stored once for its ids.

mod codec;
mod fold;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use imagefactory_crds::audit::AuditEvent;
use tracing::warn;

use codec::{COUNT_AT, CodecError, encode};
use fold::{Fate, Folds};

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
    /// The event.
    #[error(transparent)]
    Codec(#[from] CodecError),
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
    /// Files that are closed, oldest first, with their sizes and how many events they hold.
    closed: BTreeMap<u64, (u64, u64)>,
    open: Option<Open>,
    next: u64,
    _lock: File,
}

struct Open {
    number: u64,
    file: File,
    size: u64,
    events: u64,
    folds: Folds,
}

/// One file's events, to be delivered.
pub struct Oldest {
    number: u64,
    /// The events, oldest first.
    pub events: Vec<AuditEvent>,
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
            closed.insert(number, (bytes.len() as u64, events));
        }
        let next = closed.keys().next_back().map_or(0, |last| last + 1);
        Ok(Self {
            folder: folder.to_owned(),
            limit,
            closed,
            open: None,
            next,
            _lock: lock,
        })
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.values().map(|(bytes, _)| bytes).sum();
        closed + self.open.as_ref().map_or(0, |open| open.size)
    }

    /// Records on disk.
    #[must_use]
    pub fn events(&self) -> u64 {
        let closed: u64 = self.closed.values().map(|(_, events)| events).sum();
        closed + self.open.as_ref().map_or(0, |open| open.events)
    }

    /// Whether there is hardly room for an event more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes() + 2 * imagefactory_crds::audit::MAX_EVENT_BYTES as u64 > self.limit
    }

    /// Puts events on disk, all with one wait for it. When this returns, they outlive the process and the machine's power;
    /// if it fails, none of them counts as kept.
    ///
    /// # Errors
    /// When the spool is full, or the disk fails.
    pub fn append(&mut self, events: &[AuditEvent]) -> Result<(), SpoolError> {
        let room = self.limit.saturating_sub(self.bytes());
        let open = match self.open.take() {
            Some(open) if open.size < SEGMENT => open,
            done => {
                self.close(done);
                self.begin()?
            }
        };
        // What fails leaves the file in a state that nobody knows: it is closed, and read up to where it is whole.
        match write(open, events, room) {
            Ok(open) => {
                self.open = Some(open);
                Ok(())
            }
            Err((open, error)) => {
                if matches!(error, SpoolError::Full) {
                    self.open = Some(open);
                } else {
                    self.close(Some(open));
                }
                Err(error)
            }
        }
    }

    /// The oldest file's events; none where nothing waits. The file is closed, so that it holds still.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn oldest(&mut self) -> Result<Option<Oldest>, SpoolError> {
        if self.closed.is_empty() {
            let open = self.open.take();
            self.close(open);
        }
        let Some(number) = self.closed.keys().next().copied() else {
            return Ok(None);
        };
        let bytes = fs::read(self.path(number))?;
        Ok(Some(Oldest {
            number,
            events: codec::decode(&bytes),
        }))
    }

    /// Takes a file away whose events the intake has.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn delivered(&mut self, oldest: &Oldest) -> Result<(), SpoolError> {
        match fs::remove_file(self.path(oldest.number)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.closed.remove(&oldest.number);
        Ok(())
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

    fn begin(&mut self) -> Result<Open, SpoolError> {
        let number = self.next;
        self.next += 1;
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(self.path(number))?;
        // The name of the file has to be on disk as well.
        File::open(&self.folder)?.sync_all()?;
        Ok(Open {
            number,
            file,
            size: 0,
            events: 0,
            folds: Folds::default(),
        })
    }

    fn close(&mut self, open: Option<Open>) {
        let Some(open) = open else { return };
        if open.size == 0 && fs::remove_file(self.path(open.number)).is_ok() {
            return;
        }
        self.closed.insert(open.number, (open.size, open.events));
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.log"))
    }
}

fn write(mut open: Open, events: &[AuditEvent], room: u64) -> Result<Open, (Open, SpoolError)> {
    let written = plan(&mut open, events, room).and_then(|plan| put(&mut open, &plan).map(|()| plan));
    match written {
        Ok(plan) => {
            open.size += plan.bytes.len() as u64;
            open.events += plan.records;
            Ok(open)
        }
        Err(error) => {
            // None of it counts as kept, so none is to be delivered. A disk that refuses this too leaves a record at worst
            // that nobody was answered for.
            if !matches!(error, SpoolError::Full)
                && let Err(error) = open.file.set_len(open.size)
            {
                warn!(%error, "what was written in part stays on the spool");
            }
            Err((open, error))
        }
    }
}

/// What is appended, and which counts are written in place.
#[derive(Default)]
struct Plan {
    bytes: Vec<u8>,
    records: u64,
    counts: BTreeMap<u64, u64>,
}

fn plan(open: &mut Open, events: &[AuditEvent], room: u64) -> Result<Plan, SpoolError> {
    let mut plan = Plan::default();
    for event in events {
        match open.folds.take(event, open.size + plan.bytes.len() as u64) {
            Fate::Counted { offset, count } => {
                plan.counts.insert(offset, count);
            }
            Fate::Written => {
                plan.bytes.extend(encode(event)?);
                plan.records += 1;
            }
        }
    }
    if plan.bytes.len() as u64 > room {
        // What was noted of these events names places that nothing is written to.
        open.folds = Folds::default();
        return Err(SpoolError::Full);
    }
    Ok(plan)
}

fn put(open: &mut Open, plan: &Plan) -> Result<(), SpoolError> {
    open.file.seek(SeekFrom::Start(open.size))?;
    open.file.write_all(&plan.bytes)?;
    for (offset, count) in &plan.counts {
        open.file.seek(SeekFrom::Start(offset + COUNT_AT))?;
        open.file.write_all(&count.to_le_bytes())?;
    }
    open.file.sync_data()?;
    Ok(())
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
