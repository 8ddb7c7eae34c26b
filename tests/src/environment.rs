//! What `.cluster/env` says: where the cluster of this checkout is, and what lies around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The assignments of `.cluster/env`.
#[derive(Clone, Debug)]
pub struct Environment {
    root: PathBuf,
    values: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the file of this checkout, found by walking up from this crate. No variable of the process and no
    /// kubeconfig of a person is ever taken instead.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn load() -> Self {
        let crate_folder = crate_folder();
        let file = crate_folder
            .ancestors()
            .map(|folder| folder.join(".cluster/env"))
            .find(|file| file.is_file())
            .expect("no cluster is there: bring one up with `make cluster`");
        let text = std::fs::read_to_string(&file).expect("reading .cluster/env");
        let root = file.parent().and_then(Path::parent).unwrap_or(&crate_folder).to_owned();
        Self {
            root,
            values: text.lines().filter_map(assignment).collect(),
        }
    }

    /// The value of a variable.
    ///
    /// # Panics
    /// Where the file does not set it.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.values
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not set in .cluster/env"))
    }

    /// A file of this checkout.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A program that came with the cluster, else the one on the path.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        let brought = Path::new(self.get("CLUSTER_TOOLS")).join(name);
        if brought.is_file() {
            brought
        } else {
            PathBuf::from(name)
        }
    }

    /// Host and port of an URL of the file.
    #[must_use]
    pub fn host_of(&self, name: &str) -> &str {
        let url = self.get(name);
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        authority.rsplit('@').next().unwrap_or(authority)
    }
}

/// Folder of this crate, asked of cargo at run time: checkouts that share a target folder may share what was compiled,
/// and each has a cluster and a chart of its own.
#[must_use]
pub fn crate_folder() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR");
    PathBuf::from(now.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()))
}

/// `NAME='value'`
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().trim_matches('\'').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_without_their_quotes() {
        assert_eq!(assignment("A='b c'"), Some(("A".to_owned(), "b c".to_owned())));
        assert_eq!(assignment("# comment"), None);
    }

    #[test]
    fn the_host_of_an_url_has_neither_credentials_nor_path() {
        let values = [("U".to_owned(), "http://me:secret@10.0.0.1:3000/a/b".to_owned())].into();
        assert_eq!(
            Environment {
                root: PathBuf::new(),
                values
            }
            .host_of("U"),
            "10.0.0.1:3000"
        );
    }
}
