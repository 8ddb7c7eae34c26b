//! A Dockerfile as a list of instructions, each with the place of every byte of it in the file.
//!
//! This follows the builder's own reader line by line: directives, comments, continuations, heredocs. It must see
//! an instruction wherever the builder sees one, and the places are what lets [`super::pin`] change one word and
//! leave every other byte as it was.

use std::ops::Range;

use super::DockerfileError;
use super::words::{WordError, split_plain, split_raw};

/// Longest Dockerfile that is read.
pub(in crate::prepare) const MAX_DOCKERFILE: usize = 1 << 20;

/// What an instruction may begin with.
const KEYWORDS: [&str; 18] = [
    "add", "arg", "cmd", "copy", "entrypoint", "env", "expose", "from", "healthcheck", "label", "maintainer", "onbuild",
    "run", "shell", "stopsignal", "user", "volume", "workdir",
];

/// A file taken apart.
#[derive(Debug)]
pub(in crate::prepare) struct Source {
    /// The character that escapes: `\`, or a backtick where the file says so.
    pub(in crate::prepare) escape: char,
    /// What it tells the builder to do, in order.
    pub(in crate::prepare) instructions: Vec<Instruction>,
}

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
#[derive(Clone, Debug)]
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
        let whole = |(text, places)| Self { text: String::from_utf8(text).unwrap_or_default(), places };
        words.into_iter().map(whole).collect()
    }

    fn trim(mut self) -> Self {
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

    fn push(&mut self, text: &str, place: usize) {
        self.text.push_str(text);
        self.places.extend(place..place + text.len());
    }
}

/// Takes a Dockerfile apart.
pub(in crate::prepare) fn read(text: &str) -> Result<Source, DockerfileError> {
    if text.len() > MAX_DOCKERFILE {
        return Err(DockerfileError::TooLong);
    }
    if text.contains('\0') {
        return Err(DockerfileError::NotText);
    }
    let mut reader = Reader::new(text);
    let mut instructions = Vec::new();
    while let Some((line, joined)) = reader.joined_line()? {
        let (instruction, heredocs) =
            instruction(line, joined, reader.escape).map_err(|problem| DockerfileError::at(line, problem))?;
        for heredoc in heredocs {
            reader.skip_heredoc(line, &heredoc)?;
        }
        instructions.push(instruction);
    }
    Ok(Source { escape: reader.escape, instructions })
}

struct Reader<'a> {
    /// Lines with their ends, and where they begin.
    lines: std::vec::IntoIter<(usize, &'a str)>,
    number: usize,
    escape: char,
    directives: Directives,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut place = 0;
        let mut lines: Vec<(usize, &str)> = Vec::new();
        for line in text.split_inclusive('\n') {
            lines.push((place, line));
            place += line.len();
        }
        if let Some(first) = lines.first_mut()
            && let Some(rest) = first.1.strip_prefix('\u{feff}')
        {
            *first = ('\u{feff}'.len_utf8(), rest);
        }
        Self { lines: lines.into_iter(), number: 0, escape: '\\', directives: Directives::default() }
    }

    /// The next line that is neither empty nor a comment, with those that continue it.
    fn joined_line(&mut self) -> Result<Option<(usize, Word)>, DockerfileError> {
        while let Some((place, line)) = self.lines.next() {
            self.number += 1;
            let first = self.number;
            let line = line.trim_end_matches(['\r', '\n']);
            let stripped = line.trim_start();
            let place = place + line.len() - stripped.len();
            self.directive(stripped)?;
            if stripped.is_empty() || is_comment(stripped) {
                continue;
            }
            let mut joined = Word { text: String::new(), places: Vec::new() };
            let (text, mut continues) = without_continuation(stripped, self.escape);
            joined.push(text, place);
            while continues {
                let Some((place, line)) = self.lines.next() else { break };
                self.number += 1;
                let line = line.trim_end_matches(['\r', '\n']);
                if is_comment(line) || line.trim_start().is_empty() {
                    continue;
                }
                let (text, more) = without_continuation(line, self.escape);
                joined.push(text, place);
                continues = more;
            }
            return Ok(Some((first, joined)));
        }
        Ok(None)
    }

    fn directive(&mut self, line: &str) -> Result<(), DockerfileError> {
        let number = self.number;
        match self.directives.read(line) {
            Ok(Some(escape)) => self.escape = escape,
            Ok(None) => {}
            Err(problem) => return Err(DockerfileError::at(number, problem)),
        }
        Ok(())
    }

    fn skip_heredoc(&mut self, line: usize, heredoc: &Heredoc) -> Result<(), DockerfileError> {
        for (_, text) in self.lines.by_ref() {
            self.number += 1;
            let text = text.trim_end_matches(['\r', '\n']);
            let text = if heredoc.chomp { text.trim_start_matches('\t') } else { text };
            if text == heredoc.name {
                return Ok(());
            }
        }
        Err(DockerfileError::at(line, format!("the heredoc {:?} has no end", heredoc.name)))
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// A line without the escape character that continues it. Doubled, it does not continue.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(text) if !text.ends_with(escape) => (text, true),
        _ => (line, false),
    }
}

/// Directives are the comments `# name=value` that a file begins with.
#[derive(Default)]
struct Directives {
    seen: Vec<String>,
    over: bool,
}

impl Directives {
    /// The escape character, where the line sets it.
    fn read(&mut self, line: &str) -> Result<Option<char>, String> {
        let directive = if self.over { None } else { directive(line) };
        let Some((name, value)) = directive else {
            self.over = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(format!("the directive {name} stands twice"));
        }
        self.seen.push(name.clone());
        match (name.as_str(), value) {
            ("escape", "\\") => Ok(Some('\\')),
            ("escape", "`") => Ok(Some('`')),
            ("escape", _) => Err("the escape directive names neither a backslash nor a backtick".to_owned()),
            _ => Ok(None),
        }
    }
}

fn directive(line: &str) -> Option<(String, &str)> {
    let space = ['\t', '\n', '\u{c}', '\r', ' '];
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim_matches(space).to_ascii_lowercase(), value.trim_matches(space));
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty()).then_some((name, value))
}

/// Takes a joined line apart.
fn instruction(line: usize, joined: Word, escape: char) -> Result<(Instruction, Vec<Heredoc>), String> {
    // Not the trimmed text: a blank at the end can belong to a heredoc's name.
    let whole = joined.text.clone();
    let (keyword, flags, arguments) = take_apart(joined.trim(), escape)?;
    let heredocs = if can_hold_heredoc(&keyword, &arguments, escape)? && whole.contains("<<") {
        heredocs(&whole)?
    } else {
        Vec::new()
    };
    Ok((Instruction { line, keyword, flags, arguments }, heredocs))
}

fn take_apart(joined: Word, escape: char) -> Result<(String, Vec<Word>, Word), String> {
    let space = ['\t', '\u{b}', '\u{c}', '\r', ' '];
    let length = joined.text.find(space).unwrap_or(joined.text.len());
    let keyword: String = joined.text.chars().take_while(|letter| !space.contains(letter)).collect();
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
        flags.push(Word { text, places: ends.into_iter().flatten().copied().collect() });
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

fn can_hold_heredoc(keyword: &str, arguments: &Word, escape: char) -> Result<bool, String> {
    match keyword {
        "add" | "copy" | "run" => Ok(!is_json(&arguments.text)?),
        "onbuild" if !arguments.text.is_empty() => {
            let (keyword, _, arguments) = take_apart(arguments.clone(), escape)?;
            Ok(matches!(keyword.as_str(), "add" | "copy" | "run") && !is_json(&arguments.text)?)
        }
        _ => Ok(false),
    }
}

/// Whether arguments are a JSON list of strings.
fn is_json(arguments: &str) -> Result<bool, String> {
    if !arguments.starts_with('[') {
        return Ok(false);
    }
    let json = serde_json::from_str::<Vec<String>>(arguments).is_ok();
    // Half of a surrogate pair is an error to us and none to the builder.
    if !json && arguments.contains("<<") && arguments.to_ascii_lowercase().contains("\\ud") {
        return Err("a list in JSON form has an escape that is not a character".to_owned());
    }
    Ok(json)
}

struct Heredoc {
    name: String,
    chomp: bool,
}

fn heredocs(line: &str) -> Result<Vec<Heredoc>, String> {
    let words = match split_raw(line) {
        Ok(words) => words,
        Err(error @ (WordError::Name | WordError::TooDeep)) => return Err(error.to_string()),
        // The builder sees no heredoc in a line that it can't split.
        Err(_) => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for word in &words {
        found.extend(heredoc(word)?);
    }
    Ok(found)
}

/// The heredoc that a word begins: a file descriptor, `<<`, perhaps `-`, and a name.
fn heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let Some(rest) = word.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<") else {
        return Ok(None);
    };
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let mut names = split_plain(rest).map_err(|error| format!("a heredoc's name is not clear: {error}"))?;
    Ok(match (names.pop(), names.is_empty()) {
        (Some(name), true) => Some(Heredoc { name, chomp }),
        _ => None,
    })
}

/// As much of tenants' text as a message may carry.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
