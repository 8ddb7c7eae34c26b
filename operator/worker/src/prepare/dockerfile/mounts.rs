//! What a `RUN --mount` takes files from.

use super::DockerfileError;
use super::lines::{Instruction, Word};
use super::stages::{Named, Place, Use, place_of};

/// Images from outside that the mounts of a RUN name. Each is replaced together with the flag that it stands in.
pub(super) fn images(run: &Instruction, stage: usize, names: &[Option<String>]) -> Result<Vec<Use>, DockerfileError> {
    let mut found = Vec::new();
    for flag in &run.flags {
        let Some(mount) = flag.text.strip_prefix("--mount=") else {
            continue;
        };
        let refuse = |problem: String| Err(DockerfileError::at(run.line, problem));
        let sources = sources(mount);
        let value = match sources.as_slice() {
            [] => continue,
            [(_, value)] => *value,
            _ => return refuse("RUN --mount has two from".to_owned()),
        };
        match place_of(value, stage, names) {
            Place::Before => {}
            Place::Outside if value == "scratch" => {}
            Place::NotBefore => {
                let shown: String = value.chars().take(128).collect();
                return refuse(format!(
                    "RUN --mount from {shown:?} names a stage that is not before this one"
                ));
            }
            Place::Outside if !is_plain(flag) => {
                return refuse(
                    "write the RUN --mount that names an image without quotes and escapes, on one line".to_owned(),
                );
            }
            Place::Outside => {
                let (before, after) = around(mount, value);
                found.push(Use {
                    line: run.line,
                    span: flag.span(),
                    prefix: format!("--mount={before}"),
                    suffix: after.to_owned(),
                    names: Named::Image(value.to_owned()),
                });
            }
        }
    }
    Ok(found)
}

/// Fields `from` of a mount, with their values. Quotes are looked through, to see them wherever the builder may.
pub(super) fn sources(mount: &str) -> Vec<(&str, &str)> {
    let fields = mount.split(',');
    let pairs = fields.filter_map(|field| field.trim_matches(['"', ' ']).split_once('='));
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case("from")).collect()
}

/// Whether a flag stands in the file letter by letter as it is read, and can be written anew.
fn is_plain(flag: &Word) -> bool {
    flag.span().len() == flag.text.len() && !flag.text.contains(['"', '\'', '\\', '`', ' '])
}

/// The text before and after a value that is part of it.
fn around<'a>(mount: &'a str, value: &'a str) -> (&'a str, &'a str) {
    let start = value.as_ptr() as usize - mount.as_ptr() as usize;
    (
        mount.get(..start).unwrap_or_default(),
        mount.get(start + value.len()..).unwrap_or_default(),
    )
}
