//! What the Secret of the webhook's certificates holds.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::Pair;

const LEAF: (&str, &str) = ("tls.crt", "tls.key");
const AUTHORITY: (&str, &str) = ("authority.crt", "authority.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const PREVIOUS: &str = "previous.crt";
/// Key of the certificates that clients trust.
pub const BUNDLE: &str = "ca.crt";

/// All certificates that the replicas share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Who signs.
    pub authority: Option<Pair>,
    /// Who will sign, once everybody trusts it.
    pub next: Option<Pair>,
    /// Certificate of who signed before: leaves of it may be served for some minutes yet.
    pub previous: Option<String>,
    /// What is served.
    pub leaf: Option<Pair>,
}

impl Held {
    /// Reads a Secret's data; what is missing or no text counts as not there.
    #[must_use]
    pub fn read(data: &BTreeMap<String, ByteString>) -> Self {
        let text = |key: &str| {
            let bytes = data.get(key)?;
            let text = std::str::from_utf8(&bytes.0).ok()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let pair = |(certificate, key): (&str, &str)| {
            Some(Pair {
                certificate: text(certificate)?,
                key: text(key)?,
            })
        };
        Self {
            authority: pair(AUTHORITY),
            next: pair(NEXT),
            previous: text(PREVIOUS),
            leaf: pair(LEAF),
        }
    }

    /// As a Secret's data.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::from([(BUNDLE.to_owned(), self.bundle())]);
        let pairs = [(LEAF, &self.leaf), (AUTHORITY, &self.authority), (NEXT, &self.next)];
        for ((certificate, key), pair) in pairs {
            if let Some(pair) = pair {
                data.insert(certificate.to_owned(), pair.certificate.clone());
                data.insert(key.to_owned(), pair.key.clone());
            }
        }
        if let Some(previous) = &self.previous {
            data.insert(PREVIOUS.to_owned(), previous.clone());
        }
        data.into_iter()
            .map(|(key, text)| (key, ByteString(text.into_bytes())))
            .collect()
    }

    /// The certificates that clients trust: who signs first, then who will and who did.
    #[must_use]
    pub fn bundle(&self) -> String {
        let pairs = [&self.authority, &self.next];
        let of_pairs = pairs.into_iter().flatten().map(|pair| pair.certificate.as_str());
        of_pairs.chain(self.previous.as_deref()).collect()
    }
}
