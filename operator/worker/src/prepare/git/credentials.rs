//! A name and a password for one Git server. They are sent to the host of the Build's URL, over TLS, and nowhere else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::GitError;

const MAX_FILE: u64 = 64 << 10;
/// What servers take for a token without a name.
const DEFAULT_USERNAME: &str = "git";

/// Name and password, bound to scheme, host and port.
#[derive(Debug)]
pub(super) struct Account {
    username: String,
    password: SecretString,
    bound_to: Url,
}

impl Account {
    /// Reads the files `username` and `password` of a mounted Secret and binds them to the URL's host.
    pub(super) fn read(directory: &Path, url: &Url) -> Result<Self, GitError> {
        let username = read(directory, "username")?.filter(|name| !name.is_empty());
        let username = username.unwrap_or_else(|| DEFAULT_USERNAME.to_owned());
        let password = read(directory, "password")?.filter(|password| !password.is_empty());
        let password = password.ok_or(GitError::Credentials {
            problem: "has no password",
        })?;
        if username.contains(':') {
            return Err(GitError::Credentials {
                problem: "has a user name with a colon",
            });
        }
        Ok(Self {
            username,
            password: SecretString::from(password),
            bound_to: url.clone(),
        })
    }

    /// Name and password if they may be sent to `url`.
    pub(super) fn for_url(&self, url: &Url) -> Option<(&str, &str)> {
        (url.scheme() == "https" && same_server(&self.bound_to, url))
            .then(|| (self.username.as_str(), self.password.expose_secret()))
    }
}

/// Whether two URLs name the same scheme, host and port.
pub(super) fn same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// A key of the Secret, without the line's end that editors leave; none where there is no such key.
fn read(directory: &Path, key: &'static str) -> Result<Option<String>, GitError> {
    let mut text = String::new();
    match File::open(directory.join(key)).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(GitError::Credentials {
                problem: "has a key that is not text",
            });
        }
        Err(error) => return Err(GitError::Disk(error)),
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.chars().any(char::is_control) {
        return Err(GitError::Credentials {
            problem: "has a key with control characters",
        });
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(files: &[(&str, &str)]) -> Result<Account, GitError> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Account::read(directory.path(), &Url::parse("https://git.example.com/a.git").unwrap())
    }

    fn sent(account: &Account, url: &str) -> Option<(String, String)> {
        let (name, password) = account.for_url(&Url::parse(url).unwrap())?;
        Some((name.to_owned(), password.to_owned()))
    }

    #[test]
    fn credentials_go_to_their_own_server_over_tls_alone() {
        let account = account(&[("username", "me"), ("password", "p\n")]).unwrap();
        let pair = Some(("me".to_owned(), "p".to_owned()));
        assert_eq!(sent(&account, "https://git.example.com/other"), pair);
        assert_eq!(sent(&account, "https://GIT.example.com:443/other"), pair);
        for url in [
            "http://git.example.com/a.git",
            "https://git.example.com:8443/a.git",
            "https://git.example.com.evil.com/a.git",
            "https://example.com/a.git",
            "https://git.example.com@evil.com/a.git",
        ] {
            assert_eq!(sent(&account, url), None, "{url}");
        }
    }

    #[test]
    fn a_token_needs_no_name_and_a_name_needs_a_password() {
        assert_eq!(
            sent(&account(&[("password", "t")]).unwrap(), "https://git.example.com")
                .unwrap()
                .0,
            "git"
        );
        for files in [
            vec![("username", "me")],
            vec![("username", "a:b"), ("password", "p")],
            vec![("password", "a\r\nb")],
            vec![("password", "")],
        ] {
            assert!(
                matches!(account(&files), Err(GitError::Credentials { .. })),
                "{files:?}"
            );
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", account(&[("password", "hunter2")]).unwrap()).contains("hunter2"));
    }
}
