//! An object of a watch, or why it does not parse.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One malformed object must not stop the watch of all others. As [`kube::core::DeserializeGuard`], but parsed from the
/// text: that one makes a tree of every object and a copy of the tree before there is a type, for each event of each pod.
///
/// Without `metadata.managedFields`: nobody reads who wrote what of a watched object, and it would be a tree of many times
/// the rest, for each event, and in a list for all of a page at once.
#[derive(Clone, Debug)]
pub struct Guarded<K>(
    /// The object, or what the parser said and its metadata.
    pub Result<K, InvalidObject>,
);

/// What is read of an object that does not parse.
#[derive(Deserialize)]
struct MetadataAlone {
    #[serde(default)]
    metadata: ObjectMeta,
}

/// Where the managed fields stand in an object's text.
#[derive(Deserialize)]
struct Managed<'a> {
    #[serde(borrow)]
    metadata: ManagedMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedMetadata<'a> {
    #[serde(borrow)]
    managed_fields: &'a RawValue,
}

/// The text of an object, without its managed fields.
fn unmanaged(text: &str) -> Cow<'_, str> {
    let Ok(Managed { metadata }) = serde_json::from_str(text) else {
        return Cow::Borrowed(text);
    };
    // A part of the text, borrowed from it: found by where it lies, since the same words may stand elsewhere too.
    let fields = metadata.managed_fields.get();
    let begin = fields.as_ptr().addr().checked_sub(text.as_ptr().addr());
    let parts = begin.and_then(|begin| Some((text.get(..begin)?, text.get(begin + fields.len()..)?)));
    match parts {
        Some((before, after)) => Cow::Owned([before, "null", after].concat()),
        None => Cow::Borrowed(text),
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = unmanaged(text.get());
        let error = match serde_json::from_str(&text) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let MetadataAlone { metadata } = serde_json::from_str(&text).map_err(D::Error::custom)?;
        Ok(Self(Err(InvalidObject { error, metadata })))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &K::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &K::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &K::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &K::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0
            .as_mut()
            .map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{ObjectList, WatchEvent};

    use super::*;

    const GOOD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}"#;
    const BAD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}, "spec": {"containers": 1}}"#;

    #[test]
    fn an_event_of_an_object_that_does_not_parse_is_an_event_with_its_metadata() {
        let parsed = |object: &str| -> Guarded<Pod> {
            let line = format!(r#"{{"type": "MODIFIED", "object": {object}}}"#);
            match serde_json::from_str(&line).unwrap() {
                WatchEvent::Modified(object) => object,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parsed(GOOD).0.unwrap().metadata.name.as_deref(), Some("a"));
        let invalid = parsed(BAD).0.unwrap_err();
        assert_eq!(invalid.metadata.name.as_deref(), Some("b"));
        assert!(invalid.error.contains("expected a sequence"), "{}", invalid.error);
    }

    #[test]
    fn a_list_is_read_with_what_does_not_parse_in_it() {
        let list = format!(r#"{{"apiVersion": "v1", "kind": "PodList", "metadata": {{}}, "items": [{GOOD}, {BAD}]}}"#);
        let list: ObjectList<Guarded<Pod>> = serde_json::from_str(&list).unwrap();
        let parses: Vec<bool> = list.items.iter().map(|item| item.0.is_ok()).collect();
        assert_eq!(parses, [true, false]);
    }

    #[test]
    fn managed_fields_are_left_out_and_nothing_else_that_reads_like_them() {
        let fields = r#"[{"manager": "x", "fieldsV1": {"f:spec": {}}}]"#;
        let text = format!(
            r#"{{"spec": {{"managedFields": {fields}}}, "metadata": {{"managedFields": {fields}, "name": "a"}}, "data": {fields}}}"#
        );
        let left = format!(
            r#"{{"spec": {{"managedFields": {fields}}}, "metadata": {{"managedFields": null, "name": "a"}}, "data": {fields}}}"#
        );
        assert_eq!(unmanaged(&text), left);
        for as_it_is in [
            GOOD,
            BAD,
            r#"{"metadata": 1}"#,
            r#"{"metadata": {"managedFields": null}}"#,
            "{",
        ] {
            assert_eq!(unmanaged(as_it_is), as_it_is);
        }
    }

    #[test]
    fn what_has_no_readable_metadata_is_no_event() {
        let line = r#"{"type": "MODIFIED", "object": {"metadata": 1}}"#;
        assert!(serde_json::from_str::<WatchEvent<Guarded<Pod>>>(line).is_err());
    }
}
