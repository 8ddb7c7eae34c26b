//! Writes digests into a Dockerfile. Every byte that does not name an image stays as it was.

use std::collections::BTreeMap;

use super::DockerfileError;
use super::stages::{Named, Use};

/// The file with every image pinned. `names`: what is written for an image, by how [`Use`] names it.
pub(in crate::prepare) fn pin(
    text: &str,
    uses: &[Use],
    names: &BTreeMap<String, String>,
) -> Result<String, DockerfileError> {
    let mut pinned = String::with_capacity(text.len() + uses.len() * 80);
    let mut at = 0;
    for found in uses {
        let misplaced = || DockerfileError::at(found.line, "the place of an image's name was lost".to_owned());
        let name = match &found.names {
            Named::Inside(name) => name.clone(),
            Named::Image(image) => names.get(image).cloned().ok_or_else(misplaced)?,
        };
        pinned.push_str(text.get(at..found.span.start).ok_or_else(misplaced)?);
        pinned.push_str(&found.prefix);
        pinned.push_str(&name);
        pinned.push_str(&found.suffix);
        at = found.span.end;
    }
    pinned.push_str(text.get(at..).unwrap_or_default());
    Ok(pinned)
}
