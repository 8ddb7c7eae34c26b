//! The kinds of work that take a slot, make jobs and leave logs: Builds and ImageScans.

use std::collections::BTreeMap;

use imagefactory_crds::names::{LABEL_BUILD, LABEL_IMAGE_SCAN};

/// What something is done for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A Build.
    #[default]
    Build,
    /// An ImageScan.
    Scan,
}

impl Work {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Build => "Build",
            Self::Scan => "ImageScan",
        }
    }

    /// Its kind, with the article.
    #[must_use]
    pub fn a_kind(self) -> &'static str {
        match self {
            Self::Build => "a Build",
            Self::Scan => "an ImageScan",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Scan => "scan",
        }
    }
}

/// For what an object was made, and the name of that, as its labels say. Nobody but the factory writes them.
#[must_use]
pub fn made_for(labels: &BTreeMap<String, String>) -> Option<(Work, &String)> {
    let build = labels.get(LABEL_BUILD).map(|name| (Work::Build, name));
    build.or_else(|| labels.get(LABEL_IMAGE_SCAN).map(|name| (Work::Scan, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_s_objects_are_told_from_a_scan_s_of_the_same_name() {
        let labels = |key: &str| BTreeMap::from([(key.to_owned(), "web".to_owned())]);
        assert_eq!(made_for(&labels(LABEL_BUILD)), Some((Work::Build, &"web".to_owned())));
        assert_eq!(
            made_for(&labels(LABEL_IMAGE_SCAN)),
            Some((Work::Scan, &"web".to_owned()))
        );
        assert_eq!(made_for(&labels("app")), None);
    }
}
