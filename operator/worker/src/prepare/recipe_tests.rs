//! Golden text of a recipe, and the proof that hostile text stays where it belongs.

use imagefactory_crds::build::NamedValue;
use proptest::prelude::*;

use super::super::dockerfile::lines;
use super::super::dockerfile::test_support::{expand_plain, quoted_words};
use super::*;

fn recipe(base: &str) -> Recipe {
    Recipe {
        base_image: base.into(),
        packages: Vec::new(),
        commands: Vec::new(),
        env: Vec::new(),
        entrypoint: Vec::new(),
    }
}

fn variable(name: &str, value: &str) -> NamedValue {
    NamedValue {
        name: name.into(),
        value: value.into(),
    }
}

#[test]
fn a_recipe_with_everything() {
    let recipe = Recipe {
        packages: vec!["curl=7.88.1-10".into(), "ca-certificates".into()],
        commands: vec![
            "echo \"$HOME\" > /x && rm -rf '/tmp/a b'".into(),
            "# only a comment".into(),
        ],
        env: vec![variable("PRICE", r#"5$ "each" \ or less"#), variable("EMPTY", "")],
        entrypoint: vec!["/bin/app".into(), "--name=$HOME".into()],
        ..recipe("debian:bookworm-slim")
    };
    let install = json!(INSTALL).to_string();
    let expected = format!(
        r##"# Made by Image Factory from a recipe.
FROM debian:bookworm-slim
ENV PRICE="5\$ \"each\" \\ or less"
ENV EMPTY=""
RUN ["/bin/sh","-c",{install},"recipe","curl=7.88.1-10","ca-certificates"]
RUN ["/bin/sh","-ec","echo \"$HOME\" > /x && rm -rf '/tmp/a b'"]
RUN ["/bin/sh","-ec","# only a comment"]
ENTRYPOINT ["/bin/app","--name=$HOME"]
"##
    );
    assert_eq!(dockerfile(&recipe).unwrap(), expected);
}

#[test]
fn a_base_image_alone_is_a_recipe() {
    assert_eq!(
        dockerfile(&recipe("alpine:3")).unwrap(),
        "# Made by Image Factory from a recipe.\nFROM alpine:3\n"
    );
}

#[test]
fn what_would_be_grammar_is_refused() {
    let with_env = |name: &str, value: &str| Recipe {
        env: vec![variable(name, value)],
        ..recipe("a")
    };
    for recipe in [
        recipe(""),
        recipe("a\nRUN evil"),
        recipe("a AS b"),
        recipe("--platform=x"),
        recipe("$A"),
        Recipe {
            packages: vec!["-y".into()],
            ..recipe("a")
        },
        Recipe {
            packages: vec!["a;b".into()],
            ..recipe("a")
        },
        Recipe {
            commands: vec!["a\0b".into()],
            ..recipe("a")
        },
        with_env("A=1 B", "x"),
        with_env("A", "x\nRUN evil"),
        with_env("", "x"),
    ] {
        assert!(dockerfile(&recipe).is_err(), "{recipe:?}");
    }
}

/// Runs the script with a path that has only the given tools. Each tool writes down its arguments.
fn run_install(tools: &[&str], packages: &[&str]) -> (Option<i32>, String, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = tempfile::tempdir().unwrap();
    let log = bin.path().join("log");
    for tool in tools {
        let path = bin.path().join(tool);
        let script = format!(
            "#!/bin/sh\nprintf '%s' '{tool}' >> {0}\nprintf '|%s' \"$@\" >> {0}\necho >> {0}\n",
            log.display()
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // The script's `rm -rf /var/lib/apt/lists/*` must not reach this machine.
    std::fs::write(bin.path().join("rm"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(bin.path().join("rm"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", INSTALL, "recipe"])
        .args(packages)
        .env_clear()
        .env("PATH", bin.path())
        .output()
        .unwrap();
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    (output.status.code(), said, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_script_takes_the_first_package_manager_that_is_there() {
    let hostile = ["curl", "$(touch x)", "a b"];
    for (tools, said) in [
        (
            vec!["apt-get", "apk"],
            "apt-get|update\napt-get|install|-y|--no-install-recommends|curl|$(touch x)|a b\n",
        ),
        (vec!["apk", "dnf"], "apk|add|--no-cache|curl|$(touch x)|a b\n"),
        (
            vec!["dnf", "microdnf"],
            "dnf|install|-y|--setopt=install_weak_deps=False|curl|$(touch x)|a b\ndnf|clean|all\n",
        ),
        (
            vec!["microdnf"],
            "microdnf|install|-y|--setopt=install_weak_deps=0|curl|$(touch x)|a b\nmicrodnf|clean|all\n",
        ),
    ] {
        let (code, log, stderr) = run_install(&tools, &hostile);
        assert_eq!((code, log.as_str()), (Some(0), said), "{tools:?}: {stderr}");
    }
}

#[test]
fn without_a_package_manager_the_script_says_so() {
    let (code, log, stderr) = run_install(&[], &["curl"]);
    assert_eq!((code, log.as_str()), (Some(69), ""));
    assert!(stderr.contains("none of apt-get, apk, dnf and microdnf"), "{stderr}");
}

/// Text of any kind, with what is special to Dockerfiles, shells and JSON more often than by chance.
fn hostile() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\n", "\\", "\"", "'", "$", "${A}", "`", "#", "<<EOF", "\\\n", "\r\n", "[", "]", ",", "RUN", "FROM x", " ",
        "\t", "\u{2028}", "\u{85}", "\u{a0}", "\u{feff}", "--", "&&", ";", "\u{7f}", "\u{1}", "\\u0000", "=",
    ]);
    prop::collection::vec(
        prop_oneof![special.prop_map(str::to_owned), any::<char>().prop_map(String::from)],
        0..12,
    )
    .prop_map(|pieces| pieces.concat())
}

fn json_arguments(instruction: &lines::Instruction) -> Vec<String> {
    serde_json::from_str(&instruction.arguments.text).unwrap()
}

proptest! {
    #[test]
    fn whatever_is_in_it_a_recipe_reads_back_as_it_was_given(
        packages in prop::collection::vec("[A-Za-z0-9][A-Za-z0-9+._:~=-]{0,20}", 0..3),
        commands in prop::collection::vec(hostile(), 0..3),
        values in prop::collection::vec(hostile(), 0..3),
        entrypoint in prop::collection::vec(hostile(), 0..3),
    ) {
        let recipe = Recipe {
            packages: packages.iter().map(|package| package.as_str().into()).collect(),
            commands: commands.iter().map(|command| command.as_str().into()).collect(),
            env: values.iter().map(|value| variable("NAME", value)).collect(),
            entrypoint: entrypoint.iter().map(|word| word.as_str().into()).collect(),
            ..recipe("debian:12")
        };
        let all = commands.iter().chain(&entrypoint);
        let refused = all.clone().any(|text| text.contains('\0')) || values.iter().any(|value| !is_line(value));
        let Ok(text) = dockerfile(&recipe) else {
            prop_assert!(refused);
            return Ok(());
        };
        prop_assert!(!refused);
        let source = lines::read(&text).unwrap();
        let of = |keyword: &str| source.instructions.iter().filter(|found| found.keyword == keyword).collect::<Vec<_>>();
        let expected = 1 + values.len() + usize::from(!packages.is_empty()) + commands.len() + usize::from(!entrypoint.is_empty());
        prop_assert_eq!(source.instructions.len(), expected);
        prop_assert_eq!(&of("from")[0].arguments.text, "debian:12");
        for (found, value) in of("env").iter().zip(&values) {
            let words = quoted_words(&found.arguments.text, '\\');
            prop_assert_eq!(words.len(), 1);
            prop_assert_eq!(expand_plain(&words[0]), format!("NAME={value}"));
        }
        let mut runs = of("run").into_iter();
        if !packages.is_empty() {
            let arguments = json_arguments(runs.next().unwrap());
            prop_assert_eq!(&arguments[..4], &["/bin/sh", "-c", INSTALL, "recipe"]);
            prop_assert_eq!(&arguments[4..], &packages[..]);
        }
        for (found, command) in runs.zip(&commands) {
            prop_assert_eq!(json_arguments(found), ["/bin/sh", "-ec", command]);
        }
        for found in of("entrypoint") {
            prop_assert_eq!(&json_arguments(found), &entrypoint);
        }
        // A reader that is not ours sees the same instructions.
        let other = parse_dockerfile::parse(&text).unwrap();
        prop_assert_eq!(other.instructions.len(), expected);
        prop_assert_eq!(other.stages().len(), 1);
    }
}
