//! `imagefactory-buildkit`: runs the one build that its environment names. `inner` is how it calls itself;
//! `install-seccomp <from> <to>` keeps a node's seccomp profile current.

use std::process::ExitCode;

use imagefactory_buildkit::{inner, outer, say, seccomp};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let code = match arguments.as_slice() {
        [] => outer::run(),
        ["inner"] => inner::run(),
        ["install-seccomp", from, to] => seccomp::run(from.as_ref(), to.as_ref()),
        _ => {
            say("usage: imagefactory-buildkit [install-seccomp <file> <file>]");
            imagefactory_core::step::buildkit::EXIT_REFUSED
        }
    };
    ExitCode::from(code)
}
