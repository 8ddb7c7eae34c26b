//! What the builder sees as an instruction, we must see as one, and what it does not, neither.

use super::*;

fn keywords(text: &str) -> Vec<String> {
    read(text)
        .unwrap()
        .instructions
        .into_iter()
        .map(|instruction| instruction.keyword)
        .collect()
}

#[test]
fn comments_and_empty_lines_are_no_instructions() {
    let text = "\u{feff}# hello\n\n  # FROM no\nFROM a\r\n\t\n   RUN b\n#\n";
    assert_eq!(keywords(text), ["from", "run"]);
}

#[test]
fn a_line_continues_over_comments_and_empty_lines() {
    let source = read("FROM a\nRUN one \\\n# FROM no\n\n  two \\  \n three\nCOPY a b").unwrap();
    let [_, run, copy] = source.instructions.as_slice() else {
        panic!("{source:?}")
    };
    assert_eq!((run.line, run.arguments.text.as_str()), (2, "one   two  three"));
    assert_eq!((copy.line, copy.keyword.as_str()), (7, "copy"));
}

#[test]
fn a_doubled_escape_does_not_continue() {
    assert_eq!(keywords("FROM a\nRUN x\\\\\nRUN y"), ["from", "run", "run"]);
    assert_eq!(keywords("FROM a\n\\\nRUN y"), ["from", "run"]);
}

#[test]
fn the_escape_directive_changes_what_continues() {
    assert_eq!(
        keywords("# escape=`\nFROM a\nRUN x `\nRUN y\nRUN z \\\nRUN w"),
        ["from", "run", "run", "run"]
    );
    assert_eq!(
        keywords("# syntax = docker/dockerfile:1\n# Escape = ` \nFROM a\nRUN x `\nRUN y"),
        ["from", "run"]
    );
    // A directive after a comment or an instruction is a comment.
    assert_eq!(
        keywords("# hello\n# escape=`\nFROM a\nRUN x `\nRUN y"),
        ["from", "run", "run"]
    );
    assert_eq!(keywords("\n# escape=`\nFROM a\nRUN x `\nRUN y"), ["from", "run", "run"]);
}

#[test]
fn a_wrong_directive_is_refused() {
    assert!(read("# escape=x\nFROM a").is_err());
    assert!(read("# escape=\\\n# escape=`\nFROM a").is_err());
}

#[test]
fn what_lies_in_a_heredoc_is_no_instruction() {
    for text in [
        "FROM a\nRUN <<EOF\nFROM b\nEOF\nRUN x",
        "FROM a\nRUN <<-EOF\nFROM b\n\t\tEOF\nRUN x",
        "FROM a\nRUN <<'E F'\nFROM b\nE F\nRUN x",
        "FROM a\nRUN cat << EOF > /x\nFROM b\nEOF\r\nRUN x",
        "FROM a\nCOPY <<a <<b /x/\nFROM b\na\nFROM c\nb\nRUN x",
        "FROM a\nADD --chown=1:1 3<<EOF /x\nFROM b\nEOF\nRUN x",
        "FROM a\nRUN x=$((1 <<3))\nFROM b\n3))\nRUN x",
    ] {
        assert_eq!(keywords(text).len(), 3, "{text}");
    }
    let onbuild = "FROM a\nONBUILD RUN <<EOF\nFROM b\nEOF\nRUN x";
    assert_eq!(keywords(onbuild), ["from", "onbuild", "run"]);
}

#[test]
fn what_only_looks_like_a_heredoc_hides_nothing() {
    for text in [
        "FROM a\nRUN cat <<< EOF\nFROM b\nEOF b",
        "FROM a\nRUN echo \"<<EOF\"\nFROM b",
        "FROM a\nRUN echo '<<EOF'\nFROM b",
        "FROM a\nRUN echo \\<<EOF\nFROM b",
        "FROM a\nRUN [\"cat\",\"<<EOF\"]\nFROM b",
        "FROM a\nRUN x <<\nFROM b",
        "FROM a\nRUN x$((1<<3))\nFROM b",
        "FROM a\nCMD <<EOF\nFROM b",
        "FROM a\nRUN ${ <<EOF\nFROM b",
        "FROM a\nRUN <<E${X:-y}OF\nFROM b",
        "FROM a\nRUN 'open <<EOF\nFROM b",
    ] {
        let text = text.replace("\nEOF b", "\nRUN EOF");
        assert!(
            keywords(&text).iter().filter(|keyword| *keyword == "from").count() == 2,
            "{text}"
        );
    }
}

#[test]
fn a_blank_can_end_a_heredoc_s_name() {
    let text = "# escape=`\nFROM a\nRUN <<CMD\\ \nCMD \nFROM b\nRUN x";
    assert_eq!(keywords(text), ["from", "run", "from", "run"]);
}

#[test]
fn what_readers_could_see_differently_is_refused() {
    for text in [
        "FROM a\nRUN <<EOF ${\u{2167}}\nFROM b\nEOF",
        "FROM a\nRUN [\"\\ud800 <<EOF\"]\nFROM b\nEOF",
        "FROM a\nRUN <<EOF\nno end",
        "ONBU\u{130}LD RUN <<EOF\nFROM b\nEOF",
        "FROM a\nCOPY --from=\u{a0}x a b",
        "FROM a\nFRM b",
        "FROM a\0",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn flags_lose_quotes_and_keep_their_place() {
    let text = "FROM a\nCOPY  --from=\"b\"  --link \\\n  --chown=1 x y";
    let source = read(text).unwrap();
    let copy = &source.instructions[1];
    let flags: Vec<_> = copy
        .flags
        .iter()
        .map(|flag| (flag.text.as_str(), text.get(flag.span()).unwrap()))
        .collect();
    assert_eq!(
        flags,
        [
            ("--from=b", "--from=\"b\""),
            ("--link", "--link"),
            ("--chown=1", "--chown=1")
        ]
    );
    assert_eq!(copy.arguments.text, "x y");
    let last = read("FROM a\nCOPY -- --from=b x").unwrap();
    assert!(last.instructions[1].flags.is_empty());
}

#[test]
fn a_word_knows_its_place_over_lines() {
    let text = "FROM \\\n  debi\\\nan:12 \\\n AS  x";
    let source = read(text).unwrap();
    let words = source.instructions[0].arguments.split();
    let found: Vec<_> = words
        .iter()
        .map(|word| (word.text.as_str(), text.get(word.span()).unwrap()))
        .collect();
    assert_eq!(found, [("debian:12", "debi\\\nan:12"), ("AS", "AS"), ("x", "x")]);
}

#[test]
fn a_file_too_long_is_refused() {
    assert_eq!(
        read(&"#".repeat(MAX_DOCKERFILE + 1)).err(),
        Some(DockerfileError::TooLong)
    );
}
