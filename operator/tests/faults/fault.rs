//! What can go wrong in a schedule, and where: faults are bound to requests and events by what these are and how many of
//! them came before, so that a schedule means the same in every run although reconciles interleave.

use serde::{Deserialize, Serialize};

/// A scenario with faults. As JSON in `IMAGEFACTORY_FAULT`, it is run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Name of the scenario.
    pub scenario: String,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// At a request.
    Request {
        /// Verb and path, as in `PATCH builds/b/status`; see [`crate::layer::address`].
        at: String,
        /// How many of the same were sent before.
        nth: usize,
        /// What.
        what: RequestFault,
    },
    /// At an event of a watch.
    Event {
        /// Plural name of the kind.
        at: String,
        /// How many events of the kind were sent before.
        nth: usize,
        /// What.
        what: EventFault,
    },
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestFault {
    /// The process dies before it is sent.
    CrashBefore,
    /// It is carried out; the process dies before it reads the answer.
    CrashAfter,
    /// As `CrashAfter`, and the next process's first lists show the state of so many writes before, and its watches bring
    /// the rest late: the API server that it reads from lags.
    CrashThenStale(usize),
    /// 409 Conflict, not carried out: somebody else was faster.
    Conflict,
    /// 410 Gone, in answer to a list.
    Gone,
    /// 429 Too Many Requests, not carried out.
    TooMany,
    /// 500, not carried out.
    Internal,
    /// The connection breaks before it is carried out.
    Lost,
    /// It is carried out, and the connection breaks before the answer.
    AnswerLost,
    /// It is carried out, and answered with 504.
    AppliedTimeout,
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventFault {
    /// The watch breaks before it, and is resumed.
    Cut,
    /// The watch ends with 410 before it: everything is listed again.
    Gone,
    /// It and all later ones of its kind come late: other kinds overtake it.
    Late,
    /// It never comes: it is held back and then the watch ends with 410, so that states in between are not seen.
    Unseen,
    /// It comes after the next one of its kind, if that is of another object. More than an API server does.
    Swapped,
    /// The process dies when it comes.
    Crash,
}

impl RequestFault {
    /// What can happen to a request of this address.
    pub fn of(address: &str) -> Vec<Self> {
        let mut faults = vec![Self::CrashBefore, Self::TooMany, Self::Internal, Self::Lost];
        let verb = address.split(' ').next().unwrap_or_default();
        match verb {
            "LIST" | "WATCH" => faults.push(Self::Gone),
            "GET" => {}
            _ => faults.extend([
                Self::CrashAfter,
                Self::CrashThenStale(1),
                Self::CrashThenStale(3),
                Self::Conflict,
                Self::AnswerLost,
                Self::AppliedTimeout,
            ]),
        }
        faults
    }
}

impl EventFault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cut,
        Self::Gone,
        Self::Late,
        Self::Unseen,
        Self::Swapped,
        Self::Crash,
    ];
}
