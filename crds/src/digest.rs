//! Digests, and the one way in which a value is written to be digested.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// `sha256:` and the hash of `bytes` in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON with the keys of all objects in order and no white space: equal values have equal texts. Of what JSON can't hold,
/// `null`; structs of strings, numbers and lists are never that.
#[must_use]
pub fn canonical(value: &(impl Serialize + ?Sized)) -> String {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let mut text = String::new();
    write_canonical(&mut text, &value);
    text
}

/// Keys are put in order here, because a dependency's feature decides whether `serde_json` does so.
fn write_canonical(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            write_list(
                text,
                ['{', '}'],
                keys.into_iter().filter_map(|key| map.get_key_value(key)),
                |text, (key, value)| {
                    let _ = write!(text, "{}:", Value::String(key.clone()));
                    write_canonical(text, value);
                },
            );
        }
        Value::Array(list) => write_list(text, ['[', ']'], list.iter(), write_canonical),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

fn write_list<T>(
    text: &mut String,
    [open, close]: [char; 2],
    entries: impl Iterator<Item = T>,
    entry: fn(&mut String, T),
) {
    text.push(open);
    for (position, item) in entries.enumerate() {
        if position > 0 {
            text.push(',');
        }
        entry(text, item);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_has_keys_in_order_and_no_white_space() {
        let value = serde_json::json!({"b": [1, {"d": null, "c": "x\"\n"}], "a": true});
        assert_eq!(canonical(&value), r#"{"a":true,"b":[1,{"c":"x\"\n","d":null}]}"#);
    }

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(
            sha256(""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
