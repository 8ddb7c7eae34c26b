//! Fetches from the real Git over real HTTP.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::test_pod::{Pod, plain, reason};
use super::test_repository::{Repository, serve};
use super::*;
use crate::prepare::test_server::{Answer, Server};

#[test]
fn the_default_branch_is_laid_out_without_its_repository() {
    let repository = Repository::new("app.git");
    std::fs::write(repository.path("run.sh"), "#!/bin/sh").unwrap();
    std::fs::set_permissions(repository.path("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", repository.path("link")).unwrap();
    let commit = repository.commit_file("dir/sub/file", "text");
    let pod = Pod::new(None);
    assert_eq!(pod.fetch(&plain(&repository).url("/app.git"), None).unwrap(), commit);
    assert_eq!(pod.names(), ["dir", "link", "run.sh"]);
    assert_eq!(pod.read("dir/sub/file"), "text");
    let mode = |path: &str| {
        std::fs::symlink_metadata(pod.workspace().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (mode("run.sh"), mode("dir/sub/file"), mode("dir/sub")),
        (0o755, 0o644, 0o755)
    );
    assert_eq!(
        std::fs::read_link(pod.workspace().join("link")).unwrap(),
        std::path::Path::new("/etc/passwd")
    );
}

#[test]
fn branches_tags_and_commits_are_found() {
    let repository = Repository::new("app.git");
    let first = repository.commit_file("file", "1");
    repository.run(&["tag", "v1"], b"");
    let second = repository.commit_file("file", "2");
    repository.run(&["tag", "--annotate", "--message=x", "v2"], b"");
    repository.run(&["branch", "feature/x"], b"");
    let tag_object = repository.run(&["rev-parse", "v2"], b"");
    let third = repository.commit_file("file", "3");
    // A branch stands above a tag of its name.
    repository.run(&["branch", "both", &first], b"");
    repository.run(&["tag", "both", &second], b"");
    let server = plain(&repository);
    let pod = Pod::new(None);
    for (revision, commit, content) in [
        ("main", &third, "3"),
        ("feature/x", &second, "2"),
        ("v1", &first, "1"),
        ("v2", &second, "2"),
        ("both", &first, "1"),
        (&*third, &third, "3"),
        (&*first, &first, "1"),
        (&*first.to_uppercase(), &first, "1"),
        (&*tag_object, &second, "2"),
    ] {
        assert_eq!(
            &pod.fetch(&server.url("/app.git/"), Some(revision)).unwrap(),
            commit,
            "{revision}"
        );
        assert_eq!(pod.read("file"), content, "{revision}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let tree = repository.run(&["rev-parse", "HEAD^{tree}"], b"");
    let blob = repository.run(&["rev-parse", "HEAD:file"], b"");
    let server = plain(&repository);
    let pod = Pod::new(None);
    for (path, revision, reason) in [
        ("/app.git", Some("none"), "RevisionNotFound"),
        ("/app.git", Some("refs/heads/main"), "RevisionNotFound"),
        ("/app.git", Some("a..b"), "RevisionNotFound"),
        ("/app.git", Some("a:refs/heads/b"), "RevisionNotFound"),
        ("/app.git", Some("*"), "RevisionNotFound"),
        ("/app.git", Some("^main"), "RevisionNotFound"),
        ("/app.git", Some("main~1"), "RevisionNotFound"),
        ("/app.git", Some("abcdef1"), "RevisionNotFound"),
        (
            "/app.git",
            Some("0123456789012345678901234567890123456789"),
            "CommitNotFound",
        ),
        ("/app.git", Some(&tree), "CommitNotFound"),
        ("/app.git", Some(&blob), "CommitNotFound"),
        ("/app.git", Some(&"ab".repeat(32)), "CommitNotFound"),
        ("/other.git", None, "RepositoryNotFound"),
    ] {
        let result = pod.fetch(&server.url(path), revision);
        assert_eq!(
            super::test_pod::reason(&result),
            reason,
            "{path} {revision:?}: {result:?}"
        );
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains(revision.unwrap_or("other.git")),
            "{path} {revision:?}"
        );
    }
}

#[test]
fn a_repository_without_commits_says_so() {
    let pod = Pod::new(None);
    let result = pod.fetch(&plain(&Repository::new("app.git")).url("/app.git"), None);
    assert!(matches!(result, Err(GitError::Empty { .. })), "{result:?}");
}

#[test]
fn a_fetch_is_shallow() {
    let repository = Repository::new("app.git");
    let old = repository.commit_file("large", &"0123456789abcdef".repeat(16));
    std::fs::remove_file(repository.path("large")).unwrap();
    repository.commit_file("file", "1");
    let server = plain(&repository);
    let pod = Pod::new(None);
    let source = receive::Source {
        url: &parse(&server.url("/app.git")).unwrap(),
        account: None,
        roots: &pod.roots,
        limits: pod.limits,
    };
    let (repo, _) = source.fetch(Some("main"), &pod.workspace()).unwrap();
    assert!(!repo.has_object(gix::ObjectId::from_hex(old.as_bytes()).unwrap()));
}

#[test]
fn a_server_that_hands_out_no_commits_by_id_is_asked_for_everything() {
    let repository = Repository::new("app.git");
    let first = repository.commit_file("file", "1");
    repository.run(&["tag", "v1"], b"");
    let lost = repository.commit_file("file", "lost");
    repository.run(&["reset", "--quiet", "--hard", &first], b"");
    repository.commit_file("file", "2");
    for version2 in [true, false] {
        let root = repository.root();
        let server = Server::start(None, move |asked| {
            let refused = String::from_utf8_lossy(&asked.body).contains("deepen 1");
            match asked.method.as_str() {
                "POST" if refused => Answer::status(200)
                    .header("Content-Type", "application/x-git-upload-pack-result")
                    .body("0028ERR upload-pack: not our ref abcdefg"),
                _ => serve(&root, asked, version2),
            }
        });
        let pod = Pod::new(None);
        assert_eq!(pod.fetch(&server.url("/app.git"), Some(&first)).unwrap(), first);
        assert_eq!(pod.read("file"), "1");
        let refused = server
            .asked()
            .iter()
            .filter(|asked| asked.body.windows(8).any(|text| text == b"deepen 1"))
            .count();
        assert_eq!(refused, 1);
        assert_eq!(
            reason(&pod.fetch(&server.url("/app.git"), Some(&lost))),
            "CommitNotFound"
        );
    }
}

#[test]
fn a_server_without_shallow_fetches_is_asked_for_all_history() {
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let second = repository.commit_file("file", "2");
    for version2 in [true, false] {
        let root = repository.root();
        let server = Server::start(None, move |asked| {
            let mut answer = serve(&root, asked, version2);
            if asked.method == "GET" {
                let text = String::from_utf8(answer.body).unwrap();
                assert!(text.contains("shallow"));
                answer.body = text.replace("shallow", "shallov").into_bytes();
            }
            answer
        });
        let pod = Pod::new(None);
        assert_eq!(pod.fetch(&server.url("/app.git"), None).unwrap(), second);
        assert_eq!(pod.fetch(&server.url("/app.git"), Some(&second)).unwrap(), second);
    }
}

#[test]
fn a_server_of_the_first_protocol_is_understood() {
    let repository = Repository::new("app.git");
    let first = repository.commit_file("file", "1");
    let lost = repository.commit_file("file", "lost");
    repository.run(&["reset", "--quiet", "--hard", &first], b"");
    let second = repository.commit_file("file", "2");
    let root = repository.root();
    let server = Server::start(None, move |asked| serve(&root, asked, false));
    let pod = Pod::new(None);
    for (revision, commit) in [(None, &second), (Some("main"), &second), (Some(&*first), &first)] {
        assert_eq!(&pod.fetch(&server.url("/app.git"), revision).unwrap(), commit);
    }
    assert_eq!(
        reason(&pod.fetch(&server.url("/app.git"), Some(&lost))),
        "CommitNotFound"
    );
    assert_eq!(
        reason(&pod.fetch(&server.url("/app.git"), Some("none"))),
        "RevisionNotFound"
    );
}

#[test]
fn a_repository_of_sha_256_is_fetched() {
    let repository = Repository::with_format("app.git", "sha256");
    let first = repository.commit_file("file", "1");
    let second = repository.commit_file("file", "2");
    let server = plain(&repository);
    let pod = Pod::new(None);
    assert_eq!(pod.fetch(&server.url("/app.git"), Some("main")).unwrap(), second);
    assert_eq!(pod.fetch(&server.url("/app.git"), Some(&first)).unwrap(), first);
    assert_eq!(pod.read("file"), "1");
}

#[test]
fn what_is_not_a_git_server_is_no_repository() {
    for (answer, reason) in [
        (
            Answer::status(200).header("Content-Type", "text/html").body("<html>"),
            "RepositoryNotFound",
        ),
        (Answer::status(404), "RepositoryNotFound"),
        (Answer::status(410), "RepositoryNotFound"),
        (Answer::status(403), "GitUnauthorized"),
        (Answer::status(429), "GitUnreachable"),
        (Answer::status(503), "GitUnreachable"),
        (Answer::status(302), "RepositoryNotFound"),
    ] {
        let server = Server::start(None, move |_| answer.clone());
        assert_eq!(
            super::test_pod::reason(&Pod::new(None).fetch(&server.url("/app.git"), None)),
            reason
        );
    }
    let busy = std::sync::atomic::AtomicU32::new(0);
    let repository = Repository::new("app.git");
    repository.commit_file("file", "1");
    let root = repository.root();
    let server = Server::start(None, move |asked| {
        match busy.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 => Answer::status(503),
            _ => serve(&root, asked, true),
        }
    });
    assert!(
        Pod::new(None).fetch(&server.url("/app.git"), None).is_ok(),
        "a server that was busy is asked again"
    );
    let lying = Server::start(None, |_| {
        Answer::status(200)
            .header("Content-Type", "application/x-git-upload-pack-advertisement")
            .body("zzzz")
    });
    assert_eq!(
        reason(&Pod::new(None).fetch(&lying.url("/app.git"), None)),
        "GitFetchFailed"
    );
    for url in [
        "ssh://git@example.com/a",
        "file:///etc",
        "/etc",
        "https://u:p@example.com/a",
        "http://a/b?c",
        "git://a/b",
    ] {
        assert_eq!(reason(&Pod::new(None).fetch(url, None)), "InvalidUrl", "{url}");
    }
}

#[test]
fn attributes_count_and_submodules_do_not() {
    let repository = Repository::new("app.git");
    let first = repository.commit_file("file", "1");
    std::fs::write(
        repository.path(".gitattributes"),
        "*.bat text eol=crlf\n*.sh text eol=lf\n",
    )
    .unwrap();
    std::fs::write(repository.path("a.bat"), "one\r\ntwo\r\n").unwrap();
    std::fs::write(
        repository.path(".gitmodules"),
        "[submodule \"s\"]\n\tpath = s\n\turl = https://example.com/s\n",
    )
    .unwrap();
    repository.run(&["add", "--all"], b"");
    repository.run(
        &["update-index", "--add", "--cacheinfo", &format!("160000,{first},s")],
        b"",
    );
    repository.run(&["commit", "--quiet", "--message=x"], b"");
    let pod = Pod::new(None);
    pod.fetch(&plain(&repository).url("/app.git"), None).unwrap();
    assert_eq!(pod.read("a.bat"), "one\r\ntwo\r\n");
    assert_eq!(pod.read("file"), "1");
    let submodule = std::fs::read_dir(pod.workspace().join("s")).map(Iterator::count);
    assert!(submodule.is_err() || submodule.is_ok_and(|files| files == 0));
}
