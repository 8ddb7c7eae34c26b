//! Kubernetes quantities as users write them: `2`, `"500m"`, `"1Gi"`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

/// A Kubernetes quantity, written as a number or a string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// What the schema admits when a quantity is written as a string: no sign, no exponent, at most three decimals.
    pub const PATTERN: &'static str = r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$";

    /// The text as Kubernetes reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum IntOrString {
            Int(u64),
            String(String),
        }
        Ok(Self(match IntOrString::deserialize(deserializer)? {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text,
        }))
    }
}

impl schemars::JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 20,
            "minimum": 0,
            "maximum": 999_999_999_999_i64,
            "pattern": Self::PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_from_a_number_and_from_a_string() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), Quantity::from("2"));
        assert_eq!(
            serde_json::from_str::<Quantity>("\"1Gi\"").unwrap(),
            Quantity::from("1Gi")
        );
        assert!(serde_json::from_str::<Quantity>("-1").is_err());
    }
}
