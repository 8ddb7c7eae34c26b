//! The `# syntax=` line: the image of the program that reads the Dockerfile. Looked for as BuildKit looks for it, which
//! is not quite as it reads directives: it skips a first line that begins with `#!`. What it would take in other
//! spellings (`//`, JSON) is no Dockerfile to our reader and refused there.

use std::ops::Range;

/// The image that is named, its place, and its line from 1.
pub(super) struct Syntax {
    pub(super) line: usize,
    pub(super) span: Range<usize>,
    pub(super) image: String,
}

const SPACE: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// Finds it.
pub(super) fn find(text: &str) -> Option<Syntax> {
    let mut place = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = place;
        place += line.len();
        let bare = if number == 0 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        if number == 0 && bare.starts_with("#!") {
            continue;
        }
        let (name, value) = directive(bare)?;
        if name.eq_ignore_ascii_case("syntax") {
            let image = value.split(' ').next().unwrap_or_default();
            // Both are pieces of the line, so that their addresses tell the place.
            let offset = image.as_ptr() as usize - line.as_ptr() as usize;
            return Some(Syntax {
                line: number + 1,
                span: start + offset..start + offset + image.len(),
                image: image.to_owned(),
            });
        }
    }
    None
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim_matches(SPACE), value.trim_matches(SPACE));
    let known = DIRECTIVES.iter().any(|known| name.eq_ignore_ascii_case(known));
    (known && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_where_buildkit_finds_it() {
        for (text, image) in [
            ("# syntax=docker/dockerfile:1\nFROM a", "docker/dockerfile:1"),
            ("#syntax = docker/dockerfile:1 \r\nFROM a", "docker/dockerfile:1"),
            ("# escape=`\n# SYNTAX=x/y:1 more words\nFROM a", "x/y:1"),
            ("#!/usr/bin/env x\n# syntax=x/y:1\nFROM a", "x/y:1"),
            ("\u{feff}# syntax=x/y:1", "x/y:1"),
        ] {
            let found = find(text).unwrap();
            assert_eq!(
                (found.image.as_str(), text.get(found.span.clone()).unwrap()),
                (image, image),
                "{text:?}"
            );
        }
        assert_eq!(find("#!/x\n# syntax=a").unwrap().line, 2);
    }

    #[test]
    fn a_comment_an_empty_line_or_an_instruction_ends_the_search() {
        for text in [
            "",
            "# a comment\n# syntax=a",
            "\n# syntax=a",
            "FROM a\n# syntax=a",
            " # syntax=a",
            "# syntax=\nFROM a",
            "# escape=`\n#!/x\n# syntax=a",
        ] {
            assert!(find(text).is_none(), "{text:?}");
        }
    }
}
