//! What may be passed on to BuildKit. Most values are the right side of a `key=value` that nothing splits further;
//! those that end in a comma-separated list are held to an alphabet that has no comma, quote or blank.

use imagefactory_core::step::buildkit::BuildkitStep;

/// Why an instruction was refused. Values are not repeated: they may be secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A path that goes into a list, or is not absolute.
    #[error("{0} is not a plain absolute path")]
    Path(&'static str),
    /// A name that would be split.
    #[error("{0} is not a plain name")]
    Name(&'static str),
    /// A control character where one line is expected.
    #[error("{0} holds a control character")]
    Control(&'static str),
    /// The same name twice: which one counts would be BuildKit's choice.
    #[error("{0} is named twice")]
    Twice(&'static str),
}

/// Looks through all of a step.
///
/// # Errors
/// The first thing that can't be passed on safely.
pub fn check(step: &BuildkitStep) -> Result<(), Refusal> {
    let paths = [
        ("dockerfile", Some(&step.dockerfile)),
        ("layout", Some(&step.layout)),
        ("state", Some(&step.state)),
        ("cacheImport", step.cache_import.as_ref()),
        ("cacheExport", step.cache_export.as_ref()),
        ("sourcePolicy", step.source_policy.as_ref()),
    ];
    for (field, path) in paths {
        ensure(path.is_none_or(|path| is_plain_path(path)), Refusal::Path(field))?;
    }
    // The one path that a tenant has a part in: it is never part of a list.
    ensure(
        step.context.starts_with('/') && !step.context.split('/').any(|part| part == ".."),
        Refusal::Path("context"),
    )?;
    one_line("context", &step.context)?;
    one_line("target", step.target.as_deref().unwrap_or_default())?;
    check_values(step)?;
    check_secrets(step)?;
    ensure(
        step.platforms.iter().all(|platform| is_platform(platform)),
        Refusal::Name("platforms"),
    )?;
    step.proxy
        .variables()
        .try_for_each(|(_, value)| one_line("proxy", value))
}

fn check_values(step: &BuildkitStep) -> Result<(), Refusal> {
    for argument in &step.build_args {
        ensure(is_plain_name(argument.name.as_str()), Refusal::Name("buildArgs"))?;
        one_line("buildArgs", argument.value.as_str())?;
    }
    for label in &step.labels {
        let name = label.name.as_str();
        ensure(!name.is_empty() && !name.contains(['=', ' ']), Refusal::Name("labels"))?;
        one_line("labels", name)?;
        one_line("labels", label.value.as_str())?;
    }
    unique(
        "buildArgs",
        step.build_args.iter().map(|argument| argument.name.as_str()),
    )?;
    unique("labels", step.labels.iter().map(|label| label.name.as_str()))?;
    unique("platforms", step.platforms.iter().map(String::as_str))
}

fn check_secrets(step: &BuildkitStep) -> Result<(), Refusal> {
    for secret in &step.secrets {
        ensure(is_plain_name(&secret.id), Refusal::Name("secrets"))?;
        ensure(is_plain_path(&secret.path), Refusal::Path("secrets"))?;
    }
    unique("secrets", step.secrets.iter().map(|secret| secret.id.as_str()))
}

fn ensure(holds: bool, refusal: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(refusal) }
}

fn one_line(field: &'static str, value: &str) -> Result<(), Refusal> {
    ensure(!value.chars().any(char::is_control), Refusal::Control(field))
}

fn unique<'a>(field: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        ensure(seen.insert(name), Refusal::Twice(field))?;
    }
    Ok(())
}

fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 512
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        && !path.split('/').any(|part| part == "..")
}

fn is_plain_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// `os/architecture` or `os/architecture/variant`.
fn is_platform(platform: &str) -> bool {
    let parts: Vec<&str> = platform.split('/').collect();
    (2..=3).contains(&parts.len())
        && platform.len() <= 64
        && parts.iter().all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
