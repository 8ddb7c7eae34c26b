//! What the lexer makes of quotes, escapes and variables.

use super::*;

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Ok((*value).to_owned())))
        .collect()
}

#[test]
fn variables_are_filled_in_as_docker_does() {
    let values = values(&[("V", "12"), ("EMPTY", "")]);
    for (text, expanded) in [
        ("debian:$V", "debian:12"),
        ("debian:${V}", "debian:12"),
        ("debian:$V-slim", "debian:12-slim"),
        ("debian:${NONE}", "debian:"),
        ("debian:${NONE:-bookworm}", "debian:bookworm"),
        ("debian:${NONE-bookworm}", "debian:bookworm"),
        ("debian:${EMPTY:-bookworm}", "debian:bookworm"),
        ("debian:${EMPTY-bookworm}", "debian:"),
        ("debian:${V:-bookworm}", "debian:12"),
        ("debian${V:+:}${V:+12}", "debian:12"),
        ("debian${EMPTY:+:x}${EMPTY+-e}", "debian-e"),
        ("debian:${NONE:-${V}}", "debian:12"),
        ("debian:${V:?must be set}", "debian:12"),
        ("\"debian\":'$V'", "debian:$V"),
        ("debian\\:\\$V", "debian:$V"),
        ("a$", "a$"),
    ] {
        assert_eq!(expand(text, '\\', &values), Ok(expanded.to_owned()), "{text}");
    }
}

#[test]
fn the_escape_directive_counts() {
    assert_eq!(expand("a`$V\\$V", '`', &values(&[("V", "1")])), Ok("a$V\\1".to_owned()));
}

#[test]
fn what_is_not_understood_is_an_error() {
    let values = values(&[("V", "12")]);
    for (text, error) in [
        ("${V", WordError::Unsupported("V".to_owned())),
        ("${", WordError::BadSubstitution),
        ("${}", WordError::BadSubstitution),
        ("${V:-x", WordError::BadSubstitution),
        ("${V%2}", WordError::Unsupported("V%".to_owned())),
        ("${V/1/2}", WordError::Unsupported("V/".to_owned())),
        ("${N:?no}", WordError::Unset("N".to_owned())),
        ("${V\u{2167}}", WordError::Name),
        ("'a", WordError::Unclosed("single")),
        ("\"a", WordError::Unclosed("double")),
    ] {
        assert_eq!(expand(text, '\\', &values), Err(error), "{text}");
    }
}

#[test]
fn words_end_at_space_outside_quotes() {
    assert_eq!(
        split_raw("RUN a \"b c\" d\\ e").unwrap(),
        ["RUN", "a", "\"b c\"", "d\\ e"]
    );
    assert_eq!(split_raw("cat << EOF >x").unwrap(), ["cat", "<< EOF", ">x"]);
    assert_eq!(
        split_raw("a $b ${c d}").err(),
        Some(WordError::Unsupported("c".to_owned()))
    );
    assert_eq!(split_plain("'a b' \"c\"").unwrap(), ["a b", "c"]);
}

#[test]
fn nesting_has_an_end() {
    let deep = format!("{}{}", "${A:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(expand(&deep, '\\', &Values::new()), Err(WordError::TooDeep));
    assert_eq!(split_raw(&deep), Err(WordError::TooDeep));
}

#[test]
fn a_nested_substitution_loses_the_word_before_it_as_the_builder_does() {
    assert_eq!(split_raw("<<E${X:-y}OF").unwrap(), ["${X:-y}OF"]);
}
