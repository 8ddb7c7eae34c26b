//! Words of a Dockerfile as the builder's own lexer sees them: quotes, escapes, variables and where words end.
//!
//! The builder reads the same file after us. Where the two disagreed, a line could be text to us and a `FROM` to
//! the builder, so this follows the builder's lexer step by step, its oddities included, and refuses the few
//! things where following would be guessing.

use std::collections::HashMap;

/// Why text can't be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordError {
    /// A quote has no end.
    #[error("a {0} quote is not closed")]
    Unclosed(&'static str),
    /// `${…}` is not closed, or has nothing that can be understood in it.
    #[error("a substitution ${{…}} is not complete")]
    BadSubstitution,
    /// A substitution of a kind that is not supported.
    #[error("the substitution ${{{0}…}} is not supported; ${{NAME}}, ${{NAME:-default}} and ${{NAME:+value}} are")]
    Unsupported(String),
    /// `${NAME:?message}` on a name without a value.
    #[error("the variable {0} has no value")]
    Unset(String),
    /// A name with letters outside ASCII: readers disagree on what a letter is.
    #[error("a variable's name has characters that are not ASCII")]
    Name,
    /// Substitutions in substitutions, without end.
    #[error("substitutions are nested too deep")]
    TooDeep,
}

/// Deepest nesting of substitutions. Without a limit a file could exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Values of variables. An error in a value is an error where the variable is used, and only there.
pub(super) type Values = HashMap<String, Result<String, WordError>>;

/// Expands variables in `text` and takes quotes and escapes away, as in an argument of `FROM`.
pub(super) fn expand(text: &str, escape: char, values: &Values) -> Result<String, WordError> {
    let mut lexer = Lexer::new(text, escape, Some(values));
    lexer.run(None, false).map(|(result, _)| result)
}

/// Splits a line into words without expanding anything and with quotes and escapes left in place.
pub(super) fn split_raw(text: &str) -> Result<Vec<String>, WordError> {
    let mut lexer = Lexer {
        raw_quotes: true,
        raw_escapes: true,
        ..Lexer::new(text, '\\', None)
    };
    lexer.run(None, true).map(|(_, words)| words)
}

/// Splits a line into words without expanding anything, quotes and escapes taken away.
pub(super) fn split_plain(text: &str) -> Result<Vec<String>, WordError> {
    let mut lexer = Lexer::new(text, '\\', None);
    lexer.run(None, false).map(|(_, words)| words)
}

/// Walks over text as the builder's lexer does.
pub(super) struct Lexer<'a> {
    pub(super) rest: std::iter::Peekable<std::str::Chars<'a>>,
    escape: char,
    /// None: nothing has a value, and what has none stays as it is written.
    pub(super) values: Option<&'a Values>,
    raw_quotes: bool,
    raw_escapes: bool,
    /// The word being read. One for all levels: the builder loses what stands before a nested substitution, and so must we.
    word: String,
    depth: usize,
}

/// Words of one level.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    in_word: bool,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, escape: char, values: Option<&'a Values>) -> Self {
        Self {
            rest: text.chars().peekable(),
            escape,
            values,
            raw_quotes: false,
            raw_escapes: false,
            word: String::new(),
            depth: 0,
        }
    }

    /// Reads to `stop`, or to the end.
    pub(super) fn run(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), WordError> {
        if self.depth == MAX_DEPTH {
            return Err(WordError::TooDeep);
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.run_inner(stop);
        self.raw_escapes = before;
        self.depth -= 1;
        result
    }

    fn run_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), WordError> {
        let mut result = String::new();
        let mut words = Words::default();
        self.word.clear();
        while let Some(&next) = self.rest.peek() {
            if stop == Some(next) {
                self.rest.next();
                return Ok((result, self.finish(words)));
            }
            match next {
                '$' => {
                    let text = self.dollar()?;
                    text.chars().for_each(|letter| self.add(&mut words, letter));
                    result.push_str(&text);
                }
                '<' | '\'' | '"' => {
                    let text = match next {
                        '<' => self.possible_heredoc(),
                        '\'' => self.single_quote()?,
                        _ => self.double_quote()?,
                    };
                    self.add_raw(&mut words, &text);
                    result.push_str(&text);
                }
                _ if next == self.escape => {
                    if !self.escaped(&mut words, &mut result) {
                        break;
                    }
                }
                _ => {
                    self.rest.next();
                    self.add(&mut words, next);
                    result.push(next);
                }
            }
        }
        match stop {
            Some(_) => Err(WordError::BadSubstitution),
            None => Ok((result, self.finish(words))),
        }
    }

    /// The escape character and what it escapes; false at the end of the text.
    fn escaped(&mut self, words: &mut Words, result: &mut String) -> bool {
        self.rest.next();
        if self.raw_escapes {
            self.add_raw(words, &self.escape.to_string());
            result.push(self.escape);
        }
        let Some(letter) = self.rest.next() else { return false };
        self.add_raw(words, &letter.to_string());
        result.push(letter);
        true
    }

    fn add(&mut self, words: &mut Words, letter: char) {
        if letter.is_whitespace() && words.in_word {
            if !self.word.is_empty() {
                words.done.push(std::mem::take(&mut self.word));
                words.in_word = false;
            }
        } else if !letter.is_whitespace() {
            self.word.push(letter);
            words.in_word = true;
        }
    }

    fn add_raw(&mut self, words: &mut Words, text: &str) {
        self.word.push_str(text);
        words.in_word = true;
    }

    fn finish(&mut self, mut words: Words) -> Vec<String> {
        if !self.word.is_empty() {
            words.done.push(std::mem::take(&mut self.word));
        }
        words.done
    }

    fn single_quote(&mut self) -> Result<String, WordError> {
        let mut text = String::new();
        self.quote(&mut text, '\'');
        loop {
            match self.rest.next() {
                None => return Err(WordError::Unclosed("single")),
                Some('\'') => {
                    if self.raw_quotes {
                        text.push('\'');
                    }
                    return Ok(text);
                }
                Some(letter) => text.push(letter),
            }
        }
    }

    fn double_quote(&mut self) -> Result<String, WordError> {
        let mut text = String::new();
        self.quote(&mut text, '"');
        loop {
            match self.rest.peek().copied() {
                None => return Err(WordError::Unclosed("double")),
                Some('"') => {
                    self.quote(&mut text, '"');
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(letter) => {
                    self.rest.next();
                    self.in_double_quotes(letter, &mut text);
                }
            }
        }
    }

    fn in_double_quotes(&mut self, mut letter: char, text: &mut String) {
        if letter == self.escape {
            if self.raw_escapes {
                text.push(letter);
            }
            match self.rest.peek().copied() {
                None => return,
                Some(next) if next == '"' || next == '$' || next == self.escape => {
                    self.rest.next();
                    letter = next;
                }
                Some(_) => {}
            }
        }
        text.push(letter);
    }

    /// Takes a quote in, and keeps it where quotes are kept.
    fn quote(&mut self, text: &mut String, quote: char) {
        self.rest.next();
        if self.raw_quotes {
            text.push(quote);
        }
    }

    fn possible_heredoc(&mut self) -> String {
        self.rest.next();
        if self.rest.peek() != Some(&'<') {
            return "<".to_owned();
        }
        self.rest.next();
        let mut text = "<<".to_owned();
        while let Some(space) = self.rest.next_if(|letter| matches!(letter, '\t' | '\r' | ' ')) {
            text.push(space);
        }
        text
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
