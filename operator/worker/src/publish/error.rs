//! Why an image was not published, and how that is told.

use imagefactory_core::step::StepFailure;
use imagefactory_crds::build::FailureClass;

use crate::failure::{failure, registry_failure};
use crate::manifest::DocumentError;
use crate::registry::{Digest, NameError, RegistryError, Repository, chain};

/// How such tags begin: the referrers tags of the specification, and those under which cosign keeps signatures.
pub(super) const EVIDENCE_TAG: &str = "sha256-";

/// Why an image was not published. Where it is an error, the tag was not set, or not read back.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The step itself is not what it must be.
    #[error("{problem}: {name}")]
    Step {
        /// What is wrong.
        problem: &'static str,
        /// With which name.
        name: String,
    },
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The output lies where the credential may not be used. No request was sent.
    #[error("{repository} lies outside the prefixes that may be published to")]
    OutsidePrefix {
        /// The output repository.
        repository: Repository,
    },
    /// The tag is one under which registries list what refers to an image.
    #[error(
        "the tag {tag} is not set: tags that begin with {EVIDENCE_TAG} are where registries keep what is known of an image"
    )]
    EvidenceTag {
        /// The output's tag.
        tag: String,
    },
    /// A registry failed.
    #[error("the image could not be published")]
    Registry(#[from] RegistryError),
    /// The staged image is not one that may be moved.
    #[error("the staged image {digest} can't be published")]
    Image {
        /// Its digest, or that of the part.
        digest: Digest,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// SBOM or report are not with the staged image.
    #[error("the evidence {digest} is not with the staged image: {detail}")]
    EvidenceMissing {
        /// Digest of the referrer.
        digest: Digest,
        /// What is there instead.
        detail: String,
    },
    /// The tag names something else after it was set.
    #[error("{image} names {found} after it was set")]
    ReadBack {
        /// The output's name.
        image: String,
        /// What the tag names.
        found: String,
    },
}

impl From<PublishError> for StepFailure {
    fn from(error: PublishError) -> Self {
        let told = chain(&error);
        let publish = |reason: &str, next: &str| failure(FailureClass::Publish, reason, &told, next);
        match &error {
            PublishError::Step { .. } => failure(
                FailureClass::Infrastructure,
                "InvalidStep",
                &told,
                "Report this as a defect of Image Factory.",
            ),
            PublishError::Name(_) => publish("InvalidImageName", "Correct the output's image name."),
            PublishError::OutsidePrefix { .. } => publish(
                "RepositoryNotAllowed",
                "Choose an output that the tenant is entitled to, or ask your administrator to list it in the Tenant's registries.",
            ),
            PublishError::EvidenceTag { .. } => publish(
                "OutputNotAllowed",
                "Choose another tag, or another name, in a new Build.",
            ),
            PublishError::Registry(source) => registry_failure(FailureClass::Publish, source),
            PublishError::Image { .. } => publish("InvalidImage", "Build again."),
            PublishError::EvidenceMissing { .. } => publish(
                "EvidenceMissing",
                "Build again: the image is published only together with its SBOM and report.",
            ),
            PublishError::ReadBack { .. } => publish(
                "ReadBackFailed",
                "Something else writes to this tag: choose another, or stop what writes there, then build again.",
            ),
        }
    }
}
