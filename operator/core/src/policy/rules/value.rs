//! Values while a rule is evaluated: borrowed from the evidence, never copied from it.

use std::cmp::Ordering;
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
        _ => compare(one, other).map(Ordering::is_eq),
    }
}

/// How two texts or two numbers stand to each other; none for what has no order. Numbers of both kinds stand on one
/// line, and no digit is lost where they meet: a limit beyond 2 to the power of 53 still is the limit that was written.
pub(super) fn compare(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Int(one), Value::Double(other)) => compare_to_fraction(*one, *other),
        (Value::Double(one), Value::Int(other)) => compare_to_fraction(*other, *one).map(Ordering::reverse),
        _ => Some(one.text()?.cmp(other.text()?)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "bounds are looked at before")]
fn compare_to_fraction(whole: i64, fraction: f64) -> Option<Ordering> {
    // 2 to the power of 63: the first beyond i64, as minus it is its last.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if fraction >= END {
        return Some(Ordering::Less);
    }
    if fraction < -END {
        return Some(Ordering::Greater);
    }
    let rest = 0.0.partial_cmp(&fraction.fract())?;
    Some(whole.cmp(&(fraction.trunc() as i64)).then(rest))
}

/// A number as one with a fraction.
#[allow(clippy::cast_precision_loss, reason = "what double() asks for")]
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    }
}
