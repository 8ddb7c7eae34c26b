//! What a rule can ask for, as it is known where the verdict is made.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use imagefactory_crds::build::{BaseImage, SeverityCounts};

use super::error::EvalError;
use super::schema::VARIABLES;
use super::value::{Object, Value};
use crate::policy::Evidence;
use crate::reference::repository_of;
use crate::scan::{Finding, Report, Sbom, counts};

/// A package of report and SBOM, listed once.
#[derive(Debug)]
pub struct Listed {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) purl: String,
    pub(super) licences: BTreeSet<String>,
}

/// An image that the build used.
#[derive(Debug)]
pub struct BaseFacts {
    pub(super) reference: String,
    pub(super) repository: String,
    pub(super) digest: String,
}

/// What is known about image and evidence beside their lists.
#[derive(Debug)]
pub struct About<'a> {
    pub(super) evidence: Evidence<'a>,
}

/// What had to be made of the evidence. [`Facts`] borrows from it.
#[derive(Debug)]
pub struct Inventory<'a> {
    about: About<'a>,
    counts: SeverityCounts,
    findings: Vec<&'a Finding>,
    packages: Vec<Listed>,
    /// An error where they are not known.
    bases: Result<Vec<BaseFacts>, String>,
}

/// The variables of rules.
#[derive(Debug)]
pub struct Facts<'a> {
    inventory: &'a Inventory<'a>,
    findings: Rc<Vec<Value<'a>>>,
    packages: Rc<Vec<Value<'a>>>,
}

impl<'a> Inventory<'a> {
    /// Sorts the evidence, so that its order says nothing.
    #[must_use]
    pub fn of(evidence: Evidence<'a>) -> Self {
        let mut findings: Vec<&Finding> = evidence.report.iter().flat_map(|report| &report.findings).collect();
        findings.sort_by_key(|finding| {
            (
                Reverse((finding.severity, finding.effective_score())),
                (&finding.id, &finding.package, &finding.version),
                (&finding.purl, &finding.fixed_version, &*finding.kind),
            )
        });
        let bases = match evidence.build {
            Some(build) => build
                .known_bases()
                .map(|bases| bases.iter().map(BaseFacts::of).collect()),
            None => Err("how the image was made is not known".to_owned()),
        };
        Self {
            counts: evidence.report.map(counts).unwrap_or_default(),
            findings,
            packages: packages(evidence.report, evidence.sbom),
            bases,
            about: About { evidence },
        }
    }

    /// The variables.
    #[must_use]
    pub fn facts(&'a self) -> Facts<'a> {
        let findings = self
            .findings
            .iter()
            .map(|finding| Value::Object(Object::Finding(finding)));
        let packages = self
            .packages
            .iter()
            .map(|package| Value::Object(Object::Package(package)));
        Facts {
            findings: Rc::new(findings.collect()),
            packages: Rc::new(packages.collect()),
            inventory: self,
        }
    }
}

impl<'a> Facts<'a> {
    /// A variable by its place in the table.
    pub(super) fn variable(&self, place: usize) -> Result<Value<'a>, EvalError> {
        let name = VARIABLES.get(place).map(|variable| variable.name);
        let inventory = self.inventory;
        Ok(match name {
            Some("image") => Value::Object(Object::Image(&inventory.about)),
            Some("evidence") => Value::Object(Object::Evidence(&inventory.about)),
            Some("counts") => Value::Object(Object::Counts(&inventory.counts)),
            Some("findings") => Value::List(Rc::clone(&self.findings)),
            Some("packages") => Value::List(Rc::clone(&self.packages)),
            Some("build") => Value::Object(Object::Build(inventory)),
            _ => return Err(EvalError::Defect),
        })
    }
}

impl Inventory<'_> {
    /// How the image was made.
    pub(super) fn build(&self) -> Result<&crate::step::BuildFacts, EvalError> {
        let unknown = || EvalError::NotKnown("how the image was made is not known".to_owned());
        self.about.evidence.build.ok_or_else(unknown)
    }

    pub(super) fn bases(&self) -> Result<&[BaseFacts], EvalError> {
        self.bases.as_deref().map_err(|why| EvalError::NotKnown(why.clone()))
    }
}

impl BaseFacts {
    fn of(base: &BaseImage) -> Self {
        Self {
            reference: base.reference.clone(),
            repository: repository_of(&base.reference),
            digest: base.digest.0.clone(),
        }
    }
}

/// Report and SBOM list the same packages, and each may lack a licence: a package is listed once, by its package URL
/// or else by name and version, with the licences of both. Of several names the report's and then the least stays.
fn packages(report: Option<&Report>, sbom: Option<&Sbom>) -> Vec<Listed> {
    let reported = report.into_iter().flat_map(|report| &report.packages);
    let reported = reported.map(|one| (0_u8, &one.name, &one.version, &one.purl, &one.licences));
    let components = sbom.into_iter().flat_map(|sbom| &sbom.components);
    let components = components
        .filter(|component| component.is_package)
        .map(|one| (1_u8, &one.name, &one.version, &one.purl, &one.licences));
    let mut found: BTreeMap<(&str, &str), (u8, Listed)> = BTreeMap::new();
    for (rank, name, version, purl, licences) in reported.chain(components) {
        let key = purl
            .as_deref()
            .map_or((name.as_str(), version.as_str()), |purl| ("", purl));
        let listed = Listed {
            name: name.clone(),
            version: version.clone(),
            purl: purl.clone().unwrap_or_default(),
            licences: licences.iter().cloned().collect(),
        };
        match found.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert((rank, listed))),
            Entry::Occupied(mut entry) => {
                let (known_rank, known) = entry.get_mut();
                known.licences.extend(listed.licences);
                if (rank, &listed.name, &listed.version) < (*known_rank, &known.name, &known.version) {
                    (known.name, known.version) = (listed.name, listed.version);
                    *known_rank = rank;
                }
            }
        }
    }
    let mut listed: Vec<Listed> = found.into_values().map(|(_, listed)| listed).collect();
    listed.sort_by(|one, other| (&one.name, &one.version, &one.purl).cmp(&(&other.name, &other.version, &other.purl)));
    listed
}
