//! Which images a build uses, and how a file looks after they are pinned.

use std::collections::BTreeMap;

use super::*;

fn arg(name: &str, value: &str) -> NamedValue {
    NamedValue {
        name: name.into(),
        value: value.into(),
    }
}

fn images(text: &str, build_args: &[NamedValue], target: Option<&str>) -> Vec<String> {
    let named = |found: Use| match found.names {
        Named::Image(image) => Some(image),
        Named::Inside(_) => None,
    };
    uses(text, build_args, target, Builder::Kaniko)
        .unwrap()
        .into_iter()
        .filter_map(named)
        .collect()
}

fn pinned(text: &str, build_args: &[NamedValue]) -> String {
    let uses = uses(text, build_args, None, Builder::Kaniko).unwrap();
    let digests: BTreeMap<_, _> = images(text, build_args, None)
        .into_iter()
        .map(|image| {
            let name = if image.contains('@') {
                image.clone()
            } else {
                format!("{image}@sha256:00")
            };
            (image, name)
        })
        .collect();
    pin(text, &uses, &digests).unwrap()
}

#[test]
fn stages_and_scratch_are_not_images() {
    let text = "FROM golang:1.22 AS Build\nRUN make\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /b /b\n\
                COPY --from=alpine:3 /c /c\nFROM build\nCOPY --from=1 /d /d";
    assert_eq!(images(text, &[], None), ["golang:1.22", "alpine:3"]);
}

#[test]
fn a_name_before_its_stage_is_an_image() {
    assert_eq!(images("FROM later\nFROM a AS later", &[], None), ["later", "a"]);
}

#[test]
fn everything_up_to_the_target_is_used_and_nothing_after() {
    let text = "FROM a AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=d x y";
    assert_eq!(images(text, &[], Some("two")), ["a", "b"]);
    assert_eq!(images(text, &[], Some("TWO")), ["a", "b"]);
    assert_eq!(images(text, &[], None), ["a", "b", "c", "d"]);
    assert_eq!(
        uses(text, &[], Some("four"), Builder::Kaniko),
        Err(DockerfileError::TargetNotFound {
            target: "four".to_owned()
        })
    );
    assert_eq!(
        uses("# nothing", &[], None, Builder::Kaniko),
        Err(DockerfileError::NoStage)
    );
}

#[test]
fn arguments_are_filled_in_by_docker_s_rules() {
    let text =
        "ARG REG=docker.io TAG=\"12\"\nARG FULL=${REG}/debian:${TAG:-11}\nFROM ${FULL} AS b\nARG TAG=9\nFROM $TAG";
    assert_eq!(images(text, &[], None), ["docker.io/debian:12", "12"]);
    let args = [arg("TAG", "13"), arg("UNDECLARED", "x")];
    assert_eq!(images(text, &args, None), ["docker.io/debian:13", "13"]);
    // What is not declared before the first FROM has no value there.
    assert_eq!(images("FROM debian:a$UNDECLARED", &args, None), ["debian:a"]);
    assert_eq!(
        images("ARG UNDECLARED\nFROM debian:$UNDECLARED", &args, None),
        ["debian:x"]
    );
    assert_eq!(
        images("ARG TAG=1\nFROM debian$TAG", &[arg("TAG", "")], None),
        ["debian"]
    );
}

#[test]
fn the_platform_is_known() {
    let found = images("FROM --platform=$BUILDPLATFORM debian-${TARGETOS}", &[], None);
    assert_eq!(found, ["debian-linux"]);
}

#[test]
fn an_error_in_an_argument_counts_only_where_it_is_used() {
    assert_eq!(
        images("ARG V=1.2\nARG M=${V%.*}\nFROM debian:$V", &[], None),
        ["debian:1.2"]
    );
    assert!(uses("ARG V=1.2\nARG M=${V%.*}\nFROM debian:$M", &[], None, Builder::Kaniko).is_err());
}

#[test]
fn every_other_byte_stays_as_it_was() {
    let text = "\u{feff}# syntax=docker/dockerfile:1\r\nARG V=12\r\nFROM --platform=linux/amd64   debian:$V\tAS x \r\n\
                COPY \t--chown=1 --from='alpine' /a \\\r\n # why\r\n /b\r\nRUN <<EOF\nFROM no\nEOF\r\nFROM x\n\n";
    let expected = text
        .replace("debian:$V", "debian:12@sha256:00")
        .replace("--from='alpine'", "--from=alpine@sha256:00");
    assert_eq!(pinned(text, &[]), expected);
}

#[test]
fn an_image_with_a_digest_is_left_alone() {
    let text = format!("FROM debian:12@sha256:{}\nRUN x", "a".repeat(64));
    assert_eq!(pinned(&text, &[]), text);
}

#[test]
fn names_by_variable_become_plain_names() {
    let text = "ARG S=base\nFROM a AS base\nFROM ${S}\nFROM \"scratch\"\nFROM de\\\nbian";
    let expected = "ARG S=base\nFROM a@sha256:00 AS base\nFROM base\nFROM scratch\nFROM debian@sha256:00";
    assert_eq!(pinned(text, &[]), expected);
}

#[test]
fn what_can_t_be_understood_is_refused_with_its_line() {
    for (text, line) in [
        ("FROM", 1),
        ("FROM a b", 1),
        ("FROM a AS b c", 1),
        ("FROM a AS 1b", 1),
        ("FROM a AS b\nFROM c AS B", 2),
        ("FROM $NONE", 1),
        ("FROM ${X", 1),
        ("RUN x\nFROM a", 1),
        ("FROM a\nCOPY --from=b --from=c x y", 2),
        ("FROM a\nCOPY --from=0 x y", 2),
        ("FROM a\nCOPY --from=-1 x y", 2),
        ("FROM a\nCOPY --from=99999999999999999999 x y", 2),
        ("FROM a\nCOPY --from=b x y\nFROM c AS b", 2),
        ("FROM a AS self\nCOPY --from=self x y", 2),
        ("FROM a\nRUN --mount=type=bind,from=golang:1,target=/x make", 2),
        ("FROM a\nRUN --mount=\"type=bind,\"\"FROM=golang\"\"\" make", 2),
    ] {
        match uses(text, &[], None, Builder::Kaniko) {
            Err(DockerfileError::Line { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(
        uses(
            "FROM a AS b\nFROM c\nRUN --mount=type=bind,from=b,target=/x make",
            &[],
            None,
            Builder::Kaniko
        )
        .is_ok()
    );
}
