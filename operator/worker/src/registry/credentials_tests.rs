//! Tests of credentials: what they are bound to, and that they are never shown.

use super::*;

fn read_back(text: &str) -> Result<Vec<(String, Credential)>, CredentialError> {
    parse("secret", text.as_bytes())
}

fn load(texts: &[&str]) -> Credentials {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    Credentials::load(&files).unwrap()
}

fn user_for(credentials: &Credentials, repository: &str) -> Option<String> {
    credentials
        .for_repository(&Repository::parse(repository).unwrap())
        .unwrap()
        .map(|found| found.username.clone())
}

#[test]
fn a_file_that_is_not_there_means_a_missing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let missing = RegistryError::from(Credentials::load(&[folder.path().join(".dockerconfigjson")]).unwrap_err());
    assert_eq!(missing.reason(), "SecretNotFound");
    assert!(
        missing
            .to_string()
            .starts_with("the Secret is missing, or has no key .dockerconfigjson"),
        "{missing}"
    );
    assert!(missing.next().starts_with("Create the Secret in this namespace"));
    let unreadable = RegistryError::from(Credentials::load(&[folder.path().to_owned()]).unwrap_err());
    assert_eq!(unreadable.reason(), "InvalidCredential");
}

#[test]
fn a_credential_is_for_exactly_the_host_that_its_entry_names() {
    let credentials = load(&[r#"{"auths":{"r.io":{"auth":"dTpw"},"r.io:5000":{"username":"v","password":"p"}}}"#]);
    assert_eq!(user_for(&credentials, "r.io/a").as_deref(), Some("u"));
    assert_eq!(user_for(&credentials, "r.io:5000/a").as_deref(), Some("v"));
    assert_eq!(
        user_for(&credentials, "r.io:443/a").as_deref(),
        Some("u"),
        "the default port is no other host"
    );
    for other in [
        "r.io.evil.com/a",
        "evil.com/r.io/a",
        "sub.r.io/a",
        "r.io:444/a",
        "debian",
    ] {
        assert_eq!(user_for(&credentials, other), None, "{other}");
    }
}

#[test]
fn every_name_of_docker_hub_means_docker_hub() {
    for key in [
        "docker.io",
        "index.docker.io",
        "https://index.docker.io/v1/",
        "registry-1.docker.io",
        "https://docker.io/v2",
    ] {
        let credentials = load(&[&format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#)]);
        assert_eq!(
            user_for(&credentials, "debian:12".trim_end_matches(":12")).as_deref(),
            Some("u"),
            "{key}"
        );
    }
}

#[test]
fn an_entry_with_a_path_is_for_that_path_and_the_longest_wins() {
    let credentials = load(&[
        r#"{"auths":{"r.io/team":{"username":"team","password":"p"},"r.io/team/app":{"username":"app","password":"p"}}}"#,
    ]);
    assert_eq!(user_for(&credentials, "r.io/team/app").as_deref(), Some("app"));
    assert_eq!(user_for(&credentials, "r.io/team/other").as_deref(), Some("team"));
    assert_eq!(user_for(&credentials, "r.io/team-b/app"), None);
}

#[test]
fn of_two_files_the_first_counts() {
    let credentials = load(&[
        r#"{"auths":{"r.io":{"username":"one","password":"p"}}}"#,
        r#"{"auths":{"r.io":{"username":"two","password":"p"},"s.io":{"username":"two","password":"p"}}}"#,
    ]);
    assert_eq!(user_for(&credentials, "r.io/a").as_deref(), Some("one"));
    assert_eq!(user_for(&credentials, "s.io/a").as_deref(), Some("two"));
}

#[test]
fn bound_credentials_refuse_every_other_repository() {
    let credentials = load(&[r#"{"auths":{"r.io":{"auth":"dTpw"}}}"#]).bound_to(vec!["r.io/staging/acme".to_owned()]);
    assert_eq!(user_for(&credentials, "r.io/staging/acme/app").as_deref(), Some("u"));
    for other in [
        "r.io/staging/acme-two/app",
        "r.io/staging",
        "s.io/staging/acme/app",
        "debian",
    ] {
        let refused = credentials.for_repository(&Repository::parse(other).unwrap());
        assert!(matches!(refused, Err(RegistryError::OutsidePrefix { .. })), "{other}");
    }
}

#[test]
fn what_can_not_be_used_is_refused_clearly() {
    for (text, says) in [
        (r#"{"auths":{"r.io":{"identitytoken":"t"}}}"#, "identitytoken"),
        (
            r#"{"auths":{"r.io":{"auth":"dTpw","registrytoken":"t"}}}"#,
            "registrytoken",
        ),
        (r#"{"auths":{"*.r.io":{"auth":"dTpw"}}}"#, "patterns"),
        (r#"{"auths":{"http://r.io":{"auth":"dTpw"}}}"#, "plain http"),
        (r#"{"auths":{"https://u@r.io":{"auth":"dTpw"}}}"#, "user names"),
        (r#"{"auths":{"r.io":{"auth":"dQ=="}}}"#, "without a colon"),
        (r#"{"auths":{"r.io":{"auth":"???"}}}"#, "not base64"),
        (r#"{"auths":{"r.io":{"username":"u"}}}"#, "lacks"),
    ] {
        let error = read_back(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn an_entry_without_content_is_no_credential() {
    assert!(
        read_back(r#"{"auths":{"r.io":{}},"credsStore":"desktop"}"#)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn neither_errors_nor_debug_show_a_secret() {
    let malformed = read_back(r#"{"auths":{"r.io":{"auth":"dTpw","password":["hunter2"]}}}"#).unwrap_err();
    assert!(!format!("{malformed} {malformed:?}").contains("hunter2"));
    let malformed = read_back(r#"{"auths":"hunter2"}"#).unwrap_err();
    assert!(!format!("{malformed} {malformed:?}").contains("hunter2"));
    let credentials = load(&[r#"{"auths":{"r.io":{"username":"u","password":"hunter2"}}}"#]);
    assert!(!format!("{credentials:?}").contains("hunter2"));
    assert!(!format!("{:?}", credentials.to_docker_config()).contains("aHVudGVy"));
}

#[test]
fn the_written_file_holds_what_was_read() {
    let credentials = load(&[r#"{"auths":{"docker.io":{"auth":"dTpw"},"r.io":{"username":"v","password":"q:r"}}}"#]);
    let written = credentials.to_docker_config();
    let again = load(&[written.expose_secret()]);
    assert_eq!(again.entries, credentials.entries);
    assert!(written.expose_secret().contains("https://index.docker.io/v1/"));
}
