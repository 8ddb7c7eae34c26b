//! Image names as a registry is asked for them: with their host, Docker Hub's short names filled in.

use std::fmt;

use imagefactory_crds::build::RegistryMirror;
use oci_spec::distribution::Reference as Parsed;

use super::digest::Digest;

/// Docker Hub's name, and the names that mean it.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 4] = [
    DOCKER_HUB,
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Why a text is not an image name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// It does not follow the grammar of image names.
    #[error("{name:?} is not an image name")]
    Grammar {
        /// The text, cut.
        name: String,
        /// What the grammar says.
        #[source]
        source: oci_spec::distribution::ParseError,
    },
    /// Its digest is not one that we compute.
    #[error("{name:?} names a digest that is not `sha256:` and 64 lower-case hexadecimal digits")]
    Digest {
        /// The text, cut.
        name: String,
    },
    /// Its tag has characters that tags may not have.
    #[error("{name:?} names a tag with characters that are not letters, digits, '.', '_' and '-'")]
    Tag {
        /// The text, cut.
        name: String,
    },
    /// A repository was asked for, and this names a tag or a digest.
    #[error("{name:?} names a tag or a digest where a repository is expected")]
    NotRepository {
        /// The text, cut.
        name: String,
    },
}

/// The one name of a host: lower case, without the default port, Docker Hub's aliases made one.
#[must_use]
pub fn normalise_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    if DOCKER_HUB_ALIASES.contains(&host) {
        DOCKER_HUB.to_owned()
    } else {
        host.to_owned()
    }
}

/// A repository at a registry.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// Takes a name without tag and digest, as in `registry.example.com:5000/team/app`.
    ///
    /// # Errors
    /// The text is not a repository's name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (repository, tag, digest) = take_apart(text)?;
        // The parser fills in a tag where none is named.
        if digest.is_some() || tag.is_some_and(|tag| text.ends_with(&format!(":{tag}"))) {
            return Err(NameError::NotRepository { name: cut(text) });
        }
        Ok(repository)
    }

    /// Host with port, as in `docker.io` and `registry.example.com:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path at the host, as in `library/debian`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the host's registry answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        if self.host == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            &self.host
        }
    }

    /// The repository below `mirror` (host, port and path) that stands for this one.
    ///
    /// # Errors
    /// The mirror is not a host or repository.
    pub fn at_mirror(&self, mirror: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{}/{}", mirror.trim_end_matches('/'), self.path))
    }

    /// The repositories that stand for this one at those of the mirrors that are for its registry.
    ///
    /// # Errors
    /// One of them is not a host or repository.
    pub fn at_mirrors(&self, mirrors: &[RegistryMirror]) -> Result<Vec<Self>, NameError> {
        mirrors
            .iter()
            .filter(|mirror| normalise_host(mirror.registry.as_str()) == self.host)
            .map(|mirror| self.at_mirror(mirror.mirror.as_str()))
            .collect()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An image in a repository, by tag, by digest, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it lies.
    pub repository: Repository,
    /// Its tag: `latest` where neither tag nor digest is named.
    pub tag: Option<String>,
    /// Its digest, if named. It stands above the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Takes an image name as Dockerfiles write it: `debian:12` is `docker.io/library/debian:12`.
    ///
    /// # Errors
    /// The text is not an image name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (repository, tag, digest) = take_apart(text)?;
        Ok(Self {
            repository,
            tag,
            digest,
        })
    }

    /// What a registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn wanted(&self) -> &str {
        self.digest
            .as_ref()
            .map(Digest::as_str)
            .or(self.tag.as_deref())
            .unwrap_or("latest")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

type Parts = (Repository, Option<String>, Option<Digest>);

fn take_apart(text: &str) -> Result<Parts, NameError> {
    let name = cut(text);
    let parsed = Parsed::try_from(text).map_err(|source| NameError::Grammar {
        name: name.clone(),
        source,
    })?;
    let tag = parsed.tag().map(str::to_owned);
    // The parser's grammar counts letters of every alphabet as tag characters; registries do not.
    if tag.as_ref().is_some_and(|tag| !tag.is_ascii()) {
        return Err(NameError::Tag { name });
    }
    let digest = match parsed.digest() {
        Some(text) => Some(Digest::parse(text).ok_or(NameError::Digest { name })?),
        None => None,
    };
    let (host, path) = (normalise_host(parsed.registry()), parsed.repository());
    let path = if host == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    Ok((Repository { host, path }, tag, digest))
}

/// Names come from tenants: as much as a message may carry.
fn cut(text: &str) -> String {
    text.chars().take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_of_docker_hub() {
        for (text, whole) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("library/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/debian:12", "docker.io/library/debian:12"),
            ("registry-1.docker.io/library/debian:12", "docker.io/library/debian:12"),
            ("team/app", "docker.io/team/app:latest"),
            ("localhost/app:1", "localhost/app:1"),
            ("R.example.com:5000/team/app:1", "r.example.com:5000/team/app:1"),
            ("r.example.com:443/team/app:1", "r.example.com/team/app:1"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), whole, "{text}");
        }
    }

    #[test]
    fn a_digest_stands_above_the_tag() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse(&format!("r.io/a:1@{digest}")).unwrap();
        assert_eq!(reference.wanted(), digest.as_str());
        assert_eq!(reference.to_string(), format!("r.io/a:1@{digest}"));
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            "-x",
            "r.io/../etc",
            "r.io/a/../b",
            "r.io//a",
            "r.io/a b",
            "r.io/a:\u{fc}",
            "r.io/a\n",
            "r.io/A",
            "http://r.io/a",
            "r.io/a@sha512:ab",
            "r.io/a?x=1",
            "user:pass@r.io/a",
            "r.io/a#b",
            "r.io/%2e%2e/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        let upper = format!("r.io/a@sha256:{}", "A".repeat(64));
        assert!(matches!(Reference::parse(&upper), Err(NameError::Digest { .. })));
    }

    #[test]
    fn a_repository_names_neither_tag_nor_digest() {
        assert_eq!(
            Repository::parse("r.io:5000/team/app").unwrap().to_string(),
            "r.io:5000/team/app"
        );
        for text in [
            "r.io/app:1".to_owned(),
            "r.io/app:latest".to_owned(),
            format!("r.io/app@{}", Digest::of(b"")),
        ] {
            assert!(
                matches!(Repository::parse(&text), Err(NameError::NotRepository { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn a_mirror_has_the_path_below_its_own() {
        let debian = Repository::parse("debian").unwrap();
        assert_eq!(
            debian.at_mirror("mirror.example.com/hub/").unwrap().to_string(),
            "mirror.example.com/hub/library/debian"
        );
        assert_eq!(
            debian.at_mirror("localhost:5000").unwrap().to_string(),
            "localhost:5000/library/debian"
        );
        assert_eq!(debian.endpoint(), "registry-1.docker.io");
    }
}
