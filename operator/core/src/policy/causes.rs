//! Causes in the words that people read: short, bounded, and safe to print whatever an image calls its packages.

use crate::scan::Finding;

/// Longest cause in characters, as the schema of Build says.
pub(super) const MAX_CAUSE: usize = 200;
/// Longest name or version from an image in a cause.
const MAX_WORD: usize = 36;

/// `head: item, item, and 3 more`, with as many items as fit. Items are put in order and named once.
pub(super) fn listed(head: &str, mut items: Vec<String>) -> String {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.clone()));
    let mut text = head.to_owned();
    for (position, item) in items.iter().enumerate() {
        let separator = if position == 0 { ": " } else { ", " };
        let rest = and_more(items.len() - position - 1);
        if length(&text) + length(separator) + length(item) + length(&rest) > MAX_CAUSE {
            text.push_str(&and_more(items.len() - position));
            break;
        }
        text.push_str(separator);
        text.push_str(item);
    }
    cut(&text)
}

/// A sentence that others wrote, as one line of at most [`MAX_CAUSE`] printable characters.
pub(super) fn sentence(text: &str) -> String {
    cut(&text.chars().map(printable).collect::<String>())
}

/// A line that a platform administrator wrote, in its own alphabet: without control characters, and not too long.
pub(super) fn line(text: &str) -> String {
    cut(&text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect::<String>())
}

fn and_more(count: usize) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(", and {count} more")
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// At most [`MAX_CAUSE`] characters.
pub(super) fn cut(text: &str) -> String {
    if length(text) <= MAX_CAUSE {
        text.to_owned()
    } else {
        text.chars().take(MAX_CAUSE - 1).chain(['…']).collect()
    }
}

/// `CVE-2021-44228 (log4j-core 2.14.1)`.
pub(super) fn name(finding: &Finding) -> String {
    format!("{} ({})", word(&finding.id), named(&finding.package, &finding.version))
}

/// `log4j-core 2.14.1`.
pub(super) fn named(name: &str, version: &str) -> String {
    if version.is_empty() {
        word(name)
    } else {
        format!("{} {}", word(name), word(version))
    }
}

/// A word from an image, which chose it: printable ASCII, and not long.
pub(super) fn word(text: &str) -> String {
    if length(text) <= MAX_WORD {
        text.chars().map(printable).collect()
    } else {
        text.chars().take(MAX_WORD - 1).map(printable).chain(['…']).collect()
    }
}

fn printable(character: char) -> char {
    if character.is_ascii_graphic() || character == ' ' {
        character
    } else {
        '?'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let items: Vec<String> = (0..100)
            .map(|number| format!("CVE-2024-{number:04} (package 1.0)"))
            .collect();
        let text = listed("100 critical vulnerabilities, 0 allowed", items);
        assert!(length(&text) <= MAX_CAUSE, "{text}");
        insta::assert_snapshot!(text, @"100 critical vulnerabilities, 0 allowed: CVE-2024-0000 (package 1.0), CVE-2024-0001 (package 1.0), CVE-2024-0002 (package 1.0), CVE-2024-0003 (package 1.0), CVE-2024-0004 (package 1.0), and 95 more");
    }

    #[test]
    fn an_item_that_is_there_twice_is_named_once() {
        assert_eq!(
            listed("2 findings", vec!["a".to_owned(), "a".to_owned()]),
            "2 findings: a"
        );
    }

    #[test]
    fn what_an_image_calls_its_packages_is_safe_to_print() {
        assert_eq!(word("a\n\u{1b}[31m\u{202e}b\0"), "a??[31m?b?");
        assert_eq!(length(&word(&"x".repeat(1000))), MAX_WORD);
    }

    #[test]
    fn the_longest_item_still_fits() {
        let long = "x".repeat(500);
        let item = format!("{} ({}: 10.0)", word(&long), named(&long, &long));
        let text = listed(
            "4294967295 vulnerabilities without a severity, 4294967295 allowed",
            vec![item.clone(), "b".to_owned()],
        );
        assert!(text.contains(&item), "{text}");
        assert!(length(&text) <= MAX_CAUSE);
    }
}
