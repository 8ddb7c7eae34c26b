//! What a failed test tells of its tenant: objects, events, pods and logs, each within bounds.

use crate::cluster::Cluster;

/// Most that one command may add, in bytes.
const BOUND: usize = 12_000;

/// Everything of a tenant that helps to find out why its test failed.
pub(crate) fn of_tenant(cluster: &Cluster, tenant: &str, namespace: &str) -> String {
    let work = cluster.installation.work_namespace();
    let label = format!("imagefactory.dev/tenant={tenant}");
    let mut text = String::new();
    let mut add = |title: &str, arguments: &[&str]| {
        let answer = cluster.kubectl().run(arguments);
        text.push_str(&format!(
            "--- {title}\n{}\n",
            end_of(&format!("{}{}", answer.stdout, answer.stderr))
        ));
    };
    add("tenant", &["get", "tenant", tenant, "-o", "jsonpath={.status}"]);
    add(
        "objects",
        &["get", "builds,projects,tenantsettings", "-n", namespace, "-o", "wide"],
    );
    add("builds", &["get", "builds", "-n", namespace, "-o", "yaml"]);
    add(
        "events",
        &["get", "events", "-n", namespace, "--sort-by", ".lastTimestamp"],
    );
    add("pods", &["get", "pods", "-n", namespace, "-o", "wide"]);
    add("jobs", &["get", "jobs,pods", "-n", work, "-l", &label, "-o", "wide"]);
    let all = ["--all-containers", "--prefix", "--tail", "30", "--ignore-errors"];
    add("logs", &[&["logs", "-n", namespace, "-l", &label], &all[..]].concat());
    add(
        "logs of jobs",
        &[&["logs", "-n", work, "-l", &label], &all[..]].concat(),
    );
    let operator = format!("deployment/{}", cluster.installation.operator);
    let release = &cluster.installation.namespace;
    add(
        "operator",
        &[
            "logs",
            "-n",
            release,
            &operator,
            "--all-pods",
            "--prefix",
            "--tail",
            "30",
        ],
    );
    text
}

/// The last bytes of a text, cut between characters.
fn end_of(text: &str) -> String {
    let begin = text.len().saturating_sub(BOUND);
    let begin = (begin..text.len())
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(text.len());
    text.get(begin..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = format!("{}end", "ü".repeat(BOUND));
        let end = end_of(&text);
        assert!(end.len() <= BOUND && end.ends_with("end"));
        assert_eq!(end_of("short"), "short");
    }
}
