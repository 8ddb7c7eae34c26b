//! Heredocs: lines after an instruction that belong to it. What lies in one is no instruction, so where one begins and
//! ends must be seen as the builder sees it.

use super::instruction::{Word, take_apart};
use super::words::{WordError, split_plain, split_raw};

/// Text up to a line that is its name.
pub(super) struct Heredoc {
    /// The line that ends it.
    pub(super) name: String,
    /// Whether tabs before that line don't count.
    pub(super) chomp: bool,
}

/// The heredocs that an instruction begins. `line`: all of it, lines joined.
pub(super) fn heredocs(line: &str, keyword: &str, arguments: &Word, escape: char) -> Result<Vec<Heredoc>, String> {
    if !line.contains("<<") || !can_hold_heredoc(keyword, arguments, escape)? {
        return Ok(Vec::new());
    }
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

/// The heredoc that a word begins: a file descriptor, `<<`, perhaps `-`, and a name.
fn heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let Some(rest) = word
        .trim_start_matches(|letter: char| letter.is_ascii_digit())
        .strip_prefix("<<")
    else {
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
