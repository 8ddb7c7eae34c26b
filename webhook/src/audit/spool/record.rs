//! Records on their way into a file of the spool.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use imagefactory_crds::audit::AuditEvent;
use tracing::error;

use super::SpoolError;
use super::codec::{COUNT_AT, encode};
use super::fold::{Fate, Folds};
use super::writes::Writes;

/// How events come to the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The intake has none of them. Equal denials among them may be counted.
    New,
    /// They were sent, and nobody knows whether they are stored. If so, it is for their ids that they are not stored again:
    /// each is a record of its own, which counts no other and is counted by none.
    Sent,
    /// The intake refused them. What has no room is left out.
    Refused,
}

/// A file that is written to.
pub(super) struct Open {
    pub(super) number: u64,
    file: File,
    pub(super) size: u64,
    pub(super) events: u64,
    folds: Folds,
}

impl Open {
    pub(super) fn new(number: u64, file: File) -> Self {
        Self {
            number,
            file,
            size: 0,
            events: 0,
            folds: Folds::default(),
        }
    }
}

/// What is appended, which counts are written in place, and which events are kept by that.
#[derive(Default)]
struct Plan {
    bytes: Vec<u8>,
    records: u64,
    counts: BTreeMap<u64, u64>,
    kept: Vec<bool>,
}

/// Writes events, and says of each whether it is kept.
pub(super) fn write(
    mut open: Open,
    events: &[AuditEvent],
    how: (Came, Option<&mut Writes>),
    room: u64,
) -> Result<(Open, Vec<bool>), (Open, SpoolError)> {
    let written = plan(&mut open, events, how, room).and_then(|plan| put(&mut open, &plan).map(|()| plan));
    match written {
        Ok(plan) => {
            open.size += plan.bytes.len() as u64;
            open.events += plan.records;
            Ok((open, plan.kept))
        }
        Err(error) => {
            // None of it counts as kept, so none is to be delivered. A disk that refuses this too leaves a record at worst
            // that nobody was answered for.
            if !matches!(error, SpoolError::Full)
                && let Err(error) = open.file.set_len(open.size)
            {
                error!(%error, "what was written in part stays on the spool");
            }
            Err((open, error))
        }
    }
}

fn plan(
    open: &mut Open,
    events: &[AuditEvent],
    (came, mut writes): (Came, Option<&mut Writes>),
    room: u64,
) -> Result<Plan, SpoolError> {
    let mut plan = Plan::default();
    for event in events {
        // One that can't be written is no reason to refuse the others.
        let record = encode(event).inspect_err(|error| error!(%error, id = event.id, "an event can't be spooled"));
        let has_room = |record: &Vec<u8>| came != Came::Refused || (plan.bytes.len() + record.len()) as u64 <= room;
        let Some(record) = record.ok().filter(has_room) else {
            plan.kept.push(false);
            continue;
        };
        plan.kept.push(true);
        if writes.as_mut().is_some_and(|writes| !writes.is_new(event)) {
            continue;
        }
        let at = open.size + plan.bytes.len() as u64;
        let fate = match came {
            Came::Sent => Fate::Written,
            Came::New | Came::Refused => open.folds.take(event, at),
        };
        match fate {
            Fate::Counted { offset, count } => {
                plan.counts.insert(offset, count);
            }
            Fate::Written => {
                plan.bytes.extend(record);
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
