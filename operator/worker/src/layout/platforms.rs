//! Whether a layout has images for the platforms that were asked for, no more and no fewer.

use std::collections::BTreeSet;

use super::LayoutImage;
use crate::platform::Platform;

/// Most images in an index, as the status of a Build has room for.
pub(crate) const MAX_IMAGES: usize = 4;

/// Why a layout's platforms are not taken, as a sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformsError {
    /// More images than one build may have.
    #[error("the index has {0} images; {MAX_IMAGES} are the most that are taken")]
    TooMany(usize),
    /// Something in the index that is no image to be run.
    #[error("the index has an entry for {0}, as attestations have: only images to be run are taken")]
    Unknown(Platform),
    /// Two images of one platform: which one runs would depend on who asks.
    #[error("the index has two images for {0}")]
    Twice(Platform),
    /// Others than were asked for.
    #[error("the image is for {found}, and the Build asks for {wanted}")]
    Others {
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
}

/// Compares; empty `wanted` takes whatever there is.
pub(crate) fn check(images: &[LayoutImage], wanted: &[String]) -> Result<(), PlatformsError> {
    if images.len() > MAX_IMAGES {
        return Err(PlatformsError::TooMany(images.len()));
    }
    let mut found = BTreeSet::new();
    for LayoutImage { platform, .. } in images {
        if platform.is_unknown() {
            return Err(PlatformsError::Unknown(platform.clone()));
        }
        if !found.insert(platform.clone()) {
            return Err(PlatformsError::Twice(platform.clone()));
        }
    }
    // What can't be read is asked for and not found.
    let asked: Option<BTreeSet<_>> = wanted.iter().map(|text| Platform::parse(text)).collect();
    if wanted.is_empty() || asked.as_ref() == Some(&found) {
        return Ok(());
    }
    let list = |platforms: &mut dyn Iterator<Item = String>| platforms.collect::<Vec<_>>().join(", ");
    Err(PlatformsError::Others {
        found: list(&mut found.iter().map(ToString::to_string)),
        wanted: list(&mut wanted.iter().cloned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Digest;

    fn images(platforms: &[&str]) -> Vec<LayoutImage> {
        let image = |platform: &&str| LayoutImage {
            platform: Platform::parse(platform).unwrap(),
            digest: Digest::of(platform.as_bytes()),
        };
        platforms.iter().map(image).collect()
    }

    fn checked(found: &[&str], wanted: &[&str]) -> Result<(), PlatformsError> {
        let wanted: Vec<_> = wanted.iter().map(|text| (*text).to_owned()).collect();
        check(&images(found), &wanted)
    }

    #[test]
    fn exactly_the_platforms_that_were_asked_for_are_taken_in_any_order() {
        assert_eq!(checked(&["linux/amd64"], &[]), Ok(()));
        assert_eq!(
            checked(&["linux/amd64", "linux/arm64"], &["linux/arm64/v8", "linux/amd64"]),
            Ok(())
        );
        for (found, wanted) in [
            (vec!["linux/amd64"], vec!["linux/arm64"]),
            (vec!["linux/amd64"], vec!["linux/amd64", "linux/arm64"]),
            (vec!["linux/amd64", "linux/arm64"], vec!["linux/amd64"]),
            (vec!["linux/arm/v6"], vec!["linux/arm"]),
            (vec!["linux/amd64"], vec!["amd64"]),
        ] {
            let refused = checked(&found, &wanted);
            assert!(
                matches!(refused, Err(PlatformsError::Others { .. })),
                "{found:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn attestations_twins_and_crowds_are_refused_whatever_was_asked_for() {
        assert!(matches!(
            checked(&["linux/amd64", "unknown/unknown"], &[]),
            Err(PlatformsError::Unknown(_))
        ));
        assert!(matches!(
            checked(&["linux/arm", "linux/arm/v7"], &[]),
            Err(PlatformsError::Twice(_))
        ));
        let crowd = ["linux/a", "linux/b", "linux/c", "linux/d", "linux/e"];
        assert_eq!(checked(&crowd, &[]), Err(PlatformsError::TooMany(5)));
    }
}
