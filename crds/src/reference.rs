//! Image names and the prefixes that bind them. Compared segment by segment, never as bare text.

/// Whether `repository` lies under `prefix`: the same host, and path segments that begin with the prefix's.
/// `registry.example.com/team` holds `registry.example.com/team/app` but not `registry.example.com/team-b/app`.
#[must_use]
pub fn lies_under(repository: &str, prefix: &str) -> bool {
    let (repository, prefix) = (&normal_host(repository), &normal_host(prefix.trim_end_matches('/')));
    !prefix.is_empty()
        && repository
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !repository
            .split('/')
            .any(|segment| segment == ".." || segment == "." || segment.is_empty())
}

/// Hosts are compared without regard to case, the default port is none, and Docker Hub has one name.
fn normal_host(name: &str) -> String {
    let (host, path) = name
        .split_once('/')
        .map_or((name, None), |(host, path)| (host, Some(path)));
    let host = host.to_ascii_lowercase();
    let host = match host.strip_suffix(":443").unwrap_or(&host) {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        host => host,
    };
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

/// Host and path of an image as a Dockerfile names it: `debian:12` is `docker.io/library/debian`.
#[must_use]
pub fn repository_of(written: &str) -> String {
    let name = written.split_once('@').map_or(written, |(name, _)| name);
    let name = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    let is_host = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (normal_host(first), path),
        _ => ("docker.io".to_owned(), name),
    };
    if host == "docker.io" && !path.contains('/') {
        format!("{host}/library/{path}")
    } else {
        format!("{host}/{path}")
    }
}

/// An image name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// Host and path, as in `registry.example.com:5000/team/app`.
    pub repository: String,
    /// Tag, if named.
    pub tag: Option<String>,
    /// Digest, if named.
    pub digest: Option<String>,
}

impl ImageName {
    /// Takes a name apart that names its registry's host. A host has a dot or a port, or is `localhost`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (name, None),
        };
        let (host, path) = repository.split_once('/')?;
        let names_host = host.contains('.') || host.contains(':') || host == "localhost";
        (names_host && !path.is_empty()).then(|| Self {
            repository: repository.to_owned(),
            tag,
            digest,
        })
    }

    /// Host with port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.repository.split('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_whole_segments_only() {
        for (repository, prefix, holds) in [
            ("r.io/team/app", "r.io/team", true),
            ("r.io/team/app", "r.io/team/", true),
            ("r.io/team", "r.io/team", true),
            ("r.io/team-b/app", "r.io/team", false),
            ("r.io.evil.com/team/app", "r.io", false),
            ("r.io:5000/team", "r.io", false),
            ("r.io/team/../other/app", "r.io/team", false),
            ("r.io/team//app", "r.io/team", false),
            ("r.io/team", "", false),
            ("R.io:443/team/app", "r.io/team", true),
            ("r.io/team/app", "R.io:443/team", true),
            ("docker.io/library/debian", "index.docker.io/library", true),
        ] {
            assert_eq!(lies_under(repository, prefix), holds, "{repository} under {prefix:?}");
        }
    }

    #[test]
    fn the_repository_of_an_image_is_found_as_the_registry_is_asked_for_it() {
        for (written, repository) in [
            ("debian", "docker.io/library/debian"),
            ("debian:12", "docker.io/library/debian"),
            ("team/app:1@sha256:ab", "docker.io/team/app"),
            ("index.docker.io/debian", "docker.io/library/debian"),
            ("R.io:443/team/app:1", "r.io/team/app"),
            ("r.io:5000/app", "r.io:5000/app"),
            ("localhost/app", "localhost/app"),
            ("Host/app", "host/app"),
        ] {
            assert_eq!(repository_of(written), repository, "{written}");
        }
    }

    #[test]
    fn a_name_is_taken_apart() {
        let name = ImageName::parse("r.io:5000/team/app:1.2@sha256:ab").unwrap();
        assert_eq!(name.repository, "r.io:5000/team/app");
        assert_eq!(
            (name.tag.as_deref(), name.digest.as_deref()),
            (Some("1.2"), Some("sha256:ab"))
        );
        assert_eq!(name.host(), "r.io:5000");
    }

    #[test]
    fn a_name_without_a_host_is_not_taken() {
        assert_eq!(ImageName::parse("team/app:1"), None);
        assert_eq!(ImageName::parse("app"), None);
        assert_eq!(ImageName::parse("r.io/"), None);
    }
}
