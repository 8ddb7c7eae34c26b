//! What the platform decided about records of the system of record.

use imagefactory_crds::common::DurationText;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// In mode Deny a record that was not fetched again for so many intervals does not count.
const MISSED_INTERVALS: i32 = 4;

/// Settings of SorRecords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SorSettings {
    /// How long before its end a record is Expiring.
    pub expiring_window: DurationText,
    /// Where records are fetched from. Without it they are kept by hand or from Git.
    pub http: Option<SorHttpSettings>,
}

/// An HTTP system of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SorHttpSettings {
    /// URL of the list of all records.
    pub url: String,
    /// Time between two fetches.
    pub interval: DurationText,
    /// Longest that one fetch may take.
    pub timeout: DurationText,
    /// File with the bearer token, mounted from a Secret; read at each fetch.
    #[serde(default)]
    pub token_file: Option<String>,
    /// PEM certificates of authorities that its certificate is trusted by, beside the platform's and the public ones.
    #[serde(default)]
    pub ca_bundle: Option<String>,
    /// What counts while it does not answer.
    #[serde(default)]
    pub outage: Outage,
    /// In mode LastKnownGood: how long a record counts without being fetched again.
    pub greatest_age: DurationText,
}

/// What counts while the system of record does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outage {
    /// Nothing that was not fetched again for four intervals.
    #[default]
    Deny,
    /// What was fetched last, up to a greatest age.
    LastKnownGood,
}

impl Default for SorSettings {
    fn default() -> Self {
        Self {
            expiring_window: "720h".into(),
            http: None,
        }
    }
}

impl SorSettings {
    /// How long before its end a record is Expiring.
    #[must_use]
    pub fn window(&self) -> SignedDuration {
        // Settings are checked when they are read; one that is none shortens no record's life.
        duration(&self.expiring_window)
    }

    /// How long a record that is fetched counts without being fetched again.
    #[must_use]
    pub fn greatest_age(&self) -> Option<SignedDuration> {
        let http = self.http.as_ref()?;
        Some(match http.outage {
            Outage::Deny => http.interval().saturating_mul(MISSED_INTERVALS) + http.timeout(),
            Outage::LastKnownGood => duration(&http.greatest_age),
        })
    }
}

impl SorHttpSettings {
    /// Time between two fetches.
    #[must_use]
    pub fn interval(&self) -> SignedDuration {
        duration(&self.interval)
    }

    /// Longest that one fetch may take.
    #[must_use]
    pub fn timeout(&self) -> SignedDuration {
        duration(&self.timeout)
    }
}

/// Settings are checked when they are read.
fn duration(text: &DurationText) -> SignedDuration {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_records_count_for_four_intervals_or_for_the_greatest_age() {
        let settings = |outage| SorSettings {
            http: Some(SorHttpSettings {
                url: "https://sor.example.com".to_owned(),
                interval: "5m".into(),
                timeout: "10s".into(),
                token_file: None,
                ca_bundle: None,
                outage,
                greatest_age: "24h".into(),
            }),
            ..SorSettings::default()
        };
        let age = |outage| settings(outage).greatest_age();
        assert_eq!(age(Outage::Deny), Some(SignedDuration::from_secs(1210)));
        assert_eq!(age(Outage::LastKnownGood), Some(SignedDuration::from_hours(24)));
        assert_eq!(SorSettings::default().greatest_age(), None);
    }
}
