//! Values of the fields that the table names.

use std::rc::Rc;

use imagefactory_crds::build::SeverityCounts;
use jiff::{SignedDuration, Timestamp};

use super::error::EvalError;
use super::facts::{About, BaseFacts, Inventory, Listed};
use super::value::{Object, Value};
use crate::policy::age;
use crate::scan::{Finding, OperatingSystem, Severity};

type Found<'a> = Result<Value<'a>, EvalError>;

impl<'a> Object<'a> {
    /// A field by its name in the table.
    pub(super) fn field(self, name: &str) -> Found<'a> {
        match self {
            Self::Image(about) => image(about, name),
            Self::Evidence(about) => evidence(about, name),
            Self::Counts(counts) => severities(counts, name),
            Self::Finding(finding) => of_finding(finding, name),
            Self::Package(package) => of_package(package, name),
            Self::Build(inventory) => build(inventory, name),
            Self::Base(base) => of_base(base, name),
        }
    }
}

fn image<'a>(about: &'a About<'a>, name: &str) -> Found<'a> {
    let evidence = &about.evidence;
    let os = evidence.report.and_then(|report| report.os.as_ref());
    let text = |field: fn(&OperatingSystem) -> &String| Value::Text(os.map_or("", |os| field(os)));
    Ok(match name {
        "digest" => Value::Text(evidence.digest),
        "platform" => Value::Text(evidence.platform),
        "osFamily" => text(|os| &os.family),
        "osVersion" => text(|os| &os.version),
        "osEndOfLife" => Value::Bool(os.is_some_and(|os| os.end_of_life)),
        _ => return Err(EvalError::Defect),
    })
}

fn evidence<'a>(about: &'a About<'a>, name: &str) -> Found<'a> {
    let evidence = &about.evidence;
    let scanned = || {
        let time = evidence.report.and_then(|report| report.created_at);
        time.ok_or_else(|| EvalError::NotKnown(age::NO_SCAN_TIME.to_owned()))
    };
    let hours = |now: Timestamp, then: Timestamp| -> Found<'a> {
        let age = age::between(then, now).map_err(|why| EvalError::NotKnown(why.to_owned()))?;
        // What has begun counts: less than is true would let old evidence pass.
        let full = age.as_hours();
        let begun = i64::from(age > SignedDuration::from_hours(full));
        Ok(Value::Int(full.saturating_add(begun)))
    };
    match name {
        "scanner" => Ok(Value::Text(evidence.scanner)),
        "ageHours" => hours(evidence.now, scanned()?),
        "databaseAgeHours" => {
            let database = evidence
                .database
                .ok_or_else(|| EvalError::NotKnown(age::NO_DATABASE.to_owned()))?;
            hours(scanned()?, database.updated_at)
        }
        _ => Err(EvalError::Defect),
    }
}

fn severities<'a>(counts: &SeverityCounts, name: &str) -> Found<'a> {
    let all = [counts.critical, counts.high, counts.medium, counts.low, counts.unknown];
    Ok(Value::Int(match name {
        "critical" => counts.critical.into(),
        "high" => counts.high.into(),
        "medium" => counts.medium.into(),
        "low" => counts.low.into(),
        "unknown" => counts.unknown.into(),
        "fixable" => counts.fixable.into(),
        "total" => all.into_iter().map(i64::from).sum(),
        _ => return Err(EvalError::Defect),
    }))
}

fn of_finding<'a>(finding: &'a Finding, name: &str) -> Found<'a> {
    let optional = |text: &'a Option<String>| Value::Text(text.as_deref().unwrap_or_default());
    Ok(match name {
        "id" => Value::Text(&finding.id),
        "severity" => Value::Text(match finding.severity {
            Severity::Critical => "CRITICAL",
            Severity::High => "HIGH",
            Severity::Medium => "MEDIUM",
            Severity::Low => "LOW",
            Severity::Unknown => "UNKNOWN",
        }),
        "cvss" => Value::Double(finding.effective_score().as_f64()),
        "scored" => Value::Bool(finding.cvss.is_some()),
        "fixable" => Value::Bool(finding.has_fix()),
        "package" => Value::Text(&finding.package),
        "version" => Value::Text(&finding.version),
        "fixedVersion" => optional(&finding.fixed_version),
        "purl" => optional(&finding.purl),
        "type" => Value::Text(&finding.kind),
        _ => return Err(EvalError::Defect),
    })
}

fn of_package<'a>(package: &'a Listed, name: &str) -> Found<'a> {
    Ok(match name {
        "name" => Value::Text(&package.name),
        "version" => Value::Text(&package.version),
        "purl" => Value::Text(&package.purl),
        "type" => Value::Text(purl_type(&package.purl)),
        "licences" => Value::List(Rc::new(package.licences.iter().map(|name| Value::Text(name)).collect())),
        _ => return Err(EvalError::Defect),
    })
}

/// `deb` of `pkg:deb/debian/bash@5.0`.
fn purl_type(purl: &str) -> &str {
    let kind = purl.strip_prefix("pkg:").and_then(|rest| rest.split_once('/'));
    kind.map_or("", |(kind, _)| kind)
}

fn build<'a>(inventory: &'a Inventory<'a>, name: &str) -> Found<'a> {
    let build = inventory.build()?;
    Ok(match name {
        "tenant" => Value::Text(&build.tenant),
        "project" => Value::Text(&build.project),
        "name" => Value::Text(&build.name),
        "method" => Value::Text(&build.method),
        "source" => Value::Text(&build.source),
        "gitUrl" => Value::Text(build.git_url.as_deref().unwrap_or_default()),
        "commit" => Value::Text(build.commit.as_deref().unwrap_or_default()),
        "bases" => {
            let bases = inventory.bases()?.iter();
            Value::List(Rc::new(bases.map(|base| Value::Object(Object::Base(base))).collect()))
        }
        _ => return Err(EvalError::Defect),
    })
}

fn of_base<'a>(base: &'a BaseFacts, name: &str) -> Found<'a> {
    Ok(Value::Text(match name {
        "reference" => &base.reference,
        "repository" => &base.repository,
        "digest" => &base.digest,
        _ => return Err(EvalError::Defect),
    }))
}
