//! What the own status of a Build, or of what takes a slot like one, says of it.

use imagefactory_crds::build::{BuildStatus, ClassRetries};

use crate::build::status::is_settled;

/// What a Build's status says of a slot. A turn is one claim to a slot: the first, and one for each retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was not dispatched for this turn: it waits, or may have to.
    Waits {
        /// The turn that it waits for.
        turn: u32,
    },
    /// It was dispatched and goes on.
    Holds {
        /// Its turn.
        turn: u32,
        /// Whether its image is staged.
        is_staged: bool,
    },
    /// It has ended.
    Settled,
}

/// What this status says of a slot.
#[must_use]
pub fn claim(status: Option<&BuildStatus>) -> Claim {
    if is_settled(status) {
        return Claim::Settled;
    }
    let Some(status) = status else {
        return Claim::Waits { turn: 1 };
    };
    let goes_on = status.start_time.is_some() && status.next_attempt_at.is_none();
    Claim::unsettled(&status.retries, goes_on, status.staged.is_some())
}

impl Claim {
    /// Of what has not ended: whether it was dispatched and goes on, and whether its image is staged.
    pub(crate) fn unsettled(retries: &[ClassRetries], goes_on: bool, is_staged: bool) -> Self {
        let turn = retries.iter().map(|retries| retries.count).sum::<u32>() + 1;
        if goes_on {
            Self::Holds { turn, is_staged }
        } else {
            Self::Waits { turn }
        }
    }
}
