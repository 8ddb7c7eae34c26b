//! Values while a rule is evaluated: borrowed from the evidence, never copied from it.

use std::rc::Rc;

use imagefactory_crds::build::SeverityCounts;

use super::facts::{About, BaseFacts, Inventory, Listed};
use crate::scan::Finding;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    /// A text that was made.
    Made(Rc<str>),
    List(Rc<Vec<Value<'a>>>),
    Object(Object<'a>),
}

/// An object of the evidence.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'a> {
    Image(&'a About<'a>),
    Evidence(&'a About<'a>),
    Counts(&'a SeverityCounts),
    Finding(&'a Finding),
    Package(&'a Listed),
    Build(&'a Inventory<'a>),
    Base(&'a BaseFacts),
}

impl Value<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether two values of one type are equal; none where they are of two.
pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> Option<bool> {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Some(one == other),
        (Value::Int(one), Value::Int(other)) => Some(one == other),
        (Value::List(one), Value::List(other)) => {
            if one.len() != other.len() {
                return Some(false);
            }
            for (one, other) in one.iter().zip(other.iter()) {
                if !equal(one, other)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        _ => match (one.text(), other.text()) {
            (Some(one), Some(other)) => Some(one == other),
            // Numbers are finite here: what is not was an error before.
            _ => Some(number(one)?.total_cmp(&number(other)?).is_eq()),
        },
    }
}

/// A number as one with a fraction.
#[allow(
    clippy::cast_precision_loss,
    reason = "what the language asks for where both kinds of numbers meet"
)]
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        // Zero has two signs, and is one number.
        Value::Double(value) => Some(*value + 0.0),
        _ => None,
    }
}
