//! Newtypes for strings that users write: each carries its bounds and its pattern into the schema.
//!
//! A tenant's string can end up in a path, an argument, a host name or a label, so none is left unbounded, and
//! the pattern allows what is needed instead of refusing what is known to be bad.

/// Declares string newtypes whose JSON schema has a length, a pattern and optional CEL rules.
macro_rules! bounded_strings {
    ($(
        $(#[$doc:meta])*
        $name:ident { min: $min:expr, max: $max:expr, pattern: $pattern:expr $(, rules: [$(($rule:expr, $message:expr)),+ $(,)?])? }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// Shortest length that the schema admits, in characters.
            pub const MIN_LENGTH: u32 = $min;
            /// Greatest length that the schema admits, in characters.
            pub const MAX_LENGTH: u32 = $max;
            /// The pattern of the schema (RE2 and Rust agree on it).
            pub const PATTERN: &'static str = $pattern;

            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                #[allow(unused_mut)]
                let mut schema = schemars::json_schema!({
                    "type": "string",
                    "minLength": $min,
                    "maxLength": $max,
                    "pattern": $pattern,
                });
                $(
                    schema.insert(
                        "x-kubernetes-validations".to_owned(),
                        serde_json::json!([$({"rule": $rule, "message": $message}),+]),
                    );
                )?
                schema
            }
        }
    )+};
}
