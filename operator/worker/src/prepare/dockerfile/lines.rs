//! A Dockerfile as a list of instructions, each with the place of every byte of it in the file.
//!
//! This follows the builder's own reader line by line: directives, comments, continuations, heredocs. It must see
//! an instruction wherever the builder sees one, and the places are what lets [`super::pin`] change one word and
//! leave every other byte as it was.

use super::DockerfileError;
use super::directives::Directives;
use super::heredoc::{Heredoc, heredocs};
use super::instruction::take_apart;
pub(in crate::prepare) use super::instruction::{Instruction, Word};

/// Longest Dockerfile that is read.
pub(in crate::prepare) const MAX_DOCKERFILE: usize = 1 << 20;

/// A file taken apart.
#[derive(Debug)]
pub(in crate::prepare) struct Source {
    /// The character that escapes: `\`, or a backtick where the file says so.
    pub(in crate::prepare) escape: char,
    /// What it tells the builder to do, in order.
    pub(in crate::prepare) instructions: Vec<Instruction>,
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
    Ok(Source {
        escape: reader.escape,
        instructions,
    })
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
        Self {
            lines: lines.into_iter(),
            number: 0,
            escape: '\\',
            directives: Directives::default(),
        }
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
            let mut joined = Word::default();
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
            let text = if heredoc.chomp {
                text.trim_start_matches('\t')
            } else {
                text
            };
            if text == heredoc.name {
                return Ok(());
            }
        }
        Err(DockerfileError::at(
            line,
            format!("the heredoc {:?} has no end", heredoc.name),
        ))
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

/// Takes a joined line apart.
fn instruction(line: usize, joined: Word, escape: char) -> Result<(Instruction, Vec<Heredoc>), String> {
    // Not the trimmed text: a blank at the end can belong to a heredoc's name.
    let whole = joined.text.clone();
    let (keyword, flags, arguments) = take_apart(joined.trim(), escape)?;
    let heredocs = heredocs(&whole, &keyword, &arguments, escape)?;
    Ok((
        Instruction {
            line,
            keyword,
            flags,
            arguments,
        },
        heredocs,
    ))
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
