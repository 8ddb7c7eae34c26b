//! What the intake refused: as by one of an older release, which does not know a field or a code. It waits in files of its
//! own, out of the way of the others, until it is tried again. They are files like all others, so the next process tries
//! them as soon as it begins. A file that the disk does not give or does not let go waits with them.

use imagefactory_crds::audit::AuditEvent;

use super::record::{Came, Open, write};
use super::{Closed, Oldest, SEGMENT, Spool, SpoolError};

/// The part of the spool that what was refused may take: the rest is left to what can be delivered.
const PART: u64 = 4;

impl Spool {
    /// Records that were refused, and are tried again.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let again = self.files().filter(|(_, file)| file.again);
        let closed: u64 = again.map(|(_, file)| file.events).sum();
        closed + self.refused.as_ref().map_or(0, |open| open.events)
    }

    /// Has all that was refused delivered again, after everything else that waits.
    pub fn release(&mut self) {
        let open = self.refused.take();
        self.put_aside(open);
        self.closed.append(&mut self.held);
    }

    /// Has others go before a file with which the disk fails.
    pub(super) fn put_off(&mut self, number: u64) {
        if let Some(file) = self.closed.remove(&number) {
            self.held.insert(number, file);
        }
    }

    fn put_aside(&mut self, open: Option<Open>) {
        if let Some((number, file)) = self.closed(open) {
            self.held.insert(number, Closed { again: true, ..file });
        }
    }

    /// Keeps what was refused of a file that goes, and says of how many events there was no room for.
    pub(super) fn hold(&mut self, of: &Oldest, refused: &[AuditEvent]) -> Result<usize, SpoolError> {
        if refused.is_empty() {
            return Ok(0);
        }
        let room = (self.limit / PART).saturating_sub(self.bytes_refused(of.number));
        let open = match self.refused.take() {
            Some(open) if open.size < SEGMENT => open,
            done => {
                self.put_aside(done);
                self.begin()?
            }
        };
        match write(open, refused, (Came::Refused, None), room) {
            Ok((open, kept)) => {
                self.refused = Some(open);
                Ok(kept.iter().filter(|kept| !**kept).count())
            }
            Err((open, error)) => {
                self.put_aside(Some(open));
                Err(error)
            }
        }
    }

    fn bytes_refused(&self, but: u64) -> u64 {
        let again = self.files().filter(|(number, file)| file.again && **number != but);
        let closed: u64 = again.map(|(_, file)| file.bytes).sum();
        closed + self.refused.as_ref().map_or(0, |open| open.size)
    }
}
