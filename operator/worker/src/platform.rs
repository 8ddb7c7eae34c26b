//! What an image is for: operating system, architecture, and where there are several of one, the variant.

use std::fmt;

use serde::Deserialize;

/// Longest part of a platform's name.
const MAX_PART: usize = 32;

/// A platform, spelt in the one way that all spellings of it have in common: `arm64` is `arm64/v8`, `arm` is `arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A platform as a document says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct RawPlatform {
    os: String,
    architecture: String,
    variant: String,
}

impl Platform {
    /// Takes a name such as `linux/amd64` or `linux/arm/v7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] if !variant.is_empty() => (os, architecture, *variant),
            _ => return None,
        };
        Self::new(os, architecture, variant)
    }

    /// Takes what a document says; none where it says no operating system, no architecture, or something else than names.
    pub(crate) fn of(raw: &RawPlatform) -> Option<Self> {
        Self::new(&raw.os, &raw.architecture, &raw.variant)
    }

    fn new(os: &str, architecture: &str, variant: &str) -> Option<Self> {
        let plain = |text: &str| {
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            text.len() <= MAX_PART && text.bytes().all(letter)
        };
        let named = !os.is_empty() && !architecture.is_empty();
        if !named || ![os, architecture, variant].into_iter().all(plain) {
            return None;
        }
        let variant = match (architecture, variant) {
            ("amd64", "v1") | ("arm64", "8" | "v8") => "",
            ("arm", "" | "7") => "v7",
            ("arm", "5") => "v5",
            ("arm", "6") => "v6",
            (_, variant) => variant,
        };
        Some(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: (!variant.is_empty()).then(|| variant.to_owned()),
        })
    }

    /// Whether this is no platform at all, as what describes an image is marked in an index.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl RawPlatform {
    /// What an index and the image's own configuration say together. None where they contradict each other: one of them
    /// would decide where the image runs, the other what it is taken for.
    pub(crate) fn agreeing(index: Option<&Self>, config: &Self) -> Option<Platform> {
        let Some(index) = index else {
            return Platform::of(config);
        };
        let either = |one: &str, other: &str| if one.is_empty() { other } else { one }.to_owned();
        let filled = |own: &Self, other: &Self| Self {
            os: own.os.clone(),
            architecture: own.architecture.clone(),
            variant: either(&own.variant, &other.variant),
        };
        let (named, own) = (
            Platform::of(&filled(index, config))?,
            Platform::of(&filled(config, index))?,
        );
        (named == own).then_some(named)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawPlatform {
        let mut parts = text.split('/').map(str::to_owned);
        RawPlatform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next().unwrap_or_default(),
        }
    }

    #[test]
    fn spellings_of_one_platform_are_equal() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("unknown/unknown", "unknown/unknown"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert!(Platform::parse("unknown/unknown").unwrap().is_unknown());
    }

    #[test]
    fn what_is_no_platform_is_none() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/",
            "linux/arm/v7/x",
            "Linux/amd64",
            "linux/a md",
            "linux/\u{fc}",
        ] {
            assert_eq!(Platform::parse(text), None, "{text:?}");
        }
        assert_eq!(Platform::parse(&format!("linux/{}", "a".repeat(MAX_PART + 1))), None);
    }

    #[test]
    fn an_index_may_say_more_than_a_configuration_but_nothing_else() {
        for (index, config, agreed) in [
            ("linux/arm/v6", "linux/arm", Some("linux/arm/v6")),
            ("linux/arm", "linux/arm/v6", Some("linux/arm/v6")),
            ("linux/arm64/v8", "linux/arm64", Some("linux/arm64")),
            ("linux/arm64", "linux/amd64", None),
            ("linux/arm/v7", "linux/arm/v6", None),
            ("windows/amd64", "linux/amd64", None),
            ("linux", "linux/amd64", None),
        ] {
            let found = RawPlatform::agreeing(Some(&raw(index)), &raw(config));
            assert_eq!(
                found.map(|found| found.to_string()).as_deref(),
                agreed,
                "{index} {config}"
            );
        }
        let alone = RawPlatform::agreeing(None, &raw("linux/amd64"));
        assert_eq!(alone.map(|found| found.to_string()).as_deref(), Some("linux/amd64"));
    }
}
