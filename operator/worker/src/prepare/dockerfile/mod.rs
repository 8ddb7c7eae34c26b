//! Reads a Dockerfile for the images that it names, and pins them.

mod args;
mod directives;
mod heredoc;
mod instruction;
pub(in crate::prepare) mod lines;
mod mounts;
mod pin;
mod stages;
mod substitution;
mod syntax;
mod words;

pub(super) use pin::pin;
pub(super) use stages::{Named, Use};

use imagefactory_core::step::Builder;
use imagefactory_crds::build::NamedValue;
use stages::Wanted;

/// Why a Dockerfile can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DockerfileError {
    /// It is longer than anyone's.
    #[error("the Dockerfile is longer than 1 MiB")]
    TooLong,
    /// It is not text.
    #[error("the Dockerfile is not text in UTF-8")]
    NotText,
    /// A line that can't be understood, or not safely.
    #[error("line {line} of the Dockerfile: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// More images than any build needs.
    #[error("{problem}")]
    TooManyImages {
        /// How many, and how many there may be.
        problem: String,
    },
    /// Nothing to build.
    #[error("the Dockerfile has no FROM")]
    NoStage,
    /// No stage has the name that the Build asks for.
    #[error("the Dockerfile has no stage {target:?}")]
    TargetNotFound {
        /// The name.
        target: String,
    },
}

impl DockerfileError {
    fn at(line: usize, problem: String) -> Self {
        Self::Line { line, problem }
    }
}

/// The places in a Dockerfile that name images, in the order in which they stand.
pub(super) fn uses(
    text: &str,
    build_args: &[NamedValue],
    target: Option<&str>,
    builder: Builder,
) -> Result<Vec<Use>, DockerfileError> {
    let source = lines::read(text)?;
    let wanted = Wanted {
        build_args,
        target,
        builder,
        architecture: args::own_architecture(),
    };
    let mut found = stages::uses(&source, &wanted)?;
    if builder != Builder::Buildkit {
        return Ok(found);
    }
    let elsewhere = Wanted {
        architecture: args::other_architecture(),
        ..wanted
    };
    independent(&found, &stages::uses(&source, &elsewhere)?)?;
    if let Some(syntax) = syntax::find(text) {
        found.insert(
            0,
            Use {
                line: syntax.line,
                span: syntax.span,
                prefix: String::new(),
                suffix: String::new(),
                names: Named::Image(syntax.image),
            },
        );
    }
    Ok(found)
}

/// Whether a Dockerfile names the same images for every platform: one file is pinned for all of them.
fn independent(here: &[Use], elsewhere: &[Use]) -> Result<(), DockerfileError> {
    let differs = |from: &[Use], others: &[Use]| {
        from.iter()
            .find(|found| !others.contains(found))
            .map(|found| found.line)
    };
    match differs(here, elsewhere).or_else(|| differs(elsewhere, here)) {
        None => Ok(()),
        Some(line) => Err(DockerfileError::at(
            line,
            "the image's name depends on the platform that is built for, so it can't be pinned: name an image that has all platforms, or a stage for each".to_owned(),
        )),
    }
}

/// For tests of what writes Dockerfiles.
#[cfg(test)]
pub(super) mod test_support {
    pub(in crate::prepare) use super::args::quoted_words;

    /// Takes quotes and escapes away, with no variable set.
    pub(in crate::prepare) fn expand_plain(text: &str) -> String {
        super::words::expand(text, '\\', &super::words::Values::new()).unwrap()
    }
}

#[cfg(test)]
mod tests;
