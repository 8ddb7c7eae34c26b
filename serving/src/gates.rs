//! Whether a process lives and is ready: named gates that also say what they wait for.
//!
//! A gate is a closure that looks when somebody asks, so that nothing has to remember to report.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

type Look = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Named gates. Cloning gives another handle to the same ones.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<Vec<(&'static str, Look)>>>);

/// A gate as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    /// Name of the gate.
    pub name: &'static str,
    /// What it waits for; none while it is open.
    pub waits_for: Option<String>,
}

impl Gates {
    /// Adds a gate: `look` says what it waits for, or nothing.
    pub fn add(&self, name: &'static str, look: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name, Arc::new(look)));
    }

    /// All gates as they stand now.
    #[must_use]
    pub fn states(&self) -> Vec<GateState> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gates
            .into_iter()
            .map(|(name, look)| GateState {
                name,
                waits_for: look(),
            })
            .collect()
    }

    /// Whether every gate is open.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.states().iter().all(|gate| gate.waits_for.is_none())
    }
}

impl Debug for Gates {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}
