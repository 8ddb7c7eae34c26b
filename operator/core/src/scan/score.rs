//! CVSS scores as tenths: decided without floating point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A CVSS score in tenths, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

/// The text is not a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a CVSS score from 0 to 10")]
pub struct ScoreError;

impl Score {
    /// 10.0.
    pub const MAX: Self = Self(100);

    /// A score of so many tenths; more than 100 are 100.
    #[must_use]
    pub const fn from_tenths(tenths: u8) -> Self {
        if tenths > Self::MAX.0 { Self::MAX } else { Self(tenths) }
    }

    /// The score as a number with a fraction, for rules.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// Whether it says anything: databases write 0 where they have no score.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Score {
    type Err = ScoreError;

    /// Reads `9`, `9.8` or `9.80`. What lies beyond the first decimal counts upwards: 6.91 is 7.0.
    fn from_str(text: &str) -> Result<Self, ScoreError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) {
            return Err(ScoreError);
        }
        let tenth = decimals.bytes().next().map_or(0, |byte| byte - b'0');
        let beyond = u8::from(decimals.bytes().skip(1).any(|byte| byte != b'0'));
        whole
            .parse::<u8>()
            .ok()
            .and_then(|whole| whole.checked_mul(10)?.checked_add(tenth)?.checked_add(beyond))
            .filter(|tenths| *tenths <= Self::MAX.0)
            .map(Self)
            .ok_or(ScoreError)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number writes itself in its shortest form, so `9.8` comes back as it stood in the file.
        serde_json::Number::deserialize(deserializer)?
            .to_string()
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_read_exactly() {
        for (text, tenths) in [
            ("0", 0),
            ("0.0", 0),
            ("6.9", 69),
            ("9.8", 98),
            ("10", 100),
            ("10.0", 100),
            ("7.80", 78),
        ] {
            assert_eq!(text.parse(), Ok(Score(tenths)), "{text}");
            assert_eq!(serde_json::from_str::<Score>(text).unwrap(), Score(tenths), "{text}");
        }
    }

    #[test]
    fn what_lies_beyond_the_first_decimal_counts_upwards() {
        assert_eq!("6.91".parse(), Ok(Score(70)));
        assert_eq!("6.96".parse(), Ok(Score(70)));
    }

    #[test]
    fn what_is_not_a_score_is_refused() {
        for text in [
            "", ".", "5.", ".5", "-1", "+1", "10.1", "10.01", "11", "256", "1e1", "NaN", "9,8", " 9.8",
        ] {
            assert_eq!(text.parse::<Score>(), Err(ScoreError), "{text:?}");
        }
        assert!(serde_json::from_str::<Score>("-0.1").is_err());
        assert!(serde_json::from_str::<Score>("1e-9").is_err());
        assert!(serde_json::from_str::<Score>("\"9.8\"").is_err());
    }
}
