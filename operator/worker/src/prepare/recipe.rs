//! A recipe as a Dockerfile. Nothing that a tenant wrote becomes part of a shell's text or of the Dockerfile's
//! own grammar: packages are arguments of a constant script, and everything is written as JSON or in quotes.

use imagefactory_crds::build::Recipe;
use serde_json::json;

/// Why a recipe can't be written as a Dockerfile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecipeError {
    /// A text with characters that the field may not have.
    #[error("{field} has characters that are not allowed: {value:?}")]
    Characters {
        /// The field of the recipe.
        field: &'static str,
        /// The text, cut.
        value: String,
    },
}

/// Installs its arguments with the package manager that the image has. Its exit code when there is none is 69.
const INSTALL: &str = r#"set -eu
if command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install -y --no-install-recommends "$@"
  rm -rf /var/lib/apt/lists/*
elif command -v apk >/dev/null 2>&1; then
  apk add --no-cache "$@"
elif command -v dnf >/dev/null 2>&1; then
  dnf install -y --setopt=install_weak_deps=False "$@"
  dnf clean all
elif command -v microdnf >/dev/null 2>&1; then
  microdnf install -y --setopt=install_weak_deps=0 "$@"
  microdnf clean all
else
  echo "The base image has none of apt-get, apk, dnf and microdnf, so the packages can't be installed. Choose a base image with one of them, or leave the packages out." >&2
  exit 69
fi"#;

/// The Dockerfile of a recipe: base image, environment, packages, commands, entry point.
pub(super) fn dockerfile(recipe: &Recipe) -> Result<String, RecipeError> {
    let mut lines = vec!["# Made by Image Factory from a recipe.".to_owned()];
    lines.push(format!(
        "FROM {}",
        checked("baseImage", &recipe.base_image, is_reference)?
    ));
    for variable in &recipe.env {
        let name = checked("env", &variable.name, is_variable)?;
        lines.push(format!(
            "ENV {name}={}",
            quoted(checked("env", &variable.value, is_line)?)
        ));
    }
    if !recipe.packages.is_empty() {
        let mut arguments = vec!["/bin/sh", "-c", INSTALL, "recipe"];
        for package in &recipe.packages {
            arguments.push(checked("packages", package, is_package)?);
        }
        lines.push(format!("RUN {}", json!(arguments)));
    }
    for command in &recipe.commands {
        lines.push(format!(
            "RUN {}",
            json!(["/bin/sh", "-ec", checked("commands", command, is_text)?])
        ));
    }
    if !recipe.entrypoint.is_empty() {
        let words: Result<Vec<_>, _> = recipe
            .entrypoint
            .iter()
            .map(|word| checked("entrypoint", word, is_text))
            .collect();
        lines.push(format!("ENTRYPOINT {}", json!(words?)));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// A value in double quotes, as ENV reads it back: without variables and escapes of its own.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for letter in value.chars() {
        if matches!(letter, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    text
}

/// The schema has patterns for all of these. They are looked at again, since what they keep out would be grammar here.
fn checked<'a>(field: &'static str, value: &'a str, allowed: fn(&str) -> bool) -> Result<&'a str, RecipeError> {
    if allowed(value) {
        return Ok(value);
    }
    Err(RecipeError::Characters {
        field,
        value: value.chars().take(64).collect(),
    })
}

fn is_reference(text: &str) -> bool {
    begins_plain(text)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte))
}

fn is_package(text: &str) -> bool {
    begins_plain(text)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+._:~=-".contains(&byte))
}

fn is_variable(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_line(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control())
}

fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

fn begins_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
