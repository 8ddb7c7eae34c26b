//! Stages of a Dockerfile and the images from outside that they begin with or copy from.

use std::ops::Range;

use imagefactory_core::step::Builder;
use imagefactory_crds::build::NamedValue;

use super::DockerfileError;
use super::args::Scope;
use super::lines::{Instruction, Source, Word};
use super::mounts;

/// A place in the file that names an image, or a stage by way of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prepare) struct Use {
    /// Line of the instruction, from 1.
    pub(in crate::prepare) line: usize,
    /// What stands there now.
    pub(in crate::prepare) span: Range<usize>,
    /// What is written before the name when it is replaced, as in `--from=`.
    pub(in crate::prepare) prefix: String,
    /// What is written after it.
    pub(in crate::prepare) suffix: String,
    /// What it names.
    pub(in crate::prepare) names: Named,
}

/// What a FROM or `COPY --from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prepare) enum Named {
    /// An image from outside, arguments filled in.
    Image(String),
    /// `scratch` or a stage before, written with variables or quotes: it is replaced by its plain name, so that the
    /// builder can't read it in another way.
    Inside(String),
}

struct Stage {
    name: Option<String>,
    uses: Vec<Use>,
}

/// What is built, by what, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) build_args: &'a [NamedValue],
    pub(super) target: Option<&'a str>,
    pub(super) builder: Builder,
    /// Architecture that is built for.
    pub(super) architecture: &'a str,
}

/// All that the build of the target uses: everything up to the target stage, since Kaniko builds each stage up to
/// there, needed or not. Without a target, the last stage is built.
pub(super) fn uses(source: &Source, wanted: &Wanted<'_>) -> Result<Vec<Use>, DockerfileError> {
    let Wanted { build_args, target, .. } = *wanted;
    let mut scope = Scope::new(build_args, target, wanted.architecture);
    let mut stages: Vec<Stage> = Vec::new();
    let names = stage_names(source)?;
    for instruction in &source.instructions {
        match (instruction.keyword.as_str(), stages.len()) {
            ("from", index) => {
                let found = base(instruction, source.escape, &scope, &names[..index])?;
                // BuildKit finds its stages by itself, and its policy holds should it find something else.
                let inside = |found: &Use| matches!(found.names, Named::Inside(_));
                let found = found.filter(|found| wanted.builder != Builder::Buildkit || !inside(found));
                stages.push(Stage {
                    name: names.get(index).cloned().flatten(),
                    uses: found.into_iter().collect(),
                });
            }
            ("arg", 0) => scope.declare(instruction, source.escape, build_args),
            (_, 0) => {
                let problem = "only ARG may stand before the first FROM".to_owned();
                return Err(DockerfileError::at(instruction.line, problem));
            }
            (_, index) => {
                let found = images(instruction, index - 1, &names, wanted.builder)?;
                stages
                    .last_mut()
                    .into_iter()
                    .for_each(|stage| stage.uses.extend(found.clone()));
            }
        }
    }
    let last = match target {
        None => stages.len().checked_sub(1).ok_or(DockerfileError::NoStage)?,
        Some(target) => {
            let wanted = |stage: &Stage| stage.name.as_deref() == Some(&*target.to_ascii_lowercase());
            stages
                .iter()
                .position(wanted)
                .ok_or_else(|| DockerfileError::TargetNotFound {
                    target: target.to_owned(),
                })?
        }
    };
    Ok(stages.into_iter().take(last + 1).flat_map(|stage| stage.uses).collect())
}

/// What an instruction of a stage takes from images.
fn images(
    instruction: &Instruction,
    stage: usize,
    names: &[Option<String>],
    builder: Builder,
) -> Result<Vec<Use>, DockerfileError> {
    match (instruction.keyword.as_str(), builder) {
        ("copy", _) => Ok(copy(instruction, stage, names)?.into_iter().collect()),
        ("run", Builder::Buildkit) => mounts::images(instruction, stage, names),
        ("run", _) => no_mounts(instruction, stage, names).map(|()| Vec::new()),
        ("add", Builder::Buildkit) => no_remote(instruction).map(|()| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// Names of all stages in lower case.
fn stage_names(source: &Source) -> Result<Vec<Option<String>>, DockerfileError> {
    let mut names: Vec<Option<String>> = Vec::new();
    for from in source
        .instructions
        .iter()
        .filter(|instruction| instruction.keyword == "from")
    {
        let refuse = |problem: String| Err(DockerfileError::at(from.line, problem));
        let name = match from.arguments.split().as_slice() {
            [_] => None,
            [_, word, name] if word.text.eq_ignore_ascii_case("as") => Some(name.text.to_ascii_lowercase()),
            _ => return refuse("FROM takes an image, and perhaps AS and a name".to_owned()),
        };
        if let Some(name) = &name {
            let mut letters = name.bytes();
            let begins = letters.next().is_some_and(|first| first.is_ascii_lowercase());
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
            if !begins || !letters.all(plain) {
                return refuse(
                    "a stage's name begins with a letter and has letters, digits, '-', '_' and '.'".to_owned(),
                );
            }
            if names.iter().flatten().any(|known| known == name) {
                return refuse(format!("two stages have the name {name:?}"));
            }
        }
        names.push(name);
    }
    Ok(names)
}

/// What a FROM names; none where nothing has to be changed.
fn base(
    from: &Instruction,
    escape: char,
    scope: &Scope,
    before: &[Option<String>],
) -> Result<Option<Use>, DockerfileError> {
    let words = from.arguments.split();
    let Some(word) = words.first() else { return Ok(None) };
    let filled = scope.fill(&word.text, escape, from.line)?;
    if filled.is_empty() {
        return Err(DockerfileError::at(
            from.line,
            format!("{:?} names no image: its variables have no value", word.text),
        ));
    }
    let lower = filled.to_ascii_lowercase();
    let inside = filled == "scratch" || before.iter().flatten().any(|name| *name == lower);
    if inside && filled == word.text {
        return Ok(None);
    }
    let names = if inside {
        Named::Inside(filled)
    } else {
        Named::Image(filled)
    };
    Ok(Some(Use {
        line: from.line,
        span: word.span(),
        prefix: String::new(),
        suffix: String::new(),
        names,
    }))
}

/// What a COPY takes files from, if that is an image.
fn copy(copy: &Instruction, stage: usize, names: &[Option<String>]) -> Result<Option<Use>, DockerfileError> {
    let refuse = |problem: String| Err(DockerfileError::at(copy.line, problem));
    let mut from = copy
        .flags
        .iter()
        .filter_map(|flag| Some((flag, flag.text.strip_prefix("--from=")?)));
    let (flag, value): (&Word, &str) = match (from.next(), from.next()) {
        (None, _) => return Ok(None),
        (Some((_, "")), None) => return Ok(None),
        (Some(only), None) => only,
        (Some(_), Some(_)) => return refuse("COPY has two --from".to_owned()),
    };
    match place_of(value, stage, names) {
        Place::Before => Ok(None),
        Place::NotBefore => refuse(format!(
            "--from={} names a stage that is not before this one",
            cut(value)
        )),
        Place::Outside => Ok(Some(Use {
            line: copy.line,
            span: flag.span(),
            prefix: "--from=".to_owned(),
            suffix: String::new(),
            names: Named::Image(value.to_owned()),
        })),
    }
}

pub(super) enum Place {
    Before,
    NotBefore,
    Outside,
}

pub(super) fn place_of(value: &str, stage: usize, names: &[Option<String>]) -> Place {
    let number = value.strip_prefix(['+', '-']).unwrap_or(value);
    let index = if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is no index of a stage is no image either: the builders would not agree on it.
        value.parse::<usize>().unwrap_or(usize::MAX)
    } else {
        match names
            .iter()
            .position(|name| name.as_deref() == Some(&*value.to_ascii_lowercase()))
        {
            Some(index) => index,
            None => return Place::Outside,
        }
    };
    if index < stage { Place::Before } else { Place::NotBefore }
}

/// `RUN --mount` may name an image as well. Kaniko does not mount anything, so such a build can't be right.
fn no_mounts(run: &Instruction, stage: usize, names: &[Option<String>]) -> Result<(), DockerfileError> {
    for mount in run.flags.iter().filter_map(|flag| flag.text.strip_prefix("--mount=")) {
        for (_, value) in mounts::sources(mount) {
            if !matches!(place_of(value, stage, names), Place::Before) {
                let problem = format!(
                    "RUN --mount from {:?}: use COPY --from for files of an image",
                    cut(value)
                );
                return Err(DockerfileError::at(run.line, problem));
            }
        }
    }
    Ok(())
}

/// BuildKit would fetch these with nothing said of their bytes: its policy denies them, and here it is told why.
fn no_remote(add: &Instruction) -> Result<(), DockerfileError> {
    let begins = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    let words = add
        .arguments
        .text
        .split(|letter: char| letter.is_whitespace() || ",[]\"'".contains(letter));
    for word in words {
        let lower = word.to_ascii_lowercase();
        if begins.iter().any(|begin| lower.starts_with(begin)) {
            let problem = format!(
                "ADD from {:?} is not allowed, since its bytes are not pinned: put the file into the source, or fetch it in a RUN step",
                cut(word)
            );
            return Err(DockerfileError::at(add.line, problem));
        }
    }
    Ok(())
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}
