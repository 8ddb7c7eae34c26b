//! ARG lines before the first FROM, and the values that the image names after FROM may use.

use imagefactory_crds::build::NamedValue;

use super::DockerfileError;
use super::lines::Instruction;
use super::words::{Values, expand};

/// Variables that FROM lines can use.
#[derive(Debug, Default)]
pub(super) struct Scope(Values);

/// Architecture of the node that this runs on, as images call it.
pub(super) fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Another one.
pub(super) fn other_architecture() -> &'static str {
    if own_architecture() == "amd64" {
        "arm64"
    } else {
        "amd64"
    }
}

impl Scope {
    /// What the builder gives without being asked: the platform.
    pub(super) fn new(build_args: &[NamedValue], target: Option<&str>, architecture: &str) -> Self {
        let mut values = Values::new();
        values.insert("TARGETSTAGE".to_owned(), Ok(target.unwrap_or("default").to_owned()));
        for (side, architecture) in [("BUILD", own_architecture()), ("TARGET", architecture)] {
            let platform = format!("linux/{architecture}");
            for (name, value) in [
                ("PLATFORM", &*platform),
                ("OS", "linux"),
                ("ARCH", architecture),
                ("VARIANT", ""),
            ] {
                values.insert(format!("{side}{name}"), Ok(value.to_owned()));
            }
        }
        for given in build_args {
            if let Some(known) = values.get_mut(given.name.as_str()) {
                *known = Ok(given.value.0.clone());
            }
        }
        Self(values)
    }

    /// Takes in an ARG line. A build argument stands above the default; what nobody declares has no value.
    pub(super) fn declare(&mut self, arg: &Instruction, escape: char, build_args: &[NamedValue]) {
        for word in quoted_words(&arg.arguments.text, escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (word, None),
            };
            let given = build_args.iter().rfind(|given| given.name.as_str() == name);
            let value = match (given, default) {
                (Some(given), _) => Ok(given.value.0.clone()),
                (None, Some(default)) => expand(&default, escape, &self.0),
                (None, None) => continue,
            };
            self.0.insert(name, value);
        }
    }

    /// Fills variables in.
    pub(super) fn fill(&self, text: &str, escape: char, line: usize) -> Result<String, DockerfileError> {
        expand(text, escape, &self.0).map_err(|error| DockerfileError::at(line, error.to_string()))
    }
}

/// Splits at white space outside quotes. Quotes and escapes stay.
pub(in crate::prepare) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if quote.is_none() && letter.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        if quote == Some(letter) {
            quote = None;
        } else if quote.is_none() && matches!(letter, '\'' | '"') {
            quote = Some(letter);
        }
        if letter == escape && quote != Some('\'') {
            // At the end of the line it is dropped.
            let Some(next) = letters.next() else { break };
            word.push(letter);
            word.push(next);
        } else {
            word.push(letter);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
