//! The SBOM: CycloneDX JSON, versions 1.4 to 1.7, as far as policies and counts need it.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::ReportError;
use super::bounded::{self, List};
use super::report::{is_archive, is_maven};

/// Versions of CycloneDX that are read.
const VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];

/// What is in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sbom {
    /// Version of CycloneDX, as in `1.6`.
    pub spec_version: String,
    /// Every component, with those that lie in others. What the document is about is not among them.
    pub components: Vec<Component>,
    /// Digests of the image that the document is about, where it says so.
    pub image_digests: Vec<String>,
}

/// A part of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// Name without its group.
    pub name: String,
    /// Group or scope, as in `org.apache.logging.log4j`.
    pub group: Option<String>,
    /// Version.
    pub version: String,
    /// Package URL.
    pub purl: Option<String>,
    /// Licences: identifiers, names or expressions.
    pub licences: Vec<String>,
    /// Whether it is a package and not a file, a lock file or the operating system itself.
    pub is_package: bool,
    /// Whether it is or comes from a Java archive.
    pub is_java: bool,
}

impl Sbom {
    /// How many packages it lists.
    #[must_use]
    pub fn packages(&self) -> usize {
        self.components.iter().filter(|component| component.is_package).count()
    }

    /// Whether it lists a Java archive.
    #[must_use]
    pub fn has_jars(&self) -> bool {
        self.components.iter().any(|component| component.is_java)
    }
}

/// Reads CycloneDX JSON.
///
/// # Errors
/// When it is anything else: see [`super::report::parse`].
pub fn parse(reader: impl Read) -> Result<Sbom, ReportError> {
    let document: Document = bounded::read(reader)?;
    if document.bom_format != "CycloneDX" {
        return Err(ReportError::OtherKind);
    }
    if !VERSIONS.contains(&document.spec_version.as_str()) {
        return Err(ReportError::UnsupportedVersion);
    }
    let subject = document.metadata.and_then(|metadata| metadata.component);
    let (image_digests, inner) = subject
        .map(|subject| (subject.image_digests(), subject.components.0))
        .unwrap_or_default();
    let mut components = document.components.0;
    components.extend(inner);
    Ok(Sbom {
        spec_version: document.spec_version,
        components,
        image_digests,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: String,
    spec_version: String,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Flat,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Wire>,
}

/// A component as it stands in the file.
#[derive(Deserialize)]
struct Wire {
    name: String,
    r#type: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    version: String,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    licenses: List<Choice>,
    #[serde(default)]
    properties: List<Property>,
    #[serde(default)]
    components: Flat,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    license: Option<Licence>,
    #[serde(default)]
    expression: Option<String>,
}

#[derive(Deserialize)]
struct Licence {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

/// Components and what lies in them, side by side. The parser bounds how deep they lie.
#[derive(Default)]
struct Flat(Vec<Component>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Components;
        impl<'de> Visitor<'de> for Components {
            type Value = Flat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of components")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut components = Vec::new();
                while let Some(mut wire) = entries.next_element::<Wire>()? {
                    for inner in std::mem::take(&mut wire.components.0) {
                        bounded::add(&mut components, inner)?;
                    }
                    bounded::add(&mut components, wire.into_component())?;
                }
                Ok(Flat(components))
            }
        }
        deserializer.deserialize_seq(Components)
    }
}

impl Wire {
    fn into_component(self) -> Component {
        let is_java = is_archive(&self.name)
            || self.purl.as_deref().is_some_and(is_maven)
            || self.properties.0.iter().any(|property| match property.name.as_str() {
                "aquasecurity:trivy:PkgType" | "aquasecurity:trivy:Type" => property.value == "jar",
                "aquasecurity:trivy:FilePath" => is_archive(&property.value),
                _ => false,
            });
        Component {
            is_package: matches!(self.r#type.as_str(), "library" | "framework") || self.purl.is_some(),
            is_java,
            licences: self.licenses.0.into_iter().flat_map(Choice::into_texts).collect(),
            name: self.name,
            group: self.group.filter(|group| !group.is_empty()),
            version: self.version,
            purl: self.purl,
        }
    }

    fn image_digests(&self) -> Vec<String> {
        let names = self
            .properties
            .0
            .iter()
            .filter(|property| property.name == "aquasecurity:trivy:RepoDigest");
        names
            .filter_map(|property| property.value.split_once('@'))
            .map(|(_, digest)| digest.to_owned())
            .collect()
    }
}

impl Choice {
    fn into_texts(self) -> impl Iterator<Item = String> {
        let licence = self
            .license
            .map(|licence| [licence.id, licence.name])
            .unwrap_or_default();
        licence.into_iter().chain([self.expression]).flatten()
    }
}

#[cfg(test)]
mod tests;
