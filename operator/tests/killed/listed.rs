//! What is on record, by `operator audit list` and `operator audit verify`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::asking::{MANY, Tally};

/// What does not fit what people were told; empty where everything does.
pub fn compare(operator: &Path, database: &str, tally: &Tally) -> Vec<String> {
    let counts = counts(operator, database);
    let mut wrong = Vec::new();
    for (user, (answered, unanswered)) in &tally.0 {
        let count = counts.get(user).copied().unwrap_or_default();
        if count < *answered || count > answered + unanswered {
            wrong.push(format!(
                "{user}: {answered} answered, {unanswered} not, {count} on record"
            ));
        }
    }
    wrong.extend(
        counts
            .keys()
            .filter(|user| !tally.0.contains_key(*user))
            .map(|user| format!("{user} never asked")),
    );
    wrong.truncate(20);
    wrong
}

/// The hash chain is whole.
pub fn verify(operator: &Path, database: &str) {
    let verified = run(operator, &["verify", "--database", database]);
    assert!(verified.contains("entries are whole"), "{verified}");
}

/// Somebody's refusals were counted together.
pub fn is_folded(operator: &Path, database: &str) {
    let folded = entries(operator, database).iter().any(|entry| {
        entry["event"]["actor"]["user"] == MANY && entry["event"]["count"].as_u64().is_some_and(|count| count > 1)
    });
    assert!(folded, "no refusals of {MANY} were counted together");
}

/// Refusals by user.
fn counts(operator: &Path, database: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in entries(operator, database) {
        let event = &entry["event"];
        let code = event["code"].as_str().unwrap();
        assert!(
            ["tenant_capability_not_entitled", "decision_unavailable"].contains(&code),
            "{entry}"
        );
        let user = event["actor"]["user"].as_str().unwrap().to_owned();
        *counts.entry(user).or_default() += usize::try_from(event["count"].as_u64().unwrap()).unwrap();
    }
    counts
}

fn entries(operator: &Path, database: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let before = all.last().map(|entry| entry["seq"].to_string());
        let mut arguments = vec!["list", "--database", database, "--limit", "1000", "--output", "json"];
        if let Some(before) = &before {
            arguments.extend(["--before", before]);
        }
        let page = run(operator, &arguments);
        let page: Vec<Value> = page.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn run(operator: &Path, arguments: &[&str]) -> String {
    let output = Command::new(operator).arg("audit").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
