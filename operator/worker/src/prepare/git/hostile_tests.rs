//! Servers, repositories and surroundings that mean no good.

use std::os::unix::fs::PermissionsExt as _;

use super::test_pod::{Pod, guarded, plain, reason};
use super::test_repository::{Repository, serve};
use super::*;
use crate::prepare::test_server::{Answer, Server, Tls};

#[test]
fn credentials_open_a_private_repository() {
    let repository = Repository::new("app.git");
    let commit = repository.commit_file("file", "1");
    let (tls, root) = (Tls::new(), repository.root());
    let server = Server::start(Some(&tls), move |asked| guarded(&root, asked));
    let url = server.url("/app.git");

    let none = Pod::new(Some(&tls)).fetch(&url, None);
    assert!(
        matches!(
            none,
            Err(GitError::Unauthorized {
                sent: false,
                status: 401,
                ..
            })
        ),
        "{none:?}"
    );
    assert_eq!(reason(&none), "GitUnauthorized");
    let wrong = Pod::new(Some(&tls)).with_credentials("me", "guess").fetch(&url, None);
    assert!(
        matches!(wrong, Err(GitError::Unauthorized { sent: true, .. })),
        "{wrong:?}"
    );
    let pod = Pod::new(Some(&tls)).with_credentials("me\n", "secret\n");
    assert_eq!(pod.fetch(&url, None).unwrap(), commit);
    assert_eq!(pod.fetch(&url, Some(&commit)).unwrap(), commit);
}

#[test]
fn credentials_are_not_sent_without_tls() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let server = plain(&repository);
    let pod = Pod::new(None).with_credentials("me", "secret");
    assert_eq!(reason(&pod.fetch(&server.url("/app.git"), None)), "CredentialsOverHttp");
    assert!(server.asked().is_empty());
}

#[test]
fn a_redirect_to_another_server_is_not_followed() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let (tls, root) = (Tls::new(), repository.root());
    let other = Server::start(Some(&tls), move |asked| serve(&root, asked, true));
    let elsewhere = [
        other.url(""),
        other.url_at("127.0.0.1", ""),
        format!("https://me:secret@localhost:{}", other.port),
        format!("http://localhost:{}", other.port),
    ];
    for base in elsewhere {
        let server = Server::start(Some(&tls), move |asked| {
            Answer::status(302).header("Location", &format!("{base}{}", asked.path))
        });
        for pod in [
            Pod::new(Some(&tls)),
            Pod::new(Some(&tls)).with_credentials("me", "secret"),
        ] {
            let result = pod.fetch(&server.url("/app.git"), None);
            assert_eq!(reason(&result), "GitRedirected", "{result:?}");
            assert!(!result.unwrap_err().to_string().contains("secret"));
        }
    }
    assert!(other.asked().is_empty());
}

#[test]
fn a_server_can_t_redirect_later_either() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let (tls, root) = (Tls::new(), repository.root());
    let other = Server::start(Some(&tls), |_| Answer::status(200));
    let base = other.url("");
    // Good answers to the probe and the handshake, a redirect where the fetch itself begins; then one for those who logged in.
    let first = Server::start(Some(&tls), {
        let (root, base) = (root.clone(), base.clone());
        move |asked| match asked.method.as_str() {
            "POST" => Answer::status(307).header("Location", &format!("{base}{}", asked.path)),
            _ => guarded(&root, asked),
        }
    });
    let second = Server::start(Some(&tls), move |asked| match asked.header("authorization") {
        Some(_)
            if asked
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("git/")) =>
        {
            Answer::status(302).header("Location", &format!("{base}{}", asked.path))
        }
        _ => guarded(&root, asked),
    });
    for server in [first, second] {
        let pod = Pod::new(Some(&tls)).with_credentials("me", "secret");
        let result = pod.fetch(&server.url("/app.git"), None);
        assert_eq!(reason(&result), "GitFetchFailed", "{result:?}");
        assert!(!server.asked().is_empty());
    }
    assert!(other.asked().is_empty());
}

#[test]
fn a_redirect_at_the_same_server_is_followed() {
    let repository = Repository::new("app.git");
    let commit = repository.commit_file("file", "1");
    let (tls, root) = (Tls::new(), repository.root());
    let server = Server::start(Some(&tls), move |asked| match asked.path.strip_prefix("/old/app") {
        Some(rest) => Answer::status(301).header("Location", &format!("/app.git{rest}")),
        None => guarded(&root, asked),
    });
    let pod = Pod::new(Some(&tls)).with_credentials("me", "secret");
    assert_eq!(pod.fetch(&server.url("/old/app"), None).unwrap(), commit);

    let circle = Server::start(None, |asked| Answer::status(301).header("Location", &asked.path));
    assert_eq!(
        reason(&Pod::new(None).fetch(&circle.url("/app.git"), None)),
        "RepositoryNotFound"
    );
    let login = Server::start(None, |_| Answer::status(302).header("Location", "/users/sign_in"));
    assert_eq!(
        reason(&Pod::new(None).fetch(&login.url("/app.git"), None)),
        "RepositoryNotFound"
    );
}

#[test]
fn a_server_that_is_not_known_or_not_there_can_t_be_reached() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let (tls, root) = (Tls::new(), repository.root());
    let server = Server::start(Some(&tls), move |asked| serve(&root, asked, true));
    let stranger = Pod::new(Some(&Tls::new())).fetch(&server.url("/app.git"), None);
    assert_eq!(reason(&stranger), "GitUnreachable");
    let told = crate::registry::chain(&stranger.unwrap_err());
    assert!(told.contains("certificate"), "{told}");
    assert!(server.asked().is_empty());
    assert_eq!(
        reason(&Pod::new(None).fetch("http://127.0.0.1:1/app.git", None)),
        "GitUnreachable"
    );
    assert_eq!(
        reason(&Pod::new(None).fetch("https://git.invalid/app.git", None)),
        "GitUnreachable"
    );
}

#[test]
fn a_hostile_tree_is_refused_before_a_file_is_written() {
    let mut hostile: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("a way up", vec![("100644", "..")]),
        ("itself", vec![("100644", ".")]),
        ("a repository", vec![("40000", ".git")]),
        ("a repository in capitals", vec![("40000", ".GIT")]),
        ("a repository by a short name", vec![("40000", "git~1")]),
        ("a repository with ignored letters", vec![("40000", ".g\u{200c}it")]),
        ("a path", vec![("100644", "a/b")]),
        ("an absolute path", vec![("100644", "/etc/x")]),
        ("a linked .gitmodules", vec![("120000", ".gitmodules")]),
        (
            "a link and a directory of its name",
            vec![("120000", "a"), ("40000", "a")],
        ),
        ("a file twice", vec![("100644", "a"), ("100644", "a")]),
    ];
    let long = "x".repeat(5000);
    hostile.push(("a name that is too long", vec![("100644", &long)]));
    for (what, entries) in hostile {
        let repository = Repository::new("app.git");
        let blob = repository.blob(b"/tmp");
        let inner = repository.tree(&[("100644", "b", &blob)]);
        let with_ids: Vec<_> = entries
            .iter()
            .map(|(mode, name)| {
                (
                    *mode,
                    *name,
                    if *mode == "40000" {
                        inner.as_str()
                    } else {
                        blob.as_str()
                    },
                )
            })
            .collect();
        let tree = repository.tree(&with_ids);
        repository.commit_tree(&tree);
        let pod = Pod::new(None);
        let result = pod.fetch(&plain(&repository).url("/app.git"), None);
        assert_eq!(reason(&result), "InvalidPath", "{what}: {result:?}");
        assert_eq!(pod.names(), [".git"], "{what}");
    }
}

#[test]
fn what_grows_has_an_end() {
    let repository = Repository::new("bomb.git");
    let blob = repository.blob(&[b'x'; 100_000]);
    let mut tree = repository.tree(&[("100644", "a", &blob), ("100644", "b", &blob)]);
    for _ in 0..40 {
        tree = repository.tree(&[("40000", "a", &tree), ("40000", "b", &tree)]);
    }
    repository.commit_tree(&tree);
    let server = plain(&repository);
    let mut pod = Pod::new(None);
    // Two to the power of forty files in some forty objects.
    assert_eq!(reason(&pod.fetch(&server.url("/bomb.git"), None)), "SourceTooLarge");
    pod.limits = Limits {
        entries: 1000,
        ..Limits::default()
    };
    assert_eq!(reason(&pod.fetch(&server.url("/bomb.git"), None)), "SourceTooLarge");
    pod.limits = Limits {
        files: 50_000,
        ..Limits::default()
    };
    assert_eq!(reason(&pod.fetch(&server.url("/bomb.git"), None)), "SourceTooLarge");
    pod.limits = Limits {
        pack: 200,
        ..Limits::default()
    };
    assert!(matches!(
        pod.fetch(&server.url("/bomb.git"), None),
        Err(GitError::TooLarge {
            what: "bytes received",
            ..
        })
    ));
    // One object that is larger unpacked than may be held in memory.
    let repository = Repository::new("large.git");
    repository.commit_file("large", &"x".repeat(3 << 20));
    pod.limits = Limits {
        object: 1 << 20,
        ..Limits::default()
    };
    let result = pod.fetch(&plain(&repository).url("/large.git"), None);
    assert!(
        matches!(
            result,
            Err(GitError::TooLarge {
                what: "bytes in one file",
                ..
            })
        ),
        "{result:?}"
    );
}

/// Whose configuration would send the fetch elsewhere and run programs on the way.
const HOSTILE_CONFIG: &str = "PREPARE_TEST_HOME";

#[test]
fn nobody_s_configuration_is_read_and_no_program_is_run() {
    let home = tempfile::tempdir().unwrap();
    let ran = home.path().join("ran");
    let run = format!("touch {}", ran.display());
    let config = format!(
        "[filter \"x\"]\n\tsmudge = {run}\n\tprocess = {run}\n\trequired = true\n[core]\n\thooksPath = {0}\n\tfsmonitor = {run}\n\
         [credential]\n\thelper = !{run}\n[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = http://localhost\n[http]\n\tproxy = http://127.0.0.1:1\n",
        home.path().display()
    );
    std::fs::write(home.path().join(".gitconfig"), &config).unwrap();
    std::fs::write(home.path().join("post-checkout"), format!("#!/bin/sh\n{run}\n")).unwrap();
    std::fs::set_permissions(
        home.path().join("post-checkout"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    // The environment of this process can't be changed, that of a child can.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "prepare::git::hostile_tests::fetch_in_a_hostile_home",
        ])
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("GIT_CONFIG_GLOBAL", home.path().join(".gitconfig"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.proxy")
        .env("GIT_CONFIG_VALUE_0", "http://127.0.0.1:1")
        .env(HOSTILE_CONFIG, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!ran.exists());
}

#[test]
#[ignore = "run by the test before it, in a home of its own"]
fn fetch_in_a_hostile_home() {
    assert!(std::env::var_os(HOSTILE_CONFIG).is_some());
    let repository = Repository::new("app.git");
    std::fs::write(repository.path(".gitattributes"), "* filter=x\n").unwrap();
    let commit = repository.commit_file("file", "1");
    let pod = Pod::new(None);
    assert_eq!(pod.fetch(&plain(&repository).url("/app.git"), None).unwrap(), commit);
    assert_eq!(pod.read("file"), "1");
    // A server that asks for credentials makes nobody look for some.
    let root = repository.root();
    let server = Server::start(None, move |asked| guarded(&root, asked));
    assert_eq!(reason(&pod.fetch(&server.url("/app.git"), None)), "GitUnauthorized");
}
