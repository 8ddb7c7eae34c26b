//! `$name` and `${…}` in words of a Dockerfile.

use super::words::{Lexer, Values, WordError};

impl Lexer<'_> {
    /// `$name` and `${…}`.
    pub(super) fn dollar(&mut self) -> Result<String, WordError> {
        self.rest.next();
        if self.rest.peek() != Some(&'{') {
            let name = self.name(self.values.is_some())?;
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.values {
                None => format!("${name}"),
                Some(values) => value(values, &name)?.unwrap_or_default(),
            });
        }
        self.rest.next();
        if matches!(self.rest.peek(), None | Some('{' | '}' | ':')) {
            return Err(WordError::BadSubstitution);
        }
        let name = self.name(true)?;
        match self.rest.next() {
            Some('}') => Ok(match self.values {
                None => format!("${{{name}}}"),
                Some(values) => value(values, &name)?.unwrap_or_default(),
            }),
            Some('/') => self.replacement(&name),
            Some(':') => {
                let modifier = self.rest.next();
                self.modified(&name, modifier, true)
            }
            modifier => self.modified(&name, modifier, false),
        }
    }

    /// `${name-word}` and its kind, after the modifier.
    fn modified(&mut self, name: &str, modifier: Option<char>, colon: bool) -> Result<String, WordError> {
        let Some(modifier @ ('+' | '-' | '?' | '#' | '%')) = modifier else {
            return Err(WordError::Unsupported(name.to_owned()));
        };
        let pattern = matches!(modifier, '#' | '%');
        if pattern && colon {
            return Err(WordError::Unsupported(name.to_owned()));
        }
        let (word, _) = self.run(Some('}'), pattern)?;
        let Some(values) = self.values else {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        };
        let value = value(values, name)?.filter(|value| !(colon && value.is_empty()));
        match (modifier, value) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) => Err(WordError::Unset(name.to_owned())),
            ('-' | '?', Some(value)) => Ok(value),
            _ => Err(WordError::Unsupported(format!("{name}{modifier}"))),
        }
    }

    /// `${name/pattern/text}`, after the first slash. Only stepped over: it has no place in the name of an image.
    fn replacement(&mut self, name: &str) -> Result<String, WordError> {
        let _all = self.rest.next_if_eq(&'/');
        let (pattern, _) = self.run(Some('/'), true)?;
        let (text, _) = self.run(Some('}'), true)?;
        match self.values {
            None => Ok(format!("${{{name}/{pattern}/{text}}}")),
            Some(_) => Err(WordError::Unsupported(format!("{name}/"))),
        }
    }

    /// The name of a variable. `strict`: it matters where the name ends.
    fn name(&mut self, strict: bool) -> Result<String, WordError> {
        let mut name = String::new();
        let first = self.rest.peek().copied();
        if let Some(special @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) = first {
            self.rest.next();
            return Ok(special.to_string());
        }
        let number = first.is_some_and(|first| first.is_ascii_digit());
        let belongs = |letter: &char| {
            if number {
                letter.is_ascii_digit()
            } else {
                letter.is_ascii_alphanumeric() || *letter == '_'
            }
        };
        while let Some(letter) = self.rest.next_if(belongs) {
            name.push(letter);
        }
        match self.rest.peek() {
            Some(letter) if strict && !letter.is_ascii() => Err(WordError::Name),
            _ => Ok(name),
        }
    }
}

fn value(values: &Values, name: &str) -> Result<Option<String>, WordError> {
    values.get(name).cloned().transpose()
}
