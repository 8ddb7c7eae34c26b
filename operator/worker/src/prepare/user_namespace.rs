//! Looks that the pod has a user namespace of its own, before anything else is done.
//!
//! Root in the container that runs tenant code must not be root of the node. The kubelet is asked for a user
//! namespace by the pod's spec; a runtime that does not know the field starts the pod without one and says nothing.

use std::path::Path;

/// Why the pod may not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserNamespaceError {
    /// The map can't be read.
    #[error("the pod's map of user ids can't be read")]
    Unreadable(#[source] std::io::Error),
    /// The map is not what the kernel writes.
    #[error("the pod's map of user ids can't be understood: {0:?}")]
    Malformed(String),
    /// Root of the pod's namespace, or someone in it, is root of the node.
    #[error("the pod has no user namespace of its own: its map of user ids reaches the node's root")]
    NodeRoot,
}

/// Reads the map (`/proc/self/uid_map`) and refuses one that reaches the node's root.
pub(super) fn check(map: &Path) -> Result<(), UserNamespaceError> {
    let text = std::fs::read_to_string(map).map_err(UserNamespaceError::Unreadable)?;
    check_map(&text)
}

/// Judges a map: lines of `inside outside length`. The identity is `0 0 4294967295`; cut into several lines it
/// would be the identity still, so each range is looked at.
fn check_map(text: &str) -> Result<(), UserNamespaceError> {
    let malformed = || UserNamespaceError::Malformed(text.chars().take(100).collect());
    let mut lines = text.lines().peekable();
    if lines.peek().is_none() {
        return Err(malformed());
    }
    for line in lines {
        let numbers: Result<Vec<u32>, _> = line.split_ascii_whitespace().map(str::parse).collect();
        match numbers.map_err(|_| malformed())?.as_slice() {
            [_, _, 0] => return Err(malformed()),
            [_, 0, _] => return Err(UserNamespaceError::NodeRoot),
            [inside, outside, length] => {
                let fits = |first: &u32| u64::from(*first) + u64::from(*length) <= 1 << 32;
                if !fits(inside) || !fits(outside) {
                    return Err(malformed());
                }
            }
            _ => return Err(malformed()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_keeps_away_from_the_node_s_root_is_good() {
        for text in [
            "         0     131072      65536\n",
            "0 65536 65536",
            "0 100000 1000\n1000 200000 64536\n",
            "0 1 1\n",
        ] {
            assert!(check_map(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn the_identity_is_refused_whole_and_in_parts() {
        for text in [
            "         0          0 4294967295\n",
            "0 0 1\n1 100000 65535\n",
            "0 100000 65535\n65535 0 1\n",
            "0 0 4294967295",
        ] {
            assert!(matches!(check_map(text), Err(UserNamespaceError::NodeRoot)), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_map_is_refused() {
        for text in [
            "",
            "\n",
            "0\n",
            "0 1\n",
            "0 1 2 3\n",
            "a b c\n",
            "0 -1 5\n",
            "0 65536 0\n",
            "0 65536 65536\n\n",
            "0 4294967296 1",
            "0 4294967295 2",
        ] {
            assert!(
                matches!(check_map(text), Err(UserNamespaceError::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_map_that_is_not_there_is_refused() {
        let missing = check(Path::new("/nonexistent/uid_map"));
        assert!(matches!(missing, Err(UserNamespaceError::Unreadable(_))));
    }
}
