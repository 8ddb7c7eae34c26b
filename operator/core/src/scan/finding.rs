//! One vulnerability in one package.

use std::sync::Arc;

use super::Score;

/// How bad a finding is. Ordered from the least known to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The scanner gives none, or a word that is not in this list.
    Unknown,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All of them, worst first.
    pub const WORST_FIRST: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Unknown];

    /// Reads a scanner's word without regard to case. What is not listed is Unknown, which has a limit of its own.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        let is = |name: &str| word.trim().eq_ignore_ascii_case(name);
        match () {
            () if is("critical") => Self::Critical,
            () if is("high") => Self::High,
            () if is("medium") => Self::Medium,
            () if is("low") => Self::Low,
            () => Self::Unknown,
        }
    }

    /// What a finding without a score counts with: the top of the severity's band in CVSS 3 and 4. A severity that
    /// is not known could be the worst, so it counts as 10.0.
    #[must_use]
    pub fn ceiling(self) -> Score {
        match self {
            Self::Critical | Self::Unknown => Score::MAX,
            Self::High => Score::from_tenths(89),
            Self::Medium => Score::from_tenths(69),
            Self::Low => Score::from_tenths(39),
        }
    }
}

/// What the distributor says about a fix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FixStatus {
    /// Nothing, or a word that is not in this list.
    #[default]
    Unknown,
    /// The package is not affected.
    NotAffected,
    /// The package is affected.
    Affected,
    /// There is a version with a fix.
    Fixed,
    /// Being looked into.
    UnderInvestigation,
    /// There will be no fix.
    WillNotFix,
    /// There may be a fix later.
    FixDeferred,
    /// The package is not maintained any more.
    EndOfLife,
}

impl FixStatus {
    /// Reads the scanner's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "not_affected" => Self::NotAffected,
            "affected" => Self::Affected,
            "fixed" => Self::Fixed,
            "under_investigation" => Self::UnderInvestigation,
            "will_not_fix" => Self::WillNotFix,
            "fix_deferred" => Self::FixDeferred,
            "end_of_life" => Self::EndOfLife,
            _ => Self::Unknown,
        }
    }
}

/// Where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The operating system's package manager.
    OsPackages,
    /// A language's package manager or a binary that lists what it was made from.
    LanguagePackages,
    /// Anything else.
    Other,
}

impl Class {
    /// Reads the scanner's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "os-pkgs" => Self::OsPackages,
            "lang-pkgs" => Self::LanguagePackages,
            _ => Self::Other,
        }
    }
}

/// One vulnerability in one package. The same vulnerability in two packages is two findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Identifier, as in `CVE-2021-44228`.
    pub id: String,
    /// Name of the package.
    pub package: String,
    /// Package URL.
    pub purl: Option<String>,
    /// Installed version.
    pub version: String,
    /// Version with a fix, if there is one.
    pub fixed_version: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Highest score of all vendors and of CVSS 2, 3 and 4: when sources differ, the worst counts. None where no
    /// source has a score above zero, since databases write 0 for "not scored".
    pub cvss: Option<Score>,
    /// What the distributor says about a fix.
    pub status: FixStatus,
    /// Where the package comes from.
    pub class: Class,
    /// The scanner's word for the kind of target, as in `debian` or `jar`.
    pub kind: Arc<str>,
}

impl Finding {
    /// Whether there is a fix: a fixed version is named, or the distributor says so.
    #[must_use]
    pub fn has_fix(&self) -> bool {
        self.fixed_version.is_some() || self.status == FixStatus::Fixed
    }

    /// The score that counts: the finding's own, else the top of its severity's band.
    #[must_use]
    pub fn effective_score(&self) -> Score {
        self.cvss.unwrap_or_else(|| self.severity.ceiling())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_is_read_without_regard_to_case() {
        assert_eq!(Severity::parse("CRITICAL"), Severity::Critical);
        assert_eq!(Severity::parse("Critical "), Severity::Critical);
        assert_eq!(Severity::parse("high"), Severity::High);
    }

    #[test]
    fn a_severity_that_is_not_listed_is_unknown() {
        for word in ["", "NEGLIGIBLE", "UNKNOWN", "4", "critical!"] {
            assert_eq!(Severity::parse(word), Severity::Unknown, "{word:?}");
        }
    }

    #[test]
    fn the_worst_severity_comes_first_and_every_one_is_listed() {
        assert!(Severity::WORST_FIRST.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn an_unknown_severity_without_a_score_counts_as_the_worst() {
        assert_eq!(Severity::Unknown.ceiling(), Score::MAX);
    }
}
