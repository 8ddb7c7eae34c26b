//! Rules of a policy: conditions in CEL.
//!
//! The `cel` crate parses an expression and expands its macros; types, names and cost are our own affair. Its
//! interpreter answers `false` where a field of something that has none is asked for, so that `!` makes a pass of a
//! mistake, copies lists in full at each step, and knows no limit of cost (docs/decisions/0019). Here an expression
//! is checked as a whole before it is asked anything, evaluation has a budget of steps, and whatever goes wrong is an
//! error and never an answer.

mod check;
mod error;
mod eval;
mod facts;
mod fields;
mod functions;
mod macros;
mod node;
mod numbers;
mod parse;
mod schema;
mod value;

pub use error::{EvalError, RuleError};
pub use facts::{About, Facts, Inventory};
pub use parse::{Rule, compile};
pub use schema::{FieldType, Kind, VARIABLES, Variable};

/// Steps that one rule may take for one image: about one for each operation, more for those on texts and lists.
pub const STEPS: u64 = 10_000_000;

#[cfg(test)]
mod tests;
