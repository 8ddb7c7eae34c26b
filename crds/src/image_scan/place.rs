//! Which images a tenant may have scanned: those that the platform's credentials may be used for (trust.md, Credentials).
//! The webhook asks here at the door, and the operator again before a job exists.

use serde::{Deserialize, Serialize};

use super::ImageScanSpec;
use crate::Tenant;
use crate::admission::entitlement::Withheld;
use crate::common::RepositoryPrefix;
use crate::denial::{Cause, Code};
use crate::reference::{ImageName, lies_under};

/// Most prefixes that a message names.
const MAX_LISTED: usize = 4;
/// Most characters of an image in a message.
const MAX_IMAGE: usize = 200;

/// The platform's registries, beneath which each tenant has a part of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformPrefixes {
    /// Where images wait for their verdict.
    pub staging: String,
    /// Where images are published.
    pub output: String,
}

/// With which of the platform's credentials an image is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The tenant's part of staging.
    Staging,
    /// The tenant's part of the output.
    Output,
    /// A prefix that the Tenant lists.
    Listed,
}

/// An image that may be scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name, taken apart.
    pub image: ImageName,
    /// Where it lies.
    pub place: Place,
    /// The prefix that the credential is bound to.
    pub prefix: String,
}

/// Where the image lies, if the tenant may have it scanned. A tag or a digest has to be named: what `latest` meant would
/// be nobody's word.
///
/// # Errors
/// What is wrong with it, and which prefixes there are.
pub fn scannable(spec: &ImageScanSpec, tenant: &Tenant, platform: &PlatformPrefixes) -> Result<Placed, Withheld> {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let image = ImageName::parse(&spec.image)
        .filter(|image| image.tag.is_some() || image.digest.is_some())
        .ok_or_else(|| incomplete(&spec.image))?;
    let own = |prefix: &str| format!("{}/{name}", prefix.trim_end_matches('/'));
    let (staging, output) = (own(&platform.staging), own(&platform.output));
    let placed = |place, prefix| Placed {
        image: image.clone(),
        place,
        prefix,
    };
    if lies_under(&image.repository, &staging) {
        return Ok(placed(Place::Staging, staging));
    }
    if lies_under(&image.repository, &output) {
        return Ok(placed(Place::Output, output));
    }
    // Whatever the Tenant lists, the platform's own prefixes hold a part for each tenant, and this is another's.
    let is_others = [&platform.staging, &platform.output]
        .iter()
        .any(|prefix| lies_under(&image.repository, prefix));
    let listed = tenant.spec.registries.iter();
    let under = listed
        .map(RepositoryPrefix::as_str)
        .find(|prefix| lies_under(&image.repository, prefix));
    match under.filter(|_| !is_others) {
        Some(prefix) => Ok(placed(Place::Listed, prefix.trim_end_matches('/').to_owned())),
        None => Err(outside(spec, tenant, &[staging, output])),
    }
}

fn incomplete(image: &str) -> Withheld {
    Withheld {
        code: Code::InvalidObject,
        message: format!(
            "spec.image {} does not name its registry's host and a tag or a digest.",
            cut(image)
        ),
        remediation: "Name them, as in registry.example.com/team/app@sha256:<digest>.",
        causes: vec![Cause::field("spec.image", "names no host, or neither tag nor digest")],
        capability: None,
    }
}

fn outside(spec: &ImageScanSpec, tenant: &Tenant, own: &[String]) -> Withheld {
    let listed = tenant.spec.registries.iter().map(|prefix| prefix.0.as_str());
    let allowed: Vec<&str> = own.iter().map(String::as_str).chain(listed).collect();
    let more = allowed.len().saturating_sub(MAX_LISTED);
    let mut shown = allowed
        .iter()
        .take(MAX_LISTED)
        .map(|prefix| cut(prefix))
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        shown = format!("{shown} and {more} more");
    }
    Withheld {
        code: Code::InvalidObject,
        message: format!(
            "The tenant may not have {} scanned. It may have scanned what lies under {shown}.",
            cut(&spec.image)
        ),
        remediation: "Name an image under one of these prefixes, or ask a platform administrator to list its registry in the Tenant.",
        causes: vec![Cause::field("spec.image", "lies outside the tenant's registries")],
        capability: None,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_IMAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantSpec;

    fn platform() -> PlatformPrefixes {
        PlatformPrefixes {
            staging: "registry.example.com/staging".to_owned(),
            output: "registry.example.com/images/".to_owned(),
        }
    }

    fn ask(image: &str, registries: &[&str]) -> Result<Placed, Withheld> {
        let spec = ImageScanSpec {
            image: image.into(),
            ..ImageScanSpec::default()
        };
        let tenant = TenantSpec {
            registries: registries.iter().map(|prefix| (*prefix).into()).collect(),
            ..TenantSpec::default()
        };
        scannable(&spec, &Tenant::new("acme", tenant), &platform())
    }

    #[test]
    fn a_tenant_s_own_images_and_those_it_lists_are_read_with_the_credential_of_their_place() {
        for (image, place, prefix) in [
            (
                "registry.example.com/staging/acme/builds/web/u:1",
                Place::Staging,
                "registry.example.com/staging/acme",
            ),
            (
                "registry.example.com/images/acme/web:1",
                Place::Output,
                "registry.example.com/images/acme",
            ),
            ("quay.io/acme/web:1", Place::Listed, "quay.io/acme"),
        ] {
            let placed = ask(image, &["quay.io/acme/"]).unwrap();
            assert_eq!((placed.place, placed.prefix.as_str()), (place, prefix), "{image}");
        }
    }

    #[test]
    fn what_is_another_s_or_nobody_s_is_refused_whatever_the_tenant_lists() {
        for image in [
            "registry.example.com/images/other/web:1",
            "registry.example.com/images/acme-two/web:1",
            "registry.example.com/staging/other/builds/web/u:1",
            "registry.example.com/images:1",
            "quay.io/acme-two/web:1",
            "quay.io.evil.com/acme/web:1",
        ] {
            let listed = [
                "quay.io/acme",
                "registry.example.com/images",
                "registry.example.com/staging/other",
            ];
            let refused = ask(image, &listed).unwrap_err();
            assert_eq!(refused.code, Code::InvalidObject, "{image}");
            assert!(
                refused.message.contains("registry.example.com/images/acme"),
                "{}",
                refused.message
            );
        }
    }

    #[test]
    fn an_image_names_its_host_and_a_tag_or_a_digest() {
        for image in ["web:1", "acme/web:1", "quay.io/acme/web", "quay.io"] {
            assert!(
                ask(image, &["quay.io/acme", "docker.io/library"])
                    .unwrap_err()
                    .message
                    .contains("does not name")
            );
        }
        let digest = format!("quay.io/acme/web@sha256:{}", "a".repeat(64));
        assert!(ask(&digest, &["quay.io/acme"]).is_ok());
    }
}
