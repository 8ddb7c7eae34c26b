//! Reading with limits: a hostile image can make a scanner write a great deal.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::ReportError;

/// Longest document that is read, in bytes. The largest images give about a fifth of it.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// Most entries of one kind that a document may hold: findings, packages, components.
pub(super) const MAX_ENTRIES: usize = 250_000;

/// Reads one JSON document and nothing after it.
pub(super) fn read<T: DeserializeOwned>(reader: impl Read) -> Result<T, ReportError> {
    Ok(serde_json::from_reader(BufReader::new(Limited {
        reader,
        left: MAX_BYTES,
    }))?)
}

/// A reader that fails where `take` would pretend that the document ended.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = u64::try_from(count)
            .ok()
            .and_then(|count| self.left.checked_sub(count))
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the document is too long"))?;
        Ok(count)
    }
}

/// A list with at most [`MAX_ENTRIES`] entries. `null` is not a list.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    add(&mut list, entry)?;
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

/// Adds an entry if there is room.
pub(super) fn add<T, E: de::Error>(list: &mut Vec<T>, entry: T) -> Result<(), E> {
    if list.len() == MAX_ENTRIES {
        return Err(E::custom("too many entries"));
    }
    list.push(entry);
    Ok(())
}

/// How long a list is, without holding it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length(pub(super) usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut length = 0usize;
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    length = length
                        .checked_add(1)
                        .ok_or_else(|| A::Error::custom("too many entries"))?;
                }
                Ok(Length(length))
            }
        }
        deserializer.deserialize_seq(Counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_never_ends_is_an_error() {
        let endless = BufReader::new(Limited {
            reader: io::repeat(b' '),
            left: 100_000,
        });
        let error = serde_json::from_reader::<_, IgnoredAny>(endless).unwrap_err();
        assert!(matches!(ReportError::from(error), ReportError::Io(_)));
    }

    #[test]
    fn a_document_of_the_greatest_length_is_read() {
        let text = "[1, 2]";
        for (left, is_read) in [(6, true), (5, false)] {
            let result = serde_json::from_reader::<_, Length>(Limited {
                reader: text.as_bytes(),
                left,
            });
            assert_eq!(result.is_ok_and(|length| length.0 == 2), is_read, "{left}");
        }
    }
}
