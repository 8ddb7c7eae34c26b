//! Directives are the comments `# name=value` that a Dockerfile begins with. One of them changes how all else is read.

/// What was seen of them.
#[derive(Default)]
pub(super) struct Directives {
    seen: Vec<String>,
    over: bool,
}

impl Directives {
    /// The escape character, where the line sets it.
    pub(super) fn read(&mut self, line: &str) -> Result<Option<char>, String> {
        let directive = if self.over { None } else { directive(line) };
        let Some((name, value)) = directive else {
            self.over = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(format!("the directive {name} stands twice"));
        }
        self.seen.push(name.clone());
        match (name.as_str(), value) {
            ("escape", "\\") => Ok(Some('\\')),
            ("escape", "`") => Ok(Some('`')),
            ("escape", _) => Err("the escape directive names neither a backslash nor a backtick".to_owned()),
            _ => Ok(None),
        }
    }
}

fn directive(line: &str) -> Option<(String, &str)> {
    let space = ['\t', '\n', '\u{c}', '\r', ' '];
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim_matches(space).to_ascii_lowercase(), value.trim_matches(space));
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty()).then_some((name, value))
}
