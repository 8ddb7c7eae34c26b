//! From what was fetched to what is done: which records are made, changed and removed, and which are as they should be.

use std::collections::BTreeMap;

use imagefactory_crds::names::{LABEL_MANAGED_BY, LABEL_SOR_SOURCE, MANAGED_BY, RESERVED_PREFIX};
use imagefactory_crds::{SorRecord, SorRecordSpec};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::listing::Listing;

/// Value of [`LABEL_SOR_SOURCE`].
pub const SOURCE_HTTP: &str = "http";
/// Longest part of an id in a name.
const LONGEST_WORD: usize = 40;
/// Hexadecimal digits of an id's hash in a name.
const HASH_DIGITS: usize = 10;

/// What is done to one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is made.
    Apply(Box<SorRecord>),
    /// It becomes what was fetched and nothing else, by this merge patch. Applied, it would keep the tenants that somebody
    /// else had added: a set is the sum of what its managers put into it.
    Change(Box<SorRecord>, Value),
    /// The system of record has it no more.
    Remove(Box<SorRecord>),
}

/// What follows from a fetch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchPlan {
    /// What is done, in the order of names.
    pub actions: Vec<Action>,
    /// Names of records that are what was fetched.
    pub confirmed: Vec<String>,
    /// Names of records in the way: they were not fetched, and are left alone.
    pub in_the_way: Vec<String>,
}

/// What follows from what was fetched. A record that the list has and that is bad is neither changed nor removed nor
/// confirmed: it counts until its age ends it.
#[must_use]
pub fn plan(listing: &Listing, existing: &[&SorRecord]) -> FetchPlan {
    let mut known: BTreeMap<&str, &SorRecord> = existing
        .iter()
        .filter_map(|record| Some((record.metadata.name.as_deref()?, *record)))
        .collect();
    let mut plan = FetchPlan::default();
    for spec in &listing.records {
        let name = object_name(&spec.record_id);
        match known.remove(name.as_str()) {
            Some(there) if !is_ours(there) => plan.in_the_way.push(name),
            Some(there) if there.spec == *spec => plan.confirmed.push(name),
            Some(there) => {
                let patch = change(&there.spec, spec);
                plan.actions.push(Action::Change(Box::new(object(&name, spec)), patch));
            }
            None => plan.actions.push(Action::Apply(Box::new(object(&name, spec)))),
        }
    }
    for id in listing.rejected.iter().filter_map(|rejected| rejected.id.as_deref()) {
        known.remove(object_name(id).as_str());
    }
    let gone = known.into_values().filter(|record| is_ours(record));
    plan.actions
        .extend(gone.map(|record| Action::Remove(Box::new(record.clone()))));
    plan
}

/// Name of the SorRecord that is made for an id: what of it a name may hold, and a hash, since ids that differ may look
/// alike in a name.
#[must_use]
pub fn object_name(id: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let word: String = id.chars().take(LONGEST_WORD).map(fold).collect();
    let hash: String = Sha256::digest(id.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let hash: String = hash.chars().take(HASH_DIGITS).collect();
    match word.trim_matches('-') {
        "" => format!("r-{hash}"),
        word if word.starts_with(RESERVED_PREFIX.trim_end_matches('-')) => format!("r-{word}-{hash}"),
        word => format!("{word}-{hash}"),
    }
}

/// The merge patch from one spec to the other. What the other does not have goes.
fn change(there: &SorRecordSpec, wanted: &SorRecordSpec) -> Value {
    let fields = |spec: &SorRecordSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut spec: Map<String, Value> = fields(there).into_iter().map(|(key, _)| (key, Value::Null)).collect();
    spec.extend(fields(wanted));
    json!({"spec": spec})
}

/// Whether the operator made it from what it fetched.
fn is_ours(record: &SorRecord) -> bool {
    let labels = record.metadata.labels.as_ref();
    let value = labels.and_then(|labels| labels.get(LABEL_SOR_SOURCE));
    value.is_some_and(|source| source == SOURCE_HTTP)
}

fn object(name: &str, spec: &SorRecordSpec) -> SorRecord {
    let mut record = SorRecord::new(name, spec.clone());
    let labels = [(LABEL_MANAGED_BY, MANAGED_BY), (LABEL_SOR_SOURCE, SOURCE_HTTP)];
    record.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    record
}

#[cfg(test)]
mod tests {
    use super::super::listing::parse;
    use super::*;
    use proptest::prelude::*;

    fn listing(ids: &[&str]) -> Listing {
        let records: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        parse(json!({"records": records}).to_string().as_bytes()).unwrap()
    }

    /// What is there after a plan was carried out.
    fn done(plan: &FetchPlan, mut there: BTreeMap<String, SorRecord>) -> BTreeMap<String, SorRecord> {
        for action in &plan.actions {
            match action {
                Action::Apply(record) | Action::Change(record, _) => {
                    there.insert(record.metadata.name.clone().unwrap(), (**record).clone());
                }
                Action::Remove(record) => {
                    there.remove(record.metadata.name.as_deref().unwrap()).unwrap();
                }
            }
        }
        there
    }

    fn planned(listing: &Listing, there: &BTreeMap<String, SorRecord>) -> FetchPlan {
        plan(listing, &there.values().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_new_is_made_what_changed_becomes_it_and_what_is_gone_goes() {
        let there = done(
            &planned(&listing(&["APP-1", "APP-2"]), &BTreeMap::new()),
            BTreeMap::new(),
        );
        assert_eq!(there.len(), 2);
        let mut next = listing(&["APP-2", "APP-3"]);
        next.records[0].suspended = true;
        let plan = planned(&next, &there);
        let words: Vec<_> = plan
            .actions
            .iter()
            .map(|action| match action {
                Action::Apply(record) => format!("apply {}", record.spec.record_id),
                Action::Change(record, _) => format!("change {}", record.spec.record_id),
                Action::Remove(record) => format!("remove {}", record.spec.record_id),
            })
            .collect();
        assert_eq!(words, ["change APP-2", "apply APP-3", "remove APP-1"]);
        assert_eq!(plan.confirmed, Vec::<String>::new());
    }

    #[test]
    fn what_somebody_added_to_a_fetched_record_goes_again() {
        let list = listing(&["APP-1"]);
        let mut there = done(&planned(&list, &BTreeMap::new()), BTreeMap::new());
        let record = there.values_mut().next().unwrap();
        record.spec = serde_json::from_value(json!({
            "recordId": "APP-1", "tenants": ["somebody-else"], "product": "Another",
        }))
        .unwrap();
        let actions = planned(&list, &there).actions;
        let [Action::Change(_, patch)] = actions.as_slice() else {
            panic!("{actions:?}");
        };
        assert_eq!(patch["spec"]["product"], Value::Null);
        assert!(patch["spec"].as_object().unwrap().contains_key("tenants"));
        assert_ne!(patch["spec"]["tenants"], json!(["somebody-else"]));
    }

    #[test]
    fn a_second_fetch_of_the_same_confirms_all_and_does_nothing() {
        let list = listing(&["APP-1", "APP-2"]);
        let there = done(&planned(&list, &BTreeMap::new()), BTreeMap::new());
        let again = planned(&list, &there);
        assert_eq!((again.actions.len(), again.confirmed.len()), (0, 2));
        assert!(there.values().all(SorRecord::is_fetched));
    }

    #[test]
    fn a_record_that_is_bad_now_is_neither_changed_nor_removed_nor_confirmed() {
        let there = done(&planned(&listing(&["APP-1"]), &BTreeMap::new()), BTreeMap::new());
        let bad = parse(br#"{"records": [{"id": "APP-1", "oops": 1}]}"#).unwrap();
        assert_eq!(planned(&bad, &there), FetchPlan::default());
    }

    #[test]
    fn records_that_are_kept_by_hand_are_left_alone() {
        let by_hand = |name: &str| (name.to_owned(), SorRecord::new(name, SorRecordSpec::default()));
        let name = object_name("APP-1");
        let there: BTreeMap<_, _> = [by_hand("mine"), by_hand(&name)].into();
        let plan = planned(&listing(&["APP-1"]), &there);
        assert_eq!((plan.actions.len(), plan.confirmed.len()), (0, 0));
        assert_eq!(plan.in_the_way, [name]);
    }

    #[test]
    fn names_tell_ids_apart_and_are_no_reserved_ones() {
        assert!(object_name("APP-4711").starts_with("app-4711-"));
        assert_ne!(object_name("APP.1"), object_name("app-1"));
        assert!(object_name("imagefactory-1").starts_with("r-imagefactory-1-"));
    }

    proptest! {
        #[test]
        fn every_id_has_a_name_that_the_schema_admits(id in "[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?") {
            let name = object_name(&id);
            prop_assert!(name.len() <= 63 && !name.starts_with(RESERVED_PREFIX));
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
        }

        #[test]
        fn after_any_two_fetches_there_is_what_the_second_said(
            first in proptest::collection::btree_set("APP-[0-9]", 0..8),
            second in proptest::collection::btree_set("APP-[0-9]", 0..8),
        ) {
            let ids = |ids: &std::collections::BTreeSet<String>| listing(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            let there = done(&planned(&ids(&first), &BTreeMap::new()), BTreeMap::new());
            let there = done(&planned(&ids(&second), &there), there);
            let names: std::collections::BTreeSet<_> = second.iter().map(|id| object_name(id)).collect();
            prop_assert_eq!(there.into_keys().collect::<std::collections::BTreeSet<_>>(), names);
        }
    }
}
