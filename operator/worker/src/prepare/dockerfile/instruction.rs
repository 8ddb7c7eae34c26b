//! One instruction taken apart: keyword, flags, arguments, and where each of them stands in the file.

use std::ops::Range;

/// What an instruction may begin with.
const KEYWORDS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// One instruction.
#[derive(Debug)]
pub(in crate::prepare) struct Instruction {
    /// Number of its first line, from 1.
    pub(in crate::prepare) line: usize,
    /// Its first word, in lower case.
    pub(in crate::prepare) keyword: String,
    /// Words after the keyword that begin with `--`.
    pub(in crate::prepare) flags: Vec<Word>,
    /// All after the flags, lines joined.
    pub(in crate::prepare) arguments: Word,
}

/// Text of an instruction and where it stands in the file.
#[derive(Clone, Debug, Default)]
pub(in crate::prepare) struct Word {
    /// The text; of a flag without its quotes and escapes.
    pub(in crate::prepare) text: String,
    /// Place of each byte of the text in the file; of a flag its first and last byte.
    places: Vec<usize>,
}

impl Word {
    /// From its first to behind its last byte in the file.
    pub(in crate::prepare) fn span(&self) -> Range<usize> {
        match (self.places.first(), self.places.last()) {
            (Some(first), Some(last)) => *first..last + 1,
            _ => 0..0,
        }
    }

    /// Its words, where white space alone separates them.
    pub(in crate::prepare) fn split(&self) -> Vec<Self> {
        let space = |byte: u8| matches!(byte, b'\t' | 0x0b | 0x0c | b'\r' | b' ');
        let mut words = Vec::new();
        let mut word = (Vec::new(), Vec::new());
        for (byte, place) in self.text.bytes().zip(&self.places) {
            if !space(byte) {
                word.0.push(byte);
                word.1.push(*place);
            } else if !word.0.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        }
        if !word.0.is_empty() {
            words.push(word);
        }
        let whole = |(text, places)| Self {
            text: String::from_utf8(text).unwrap_or_default(),
            places,
        };
        words.into_iter().map(whole).collect()
    }

    pub(super) fn trim(mut self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        let length = self.text.trim().len();
        self.places = self.places.into_iter().skip(start).take(length).collect();
        self.text = self.text.trim().to_owned();
        self
    }

    /// Cuts off `length` bytes at the front, which must end where a character does.
    fn skip(mut self, length: usize) -> Self {
        self.text = self.text.get(length..).unwrap_or_default().to_owned();
        self.places.drain(..length.min(self.places.len()));
        self
    }

    /// Takes the text at a place of the file in.
    pub(super) fn push(&mut self, text: &str, place: usize) {
        self.text.push_str(text);
        self.places.extend(place..place + text.len());
    }
}

/// Takes a joined line apart into keyword, flags and arguments.
pub(super) fn take_apart(joined: Word, escape: char) -> Result<(String, Vec<Word>, Word), String> {
    let space = ['\t', '\u{b}', '\u{c}', '\r', ' '];
    let length = joined.text.find(space).unwrap_or(joined.text.len());
    let keyword: String = joined
        .text
        .chars()
        .take_while(|letter| !space.contains(letter))
        .collect();
    let lower = keyword.to_ascii_lowercase();
    if !KEYWORDS.contains(&lower.as_str()) {
        return Err(format!("unknown instruction {:?}", cut(&keyword)));
    }
    let (flags, rest) = flags(joined.skip(length), escape)?;
    Ok((lower, flags, rest.trim()))
}

/// Takes the words off that begin with `--`.
fn flags(rest: Word, escape: char) -> Result<(Vec<Word>, Word), String> {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        let text = rest.text.get(at..).unwrap_or_default();
        at += text.bytes().take_while(|byte| is_space(*byte)).count();
        let text = rest.text.get(at..).unwrap_or_default();
        if !text.starts_with("--") {
            return Ok((flags, rest.skip(at)));
        }
        let (length, text) = flag(text, escape)?;
        let ends = [rest.places.get(at), rest.places.get(at + length - 1)];
        at += length;
        if text == "--" {
            return Ok((flags, rest.skip(at)));
        }
        flags.push(Word {
            text,
            places: ends.into_iter().flatten().copied().collect(),
        });
    }
}

/// One flag: how long it is as written, and its text without quotes and escapes.
fn flag(text: &str, escape: char) -> Result<(usize, String), String> {
    let mut plain = String::new();
    let mut quote = None;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        // The builder takes a flag byte by byte, and so takes other letters for something else.
        if !byte.is_ascii() {
            return Err(format!("a flag has characters that are not ASCII: {:?}", cut(text)));
        }
        let letter = char::from(byte);
        if quote.is_none() && is_space(byte) {
            return Ok((at, plain));
        }
        if quote == Some(letter) {
            quote = None;
        } else if quote.is_none() && matches!(letter, '\'' | '"') {
            quote = Some(letter);
        } else if letter == escape {
            match bytes.next() {
                Some((_, next)) if next.is_ascii() => plain.push(char::from(next)),
                Some(_) => return Err(format!("a flag has characters that are not ASCII: {:?}", cut(text))),
                None => {}
            }
        } else {
            plain.push(letter);
        }
    }
    Ok((text.len(), plain))
}

/// White space as the builder sees it, byte by byte.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}

/// As much of tenants' text as a message may carry.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
