//! Bytes to a review of one kind. The first says how the rest is read: as JSON of the object, which finds what parsers do with
//! text, or as changes of a seed, which stay of their kind for longer and so reach the rules.

use imagefactory_webhook::review::Asked;
use serde_json::{Value, json};

use crate::seeds;

/// Changes that one input makes of an object, at most.
const CHANGES: u8 = 6;
/// People of the worlds, and some who are nobody there.
const USERS: [(&str, &[&str]); 9] = [
    ("olga", &["system:authenticated"]),
    ("adam", &[]),
    ("mia", &[]),
    ("vic", &["ops"]),
    ("eve", &[]),
    ("pat", &["platform"]),
    ("sam", &["security"]),
    ("system:serviceaccount:image-factory:operator", &[]),
    ("system:serviceaccount:flux-system:kustomize-controller", &[]),
];
/// Texts that mean something somewhere.
const TEXTS: [&str; 16] = [
    "shop",
    "settings",
    "acme",
    "olga",
    "system:masters",
    "..",
    "",
    "imagefactory-x",
    "tenant-acme",
    "0",
    "1Gi",
    "5m",
    "registry.example.com/acme/shop:1",
    "\u{202e}é\u{0}",
    "APP-1",
    "{{ .x }}",
];

/// One review of a kind, with the world that it is asked in.
#[derive(Debug)]
pub struct Input {
    /// The review.
    pub asked: Asked,
    /// Number of the world.
    pub world: u8,
    /// What is asked is what is known, too: a tenant or project as strange as the write.
    pub is_known: bool,
}

/// What is read from, byte by byte; zeros when there are no more.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn index(&mut self, count: usize) -> usize {
        let number = usize::from(self.next()) << 8 | usize::from(self.next());
        number % count.max(1)
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.next()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// An input that is read as JSON.
#[must_use]
pub fn as_json(operation: u8, object: &[u8]) -> Vec<u8> {
    [&[0, operation, 0, 0], object].concat()
}

/// An input that is read as changes.
#[must_use]
pub fn as_changes(operation: u8, rest: &[u8]) -> Vec<u8> {
    [&[1, operation, operation, operation][..], rest].concat()
}

/// The review that an input means.
#[must_use]
pub fn of_kind(kind: &str, bytes: &[u8]) -> Input {
    let mut bytes = Bytes(bytes);
    let mode = bytes.next();
    let operation = ["CREATE", "UPDATE", "DELETE"][usize::from(bytes.next()) % 3];
    let (user, world) = (bytes.next(), bytes.next());
    let (old, new) = if mode & 1 == 0 {
        json_pair(bytes.0)
    } else {
        let old = changed(kind, &mut bytes);
        // Most updates change little of what is there.
        let new = if mode & 2 == 0 {
            edit(old.clone(), &mut bytes)
        } else {
            changed(kind, &mut bytes)
        };
        (old, new)
    };
    Input {
        asked: asked(kind, operation, user, (old, new)),
        world,
        is_known: mode & 4 != 0,
    }
}

/// Two objects with a byte between them that JSON does not have; one is both.
fn json_pair(bytes: &[u8]) -> (Value, Value) {
    let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    match bytes.iter().position(|byte| *byte == 0xff) {
        Some(at) => (read(&bytes[..at]), read(&bytes[at + 1..])),
        None => (read(bytes), read(bytes)),
    }
}

fn changed(kind: &str, bytes: &mut Bytes<'_>) -> Value {
    let seeds = seeds::of(kind);
    let mut object = seeds
        .get(bytes.index(seeds.len()))
        .map_or(Value::Null, |seed| (*seed).clone());
    if let Some(namespace) = object.pointer_mut("/metadata/namespace") {
        *namespace = json!("tenant-acme");
    }
    edit(object, bytes)
}

fn edit(mut object: Value, bytes: &mut Bytes<'_>) -> Value {
    for _ in 0..bytes.next() % CHANGES {
        let mut places = Vec::new();
        collect(&object, "", &mut places);
        let Some(place) = places.get(bytes.index(places.len())) else {
            break;
        };
        let with = value(bytes, &object, &places);
        match (bytes.next() % 4, object.pointer_mut(place)) {
            (0, Some(Value::Array(list))) => list.push(with),
            (1, Some(Value::Object(map))) => drop(map.insert(bytes.text(), with)),
            (_, Some(at)) => *at = with,
            (_, None) => {}
        }
    }
    object
}

/// Something to put there: simple, known to mean something, or taken from elsewhere in the object.
fn value(bytes: &mut Bytes<'_>, object: &Value, places: &[String]) -> Value {
    match bytes.next() % 10 {
        0 => Value::Null,
        1 => json!(bytes.next() & 1 == 0),
        2 => json!(bytes.next()),
        3 => json!(i64::from_le_bytes(std::array::from_fn(|_| bytes.next()))),
        4 => json!({}),
        5 => json!([]),
        6 => json!(bytes.text().repeat(usize::from(bytes.next()) + 1)),
        7 => json!(bytes.text()),
        8 => json!(TEXTS[bytes.index(TEXTS.len())]),
        _ => {
            let place = places.get(bytes.index(places.len()));
            place
                .and_then(|place| object.pointer(place))
                .cloned()
                .unwrap_or_default()
        }
    }
}

/// Pointers to all that is written in metadata and spec.
fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        collect(value, &at, places);
        places.push(at);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(&index.to_string(), value)),
        _ => {}
    }
}

fn asked(kind: &str, operation: &str, user: u8, (old, new): (Value, Value)) -> Asked {
    let mut review = seeds::review(&Value::Null);
    let request = &mut review["request"];
    let (name, groups) = USERS[usize::from(user) % USERS.len()];
    let cluster_wide = ["Tenant", "SorRecord", "ImagePolicy"].contains(&kind);
    let named = if operation == "CREATE" { &new } else { &old };
    request["kind"]["kind"] = json!(kind);
    request["operation"] = json!(operation);
    request["userInfo"] = json!({"username": name, "groups": groups});
    request["name"] = json!(named["metadata"]["name"].as_str().unwrap_or("x"));
    request["namespace"] = if cluster_wide {
        Value::Null
    } else {
        json!("tenant-acme")
    };
    let as_sent = |object: Value| {
        if object["metadata"].is_object() {
            object
        } else {
            json!({"metadata": {}, "data": object})
        }
    };
    request["object"] = if operation == "DELETE" {
        Value::Null
    } else {
        as_sent(new)
    };
    request["oldObject"] = if operation == "CREATE" {
        Value::Null
    } else {
        as_sent(old)
    };
    // What can't be a review at all is another target's; here it is asked about as an object of nothing.
    imagefactory_webhook::review::read(review.to_string().as_bytes()).unwrap_or_else(|_| {
        review["request"]["object"] = json!({"metadata": {}});
        review["request"]["oldObject"] = json!({"metadata": {}});
        imagefactory_webhook::review::read(review.to_string().as_bytes()).unwrap()
    })
}
