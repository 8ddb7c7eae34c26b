//! Quantities compared by amount: the API server writes `1` where it was told `1000m`.

use imagefactory_crds::common::ResourceList;
use imagefactory_crds::quantity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The API server cuts amounts with a binary suffix at this many units, and no others.
const GREATEST: i128 = i64::MAX as i128 * NANO;
/// Amounts are counted in billionths, the finest that a quantity can say.
const NANO: i128 = 1_000_000_000;

/// Reads one amount of a list.
pub(crate) type Amount = fn(&ResourceList) -> Option<&quantity::Quantity>;

/// Every amount that there is of a list, by the name that it has there.
pub(crate) const AMOUNTS: [(&str, Amount); 3] = [
    ("cpu", |list| list.cpu.as_ref()),
    ("memory", |list| list.memory.as_ref()),
    ("ephemeralStorage", |list| list.ephemeral_storage.as_ref()),
];

/// An amount of a list that is more than another list has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Above<'a> {
    /// Name of the amount, as in `ephemeralStorage`.
    pub name: &'static str,
    /// How much is asked for.
    pub asked: &'a quantity::Quantity,
    /// How much there may be.
    pub most: &'a quantity::Quantity,
}

/// The first amount of `list` that is above what `ceiling` has of it. What either does not name is not compared.
#[must_use]
pub fn above<'a>(list: &'a ResourceList, ceiling: &'a ResourceList) -> Option<Above<'a>> {
    AMOUNTS.into_iter().find_map(|(name, amount)| {
        let (asked, most) = amount(list).zip(amount(ceiling))?;
        exceeds(asked, most).then_some(Above { name, asked, most })
    })
}

/// Whether a text is an amount as the kinds admit it ([`quantity::Quantity::PATTERN`]): what is recorded in them must be.
#[must_use]
pub fn is_admitted(amount: &quantity::Quantity) -> bool {
    regex_lite::Regex::new(quantity::Quantity::PATTERN).is_ok_and(|pattern| pattern.is_match(amount.as_str()))
}

/// Every amount that a list names, by its name.
pub fn named(list: &ResourceList) -> impl Iterator<Item = (&'static str, &quantity::Quantity)> {
    AMOUNTS
        .into_iter()
        .filter_map(|(name, amount)| Some((name, amount(list)?)))
}

/// What each amount of `list` is, and where it names none that of `other`.
#[must_use]
pub fn first_of(list: &ResourceList, other: &ResourceList) -> ResourceList {
    let pick = |amount: Amount| amount(list).or_else(|| amount(other)).cloned();
    let [cpu, memory, ephemeral_storage] = AMOUNTS.map(|(_, amount)| pick(amount));
    ResourceList {
        cpu,
        memory,
        ephemeral_storage,
    }
}

/// Whether one is more than the other. What can't be read exceeds nothing: the schema lets no such amount in.
pub(crate) fn exceeds(one: &quantity::Quantity, other: &quantity::Quantity) -> bool {
    let amounts = nano(one.as_str()).zip(nano(other.as_str()));
    amounts.is_some_and(|(one, other)| one > other)
}

/// Whether two quantities are the same amount. What can't be read is compared as text.
pub(super) fn same(left: &Quantity, right: &Quantity) -> bool {
    left.0 == right.0 || nano(&left.0).is_some_and(|amount| nano(&right.0) == Some(amount))
}

/// The amount in billionths.
pub(crate) fn nano(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let scale = scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let parse = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<i128>().ok()
        }
    };
    let tenths = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let amount = parse(whole)?
        .saturating_mul(scale)
        .saturating_add(parse(fraction)?.saturating_mul(scale) / tenths);
    Some(if suffix.ends_with('i') {
        amount.min(GREATEST)
    } else {
        amount
    })
}

fn scale(suffix: &str) -> Option<i128> {
    let binary = |power: u32| 1024_i128.pow(power) * NANO;
    Some(match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => NANO * 1_000,
        "M" => NANO * 1_000_000,
        "G" => NANO * 1_000_000_000,
        "T" => NANO * 1_000_000_000_000,
        "P" => NANO * 1_000_000_000_000_000,
        "E" => NANO * 1_000_000_000_000_000_000,
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => return scale_of_exponent(suffix),
    })
}

/// `1e3`: how the API server writes some decimal amounts.
fn scale_of_exponent(suffix: &str) -> Option<i128> {
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    10_i128.checked_pow(u32::try_from(exponent.checked_add(9)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_amount_in_another_writing_is_the_same() {
        for (left, right, expected) in [
            ("1", "1000m", true),
            ("0.5", "500m", true),
            ("1024Mi", "1Gi", true),
            ("1.5Gi", "1536Mi", true),
            ("0.001Ti", "1099511627776m", true),
            ("1000", "1e3", true),
            ("1k", "1000", true),
            ("1E", "1000P", true),
            // Cut by the API server at the greatest number it knows.
            ("999999999999Ti", "9223372036854775807", true),
            ("20000000T", "10000000T", false),
            ("1", "1001m", false),
            ("1G", "1Gi", false),
            ("1M", "1m", false),
            ("", "0", false),
            (".", "0", false),
            ("1x", "1", false),
            ("-1", "1", false),
        ] {
            let quantity = |text: &str| Quantity(text.to_owned());
            assert_eq!(
                same(&quantity(left), &quantity(right)),
                expected,
                "{left:?} and {right:?}"
            );
        }
    }
}
