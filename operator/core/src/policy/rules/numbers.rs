//! Numbers: what does not fit is an error, and what is not finite does not exist.

use super::error::EvalError;
use super::node::Sum;
use super::value::Value;

pub(super) fn whole(sum: Sum, one: i64, other: i64) -> Result<i64, EvalError> {
    if other == 0 && matches!(sum, Sum::Divide | Sum::Remainder) {
        return Err(EvalError::DivisionByZero);
    }
    let result = match sum {
        Sum::Add => one.checked_add(other),
        Sum::Subtract => one.checked_sub(other),
        Sum::Multiply => one.checked_mul(other),
        Sum::Divide => one.checked_div(other),
        Sum::Remainder => one.checked_rem(other),
    };
    result.ok_or(EvalError::Overflow)
}

/// What is not a finite number is an error: it would compare with nothing.
pub(super) fn fraction(sum: Sum, one: f64, other: f64) -> Result<f64, EvalError> {
    let result = match sum {
        Sum::Add => one + other,
        Sum::Subtract => one - other,
        Sum::Multiply => one * other,
        Sum::Divide if other == 0.0 => return Err(EvalError::DivisionByZero),
        Sum::Divide => one / other,
        Sum::Remainder => return Err(EvalError::Defect),
    };
    if result.is_finite() {
        Ok(result)
    } else {
        Err(EvalError::Overflow)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "bounds are looked at before")]
pub(super) fn whole_of(value: &Value<'_>) -> Result<i64, EvalError> {
    // 2 to the power of 62: far from where a double has no fraction and i64 an end.
    const MOST: f64 = 4_611_686_018_427_387_904.0;
    match value {
        Value::Int(value) => Ok(*value),
        Value::Double(value) if value.abs() < MOST => Ok(value.trunc() as i64),
        Value::Double(_) => Err(EvalError::Overflow),
        other => {
            let text = other.text().ok_or(EvalError::Defect)?;
            text.parse().map_err(|_| EvalError::NotANumber)
        }
    }
}
