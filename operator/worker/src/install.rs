//! `install`: puts this very program where a container of another image can run it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use imagefactory_core::step::{StepFailure, paths};
use imagefactory_crds::build::FailureClass;

use crate::failure::failure;
use crate::places::Places;

/// Name of the program in [`paths::TOOLS`].
pub const PROGRAM: &str = paths::LAUNCHER;

/// Copies the running program. A copy is whole or not there.
///
/// # Errors
/// It can't be read, or the volume not be written.
pub fn run(places: &Places) -> Result<(), StepFailure> {
    into(&places.path(paths::TOOLS))
}

/// The same into what is prepared for the builder, to start it.
///
/// # Errors
/// As [`run`].
pub fn launcher(places: &Places) -> Result<(), StepFailure> {
    into(&places.path(paths::PREPARED))
}

fn into(folder: &Path) -> Result<(), StepFailure> {
    copy(folder).map_err(|error| {
        failure(
            FailureClass::Infrastructure,
            "InstallFailed",
            &format!("our program can't be copied for the container that needs it: {error}"),
            "Try again; if it lasts, tell your administrator.",
        )
    })
}

fn copy(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (part, whole) = (folder.join(format!("{PROGRAM}.part")), folder.join(PROGRAM));
    let bytes = fs::copy("/proc/self/exe", &part)?;
    fs::set_permissions(&part, Permissions::from_mode(0o755))?;
    fs::rename(&part, &whole)?;
    tracing::info!(path = %whole.display(), bytes, "program is installed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_program_is_there_and_may_be_run_again_and_again() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        for _ in 0..2 {
            run(&places).unwrap();
        }
        let copy = root.path().join("imagefactory/worker");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(
            fs::read(copy).unwrap(),
            fs::read(std::env::current_exe().unwrap()).unwrap()
        );
        assert_eq!(fs::read_dir(root.path().join("imagefactory")).unwrap().count(), 1);
    }

    #[test]
    fn a_volume_that_can_not_be_written_is_the_factory_s_failure() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("imagefactory"), "").unwrap();
        let told = run(&Places::below(root.path())).unwrap_err();
        assert_eq!(
            (told.class, told.reason.as_str()),
            (FailureClass::Infrastructure, "InstallFailed")
        );
    }
}
