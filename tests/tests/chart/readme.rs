//! The table of values in the chart's README is what values.yaml says.

use imagefactory_tests::chart::{folder, read};
use serde_json::Value;

const BEGIN: &str =
    "<!-- values: written by UPDATE_README=1 cargo test -p imagefactory-tests --test chart readme:: -->\n";
const END: &str = "<!-- end of values -->\n";

/// Path, default and description of every value that has a description.
fn described(text: &str) -> Vec<(String, String)> {
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut description = None;
    let mut found = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(said) = content.strip_prefix("# -- ") {
            description = Some(said);
        } else if let Some((key, _)) = content
            .split_once(':')
            .filter(|(key, _)| key.chars().all(char::is_alphanumeric))
        {
            path.retain(|(depth, _)| *depth < indent);
            path.push((indent, key));
            let names: Vec<&str> = path.iter().map(|(_, name)| *name).collect();
            found.extend(description.take().map(|said| (names.join("."), said.to_owned())));
        }
    }
    found
}

fn table() -> String {
    let text = read(&folder().join("values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&text).unwrap();
    let rows = described(&text).into_iter().map(|(path, said)| {
        let default = values.pointer(&format!("/{}", path.replace('.', "/"))).unwrap();
        format!("| `{path}` | `{default}` | {} |\n", said.replace('|', "\\|"))
    });
    format!(
        "| value | default | meaning |\n|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

#[test]
fn the_readme_has_the_table_of_values() {
    let file = folder().join("README.md");
    let readme = read(&file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    let wanted = table();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(there, wanted, "bring it up to date with UPDATE_README=1");
    }
}

#[test]
fn the_table_finds_values_at_every_depth() {
    let found = described(
        "# -- One.\na: 1\nb:\n  # -- Two.\n  c: 2\n  # not described\n  d:\n    # -- Three.\n    e: {}\nf: 3\n",
    );
    let found: Vec<_> = found
        .iter()
        .map(|(path, said)| (path.as_str(), said.as_str()))
        .collect();
    assert_eq!(found, [("a", "One."), ("b.c", "Two."), ("b.d.e", "Three.")]);
}
