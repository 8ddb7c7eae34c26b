//! What the scanner's server says about itself at `/version`: which database judged the image.

use std::io::Read;

use jiff::Timestamp;
use serde::Deserialize;

use super::{ReportError, bounded};

/// The server's version and that of its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Version of the scanner, as in `0.66.0`.
    pub version: String,
    /// Its vulnerability database; none where it has not fetched one.
    pub database: Option<DatabaseInfo>,
}

/// Which vulnerability database was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Version of the database's format.
    pub version: u32,
    /// When the database was made.
    pub updated_at: Timestamp,
}

/// Reads the answer of the server's `/version`.
///
/// # Errors
/// When it is anything else: see [`super::report::parse`].
pub fn parse(reader: impl Read) -> Result<ServerVersion, ReportError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        version: String,
        #[serde(default, rename = "VulnerabilityDB")]
        vulnerability_db: Option<Database>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Database {
        version: u32,
        updated_at: Timestamp,
    }
    let answer: Answer = bounded::read(reader)?;
    Ok(ServerVersion {
        version: answer.version,
        // The scanner writes its zero time, in the year 1, for a database that was never made.
        database: answer
            .vulnerability_db
            .filter(|database| database.updated_at > Timestamp::UNIX_EPOCH)
            .map(|database| DatabaseInfo {
                version: database.version,
                updated_at: database.updated_at,
            }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"Version":"0.66.0","VulnerabilityDB":{"Version":2,"NextUpdate":"2026-10-02T06:00:00Z","UpdatedAt":"2026-10-01T06:00:00.5Z","DownloadedAt":"2026-10-01T09:00:00Z"}}"#;

    #[test]
    fn the_database_is_read_from_the_servers_answer() {
        let version = parse(ANSWER.as_bytes()).unwrap();
        assert_eq!(version.version, "0.66.0");
        let updated_at = "2026-10-01T06:00:00.5Z".parse().unwrap();
        assert_eq!(version.database, Some(DatabaseInfo { version: 2, updated_at }));
    }

    #[test]
    fn a_server_without_a_database_says_so() {
        assert_eq!(parse(r#"{"Version":"0.66.0"}"#.as_bytes()).unwrap().database, None);
        let never_made = ANSWER.replace("2026-10-01T06:00:00.5Z", "0001-01-01T00:00:00Z");
        assert_eq!(parse(never_made.as_bytes()).unwrap().database, None);
    }

    #[test]
    fn what_is_not_a_version_is_an_error() {
        for text in ["", "ok", "<html>", "{}", r#"{"Version":"0.66.0","VulnerabilityDB":{}}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
