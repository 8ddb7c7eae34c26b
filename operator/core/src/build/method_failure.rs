//! What a builder's failure means, which depends on the method: BuildKit's launcher has exit codes of its own, and the
//! image of a custom builder is the tenant's to mend.

use imagefactory_crds::build::{Failure, FailureClass, Method};

use super::failure::BUILDER;
use crate::step::buildkit::{EXIT_DAEMON, EXIT_NO_EMULATION, EXIT_REFUSED};

/// The failure of a builder of that method. What the container says by its exit code is the tenant's word: it decides
/// how the failure is told and how often it is tried again, and nothing else.
#[must_use]
pub fn of_method(failure: Failure, method: Method) -> Failure {
    if failure.container.as_deref() != Some(BUILDER) {
        return failure;
    }
    match method {
        Method::Kaniko => failure,
        Method::Custom => of_custom(failure),
        Method::Buildx | Method::Docker if failure.class == FailureClass::Build => of_buildkit(failure),
        Method::Buildx | Method::Docker => failure,
    }
}

fn of_custom(failure: Failure) -> Failure {
    match failure.reason.as_str() {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => Failure {
            class: FailureClass::Pull,
            next: "Check spec.custom.image and spec.pullSecrets; create a new Build.".to_owned(),
            ..failure
        },
        "CreateContainerError" | "CreateContainerConfigError" => Failure {
            class: FailureClass::Build,
            next: "Check spec.custom.command: the image must have that program; create a new Build.".to_owned(),
            ..failure
        },
        _ => failure,
    }
}

fn of_buildkit(failure: Failure) -> Failure {
    let code = failure.exit_code.and_then(|code| u8::try_from(code).ok());
    match code {
        Some(EXIT_NO_EMULATION) => Failure {
            reason: "PlatformNotEmulated".to_owned(),
            message: "A step is for a platform that the node can't run, and the node has no emulation for it.".to_owned(),
            next: "Leave the platform out, cross-compile on the build platform, or ask a platform administrator for nodes with emulation.".to_owned(),
            ..failure
        },
        Some(EXIT_DAEMON) => Failure {
            class: FailureClass::Infrastructure,
            reason: "BuilderNotStarted".to_owned(),
            message: "BuildKit did not start or did not live; its last lines are in status.failure.log.".to_owned(),
            next: "Tell a platform administrator: the node may lack the seccomp profile or user namespaces.".to_owned(),
            ..failure
        },
        Some(EXIT_REFUSED) => Failure {
            reason: "BuildRefused".to_owned(),
            message: "The builder was given what it can't pass on; its last lines are in status.failure.log.".to_owned(),
            ..failure
        },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::failure::blank;

    fn builder(class: FailureClass, reason: &str, exit_code: Option<i32>) -> Failure {
        Failure {
            container: Some(BUILDER.to_owned()),
            exit_code,
            ..blank(class, reason, "what happened".to_owned(), "what to do")
        }
    }

    #[test]
    fn the_image_of_a_custom_builder_is_the_tenants_to_mend() {
        let stuck = builder(FailureClass::Infrastructure, "ImagePullBackOff", None);
        assert_eq!(of_method(stuck.clone(), Method::Custom).class, FailureClass::Pull);
        assert_eq!(of_method(stuck.clone(), Method::Buildx), stuck);
        let ours = Failure {
            container: Some("push".to_owned()),
            ..stuck
        };
        assert_eq!(of_method(ours.clone(), Method::Custom), ours);
    }

    #[test]
    fn the_launchers_exit_codes_are_told_for_buildkit_alone() {
        let failed = |code| builder(FailureClass::Build, "BuildFailed", Some(code));
        let told = |code, method| of_method(failed(code), method);
        assert_eq!(
            told(i32::from(EXIT_NO_EMULATION), Method::Buildx).reason,
            "PlatformNotEmulated"
        );
        assert_eq!(
            told(i32::from(EXIT_DAEMON), Method::Docker).class,
            FailureClass::Infrastructure
        );
        assert_eq!(
            told(i32::from(EXIT_DAEMON), Method::Kaniko),
            failed(i32::from(EXIT_DAEMON))
        );
        assert_eq!(told(1, Method::Buildx), failed(1));
        let killed = builder(FailureClass::OutOfMemory, "OOMKilled", Some(137));
        assert_eq!(of_method(killed.clone(), Method::Buildx), killed);
    }
}
