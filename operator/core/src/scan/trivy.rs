//! Trivy's JSON, schema version 2, as it stands in the file: only the fields that are used.
//!
//! Trivy leaves out what is empty, so a list may be absent; what is there must have the right type (`null` has not),
//! and no field may stand there twice.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Score;
use super::bounded::{Length, List, MAX_ENTRIES};
use super::report::Collector;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrivyReport {
    pub(super) schema_version: u64,
    pub(super) artifact_name: String,
    #[serde(default)]
    pub(super) created_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) results: Collector,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata {
    #[serde(default, rename = "OS")]
    pub(super) os: Option<Os>,
    #[serde(default)]
    pub(super) repo_digests: List<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Os {
    #[serde(default)]
    pub(super) family: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, rename = "EOSL")]
    pub(super) eosl: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrivyResult {
    pub(super) target: String,
    #[serde(default)]
    pub(super) class: String,
    #[serde(default)]
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) packages: List<TrivyPackage>,
    #[serde(default)]
    pub(super) vulnerabilities: List<Vulnerability>,
    #[serde(default, rename = "ExperimentalModifiedFindings")]
    pub(super) modified_findings: Length,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrivyPackage {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) release: String,
    #[serde(default)]
    pub(super) epoch: u64,
    #[serde(default)]
    pub(super) identifier: Identifier,
    #[serde(default)]
    pub(super) licenses: List<String>,
    #[serde(default)]
    pub(super) file_path: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Identifier {
    #[serde(default, rename = "PURL")]
    pub(super) purl: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    pub(super) id: String,
    pub(super) pkg_name: String,
    #[serde(default)]
    pub(super) pkg_path: String,
    #[serde(default)]
    pub(super) pkg_identifier: Identifier,
    #[serde(default)]
    pub(super) installed_version: String,
    #[serde(default)]
    pub(super) fixed_version: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) severity: String,
    #[serde(default, rename = "CVSS")]
    pub(super) cvss: HighestScore,
}

/// Highest score of all vendors and versions of CVSS.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HighestScore(pub(super) Option<Score>);

impl<'de> Deserialize<'de> for HighestScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Scores {
            #[serde(default, rename = "V2Score")]
            v2: Option<Score>,
            #[serde(default, rename = "V3Score")]
            v3: Option<Score>,
            #[serde(default, rename = "V40Score")]
            v4: Option<Score>,
        }
        struct Vendors;
        impl<'de> Visitor<'de> for Vendors {
            type Value = HighestScore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("scores by vendor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut vendors: A) -> Result<Self::Value, A::Error> {
                let mut highest = None;
                while let Some((_, scores)) = vendors.next_entry::<IgnoredAny, Scores>()? {
                    highest = highest.max(scores.v2).max(scores.v3).max(scores.v4);
                }
                Ok(HighestScore(highest.filter(|score| !score.is_zero())))
            }
        }
        deserializer.deserialize_map(Vendors)
    }
}

impl<'de> Deserialize<'de> for Collector {
    /// Takes one result after the other, so that the scanner's form of it is never held as a whole.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Results;
        impl<'de> Visitor<'de> for Results {
            type Value = Collector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of results")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut results: A) -> Result<Self::Value, A::Error> {
                let mut collector = Collector::default();
                while let Some(result) = results.next_element::<TrivyResult>()? {
                    collector.take(result);
                    if collector.findings.len().max(collector.packages.len()) > MAX_ENTRIES {
                        return Err(A::Error::custom("too many entries"));
                    }
                }
                Ok(collector)
            }
        }
        deserializer.deserialize_seq(Results)
    }
}
