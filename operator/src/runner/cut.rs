//! Texts of events, cut to what the API server takes.

/// Longest note of an event, in bytes. The API server refuses one of more than 1,024.
pub const MAX_NOTE: usize = 1000;

/// The text, at most `limit` bytes long, cut between characters.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("aüb", 99), "aüb");
        assert_eq!(cut("", 0), "");
    }
}
