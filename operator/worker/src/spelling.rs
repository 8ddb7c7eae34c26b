//! Names in documents, as other tools read them. We take a name as it is written; what is written in Go, as scanners
//! and registries are, also takes it in other letter cases, and the last of several counts. A document that has
//! `layers` and `Layers` would be one thing here and another there.

use serde_json::{Map, Value};

/// What is said of a document that another tool would read otherwise.
pub const MISSPELT: &str = "it spells the name of a field in another letter case";

/// What manifests and configurations are read by.
const NAMES: [&str; 20] = [
    "architecture",
    "artifactType",
    "blobs",
    "config",
    "data",
    "diff_ids",
    "digest",
    "fsLayers",
    "layers",
    "manifests",
    "mediaType",
    "os",
    "platform",
    "rootfs",
    "schemaVersion",
    "size",
    "subject",
    "type",
    "urls",
    "variant",
];

/// Whether `document`, and the objects and lists of objects in its fields `nested`, spell every name that counts in
/// the one right way. Not all of a document is looked at: labels and annotations are called as their authors like.
pub fn well_spelt(document: &[u8], nested: &[&str]) -> bool {
    let Ok(top) = serde_json::from_slice::<Map<String, Value>>(document) else {
        return false;
    };
    let inner = nested.iter().filter_map(|name| top.get(*name));
    object_is(&top) && inner.into_iter().all(value_is)
}

fn value_is(value: &Value) -> bool {
    match value {
        // Of what is nested deeper, only what an image of an index is for counts.
        Value::Object(object) => object_is(object) && object.get("platform").is_none_or(value_is),
        Value::Array(list) => list.iter().all(value_is),
        _ => true,
    }
}

fn object_is(object: &Map<String, Value>) -> bool {
    object.keys().all(|key| {
        let folded = fold(key);
        NAMES.iter().all(|name| key == name || folded != fold(name))
    })
}

/// Go also takes the long s and the Kelvin sign for the letters that they look like.
fn fold(name: &str) -> String {
    let plain = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_other_letters_is_found_where_it_counts() {
        let fine = r#"{"config":{"digest":"a","Labels":{"OS":"b"},"annotations":{"Digest":"c"}},"rootfs":{"type":"layers"},"layers":[{"size":1}]}"#;
        assert!(well_spelt(fine.as_bytes(), &["config", "layers", "rootfs"]));
        for text in [
            r#"{"rootfs":{},"RootFS":{}}"#,
            r#"{"rootf\u017f":{}}"#,
            r#"{"rootfs":{"diff_ids":[],"Diff_IDs":[]}}"#,
            r#"{"layers":[{"digest":"a"},{"digest":"a","Digest":"b"}]}"#,
            r#"{"layers":[],"LAYERS":[]}"#,
            r#"{"layers":[{"platform":{"os":"a","OS":"b"}}]}"#,
            r#"{"layers":[{"Platform":{}}]}"#,
            r#"{"layers":[{"URLs":["http://169.254.169.254/"]}]}"#,
            r#"{"config":{"Data":"e30="}}"#,
            "[]",
        ] {
            assert!(!well_spelt(text.as_bytes(), &["config", "layers", "rootfs"]), "{text}");
        }
    }
}
