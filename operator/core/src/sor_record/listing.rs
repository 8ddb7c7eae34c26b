//! What an HTTP system of record answers: a list of records, each judged by itself.
//!
//! `{"records": [{"id", "tenants", "product", "technology", "justification", "expiresAt", "suspended"}]}`; only `id` is
//! required. A field that is not known makes a record bad: it might be the misspelt one that suspends it.

use std::collections::BTreeSet;

use imagefactory_crds::SorRecordSpec;
use imagefactory_crds::common::{DisplayText, ObjectName};
use imagefactory_crds::sor_record::{Justification, RecordId};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

/// Longest answer, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most records in an answer.
pub const MAX_RECORDS: usize = 10_000;
/// Longest that is said of a bad record, in characters.
const MAX_WHY: usize = 200;
/// Most tenants of a record; what the schema admits.
const MAX_TENANTS: usize = 256;

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// It is no list of records.
    #[error("the answer is not a list of records")]
    Malformed(#[from] serde_json::Error),
    /// It has too many.
    #[error("the answer has {0} records, more than {MAX_RECORDS}")]
    TooMany(usize),
}

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Records that are good, each id once.
    pub records: Vec<SorRecordSpec>,
    /// Records that are bad.
    pub rejected: Vec<Rejected>,
}

/// A record that is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the list, from 0.
    pub place: usize,
    /// Its id, where it has one that is good.
    pub id: Option<String>,
    /// What is wrong with it, cut at 200 characters.
    pub why: String,
}

#[derive(Deserialize)]
struct Answer {
    records: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    product: Option<String>,
    #[serde(default)]
    technology: Option<String>,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    suspended: bool,
}

/// Reads an answer.
///
/// # Errors
/// When it is no list of records, or too long a one. A bad record fails alone.
pub fn parse(bytes: &[u8]) -> Result<Listing, ListingError> {
    let answer: Answer = serde_json::from_slice(bytes)?;
    if answer.records.len() > MAX_RECORDS {
        return Err(ListingError::TooMany(answer.records.len()));
    }
    let (mut listing, mut seen) = (Listing::default(), BTreeSet::new());
    for (place, value) in answer.records.into_iter().enumerate() {
        let id = value["id"].as_str().filter(|id| is_id(id)).map(str::to_owned);
        let is_new = id.as_ref().is_none_or(|id| seen.insert(id.clone()));
        let judged = if is_new {
            spec(value)
        } else {
            Err("another record before it has the same id".to_owned())
        };
        match judged {
            Ok(spec) => listing.records.push(spec),
            Err(why) => listing.rejected.push(Rejected {
                place,
                id,
                why: why.chars().take(MAX_WHY).collect(),
            }),
        }
    }
    Ok(listing)
}

fn spec(value: Value) -> Result<SorRecordSpec, String> {
    let entry: Entry = serde_json::from_value(value).map_err(|error| error.to_string())?;
    need(is_id(&entry.id), "id")?;
    need(entry.tenants.len() <= MAX_TENANTS, "tenants")?;
    let tenants: BTreeSet<String> = entry.tenants.into_iter().collect();
    need(tenants.iter().all(|tenant| is_tenant(tenant)), "tenants")?;
    for (text, field) in [(&entry.product, "product"), (&entry.technology, "technology")] {
        let fits = |text: &String| fits(text, DisplayText::MAX_LENGTH, DisplayText::PATTERN);
        need(text.as_ref().is_none_or(fits), field)?;
    }
    let is_reason = |text: &String| fits(text, Justification::MAX_LENGTH, Justification::PATTERN);
    need(entry.justification.as_ref().is_none_or(is_reason), "justification")?;
    Ok(SorRecordSpec {
        record_id: RecordId(entry.id),
        tenants: tenants.into_iter().map(ObjectName).collect(),
        product: entry.product.map(DisplayText),
        technology: entry.technology.map(DisplayText),
        justification: entry.justification.map(Justification),
        // Whole seconds, as objects have them; a part of one is not given away.
        expires_at: entry.expires_at.map(|end| Time(whole(end))),
        suspended: entry.suspended,
    })
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn need(holds: bool, field: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("{field} is not what the field may hold"))
    }
}

fn is_id(id: &str) -> bool {
    fits(id, RecordId::MAX_LENGTH, RecordId::PATTERN) && !id.contains("..")
}

fn is_tenant(name: &str) -> bool {
    fits(name, ObjectName::MAX_LENGTH, ObjectName::PATTERN) && !imagefactory_crds::names::is_reserved(name)
}

/// What the schema would say.
fn fits(text: &str, longest: u32, pattern: &str) -> bool {
    let is_short = u32::try_from(text.chars().count()).is_ok_and(|length| length <= longest);
    is_short && Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parsed(records: &Value) -> Listing {
        parse(json!({"records": records}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_record_has_an_id_and_may_have_the_rest() {
        let listing = parsed(&json!([
            {"id": "APP-1"},
            {"id": "APP-2", "tenants": ["globex", "acme", "acme"], "product": "Shop", "technology": "Java",
             "justification": "Why\nnot.", "expiresAt": "2030-01-01T00:00:00.9Z", "suspended": true},
        ]));
        assert_eq!(listing.rejected, []);
        assert_eq!(listing.records[0].record_id.as_str(), "APP-1");
        assert!(!listing.records[0].suspended);
        let whole = &listing.records[1];
        let tenants: Vec<_> = whole.tenants.iter().map(|tenant| tenant.as_str()).collect();
        assert_eq!(tenants, ["acme", "globex"]);
        assert_eq!(whole.expires_at.as_ref().unwrap().0.to_string(), "2030-01-01T00:00:00Z");
        assert!(whole.suspended);
    }

    #[test]
    fn a_bad_record_fails_alone_and_says_why() {
        for (bad, why) in [
            (json!({}), "missing field `id`"),
            (json!({"id": "a/../b"}), "id is not"),
            (json!({"id": "a..b"}), "id is not"),
            (json!({"id": "APP-2", "suspend": true}), "unknown field `suspend`"),
            (json!({"id": "APP-2", "tenants": ["Acme!"]}), "tenants is not"),
            (json!({"id": "APP-2", "tenants": ["imagefactory-x"]}), "tenants is not"),
            (json!({"id": "APP-2", "product": "a\nb"}), "product is not"),
            (json!({"id": "APP-2", "justification": " "}), "justification is not"),
            (json!({"id": "APP-2", "expiresAt": "soon"}), "failed to parse"),
            (json!({"id": "APP-2", "suspended": "no"}), "invalid type"),
            (json!("APP-2"), "invalid type"),
        ] {
            let listing = parsed(&json!([{"id": "APP-1"}, bad, {"id": "APP-3"}]));
            assert_eq!(listing.records.len(), 2, "{bad}");
            assert_eq!(listing.rejected[0].place, 1);
            let said = &listing.rejected[0].why;
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn of_two_records_with_one_id_the_first_counts_good_or_bad() {
        let listing = parsed(&json!([{"id": "APP-1", "suspended": true}, {"id": "APP-1"}]));
        assert!(listing.records[0].suspended);
        assert_eq!(listing.rejected[0].id.as_deref(), Some("APP-1"));
        let listing = parsed(&json!([{"id": "APP-1", "oops": true}, {"id": "APP-1"}]));
        assert_eq!((listing.records.len(), listing.rejected.len()), (0, 2));
    }

    #[test]
    fn what_is_no_list_is_an_error_and_nothing_is_removed_for_it() {
        for bad in ["", "{}", "[]", "null", "{\"records\": {}}", "<html>"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let many = json!({"records": vec![json!({}); MAX_RECORDS + 1]}).to_string();
        assert!(matches!(parse(many.as_bytes()), Err(ListingError::TooMany(_))));
    }

    proptest! {
        #[test]
        fn nothing_that_is_answered_can_end_the_process(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_id_gets_in_that_the_schema_would_refuse(id in ".{0,80}") {
            let listing = parsed(&json!([{"id": id}]));
            let admitted = !id.is_empty() && id.len() <= 64 && !id.contains("..")
                && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.ends_with(|c: char| c.is_ascii_alphanumeric());
            prop_assert_eq!(listing.records.len(), usize::from(admitted));
        }
    }
}
