//! The SBOM is read in every version that scanners write, and anything else is an error.

use serde_json::{Value, json};

use super::*;

const SBOM: &str = include_str!("../fixtures/sbom.json");

fn with(pointer: &str, replacement: Value) -> Result<Sbom, ReportError> {
    let mut sbom: Value = serde_json::from_str(SBOM).unwrap();
    *sbom.pointer_mut(pointer).unwrap() = replacement;
    parse(sbom.to_string().as_bytes())
}

fn of(components: &Value) -> Result<Sbom, ReportError> {
    parse(
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components})
            .to_string()
            .as_bytes(),
    )
}

#[test]
fn packages_are_counted_without_the_operating_system_and_with_those_inside_others() {
    let sbom = parse(SBOM.as_bytes()).unwrap();
    assert_eq!(sbom.components.len(), 4);
    assert_eq!(sbom.packages(), 3);
}

#[test]
fn the_image_that_the_document_is_about_is_known() {
    let sbom = parse(SBOM.as_bytes()).unwrap();
    assert_eq!(
        sbom.image_digests,
        ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    );
    assert!(of(&json!([])).unwrap().image_digests.is_empty());
}

#[test]
fn licences_are_read_as_identifier_name_and_expression() {
    let sbom = parse(SBOM.as_bytes()).unwrap();
    let licences: Vec<&str> = sbom
        .components
        .iter()
        .flat_map(|component| &component.licences)
        .map(String::as_str)
        .collect();
    assert_eq!(
        licences,
        ["GPL-3.0-only OR MIT", "GPL-3.0-or-later", "a licence of its own"]
    );
}

#[test]
fn every_version_from_1_4_to_1_7_is_read() {
    for version in ["1.4", "1.5", "1.6", "1.7"] {
        assert_eq!(with("/specVersion", json!(version)).unwrap().spec_version, version);
    }
    for version in ["1.3", "1.8", "2.0", "1.60", ""] {
        assert!(
            matches!(
                with("/specVersion", json!(version)),
                Err(ReportError::UnsupportedVersion)
            ),
            "{version}"
        );
    }
}

#[test]
fn another_format_is_an_error() {
    assert!(matches!(with("/bomFormat", json!("SPDX")), Err(ReportError::OtherKind)));
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "{\"spdxVersion\": \"SPDX-2.3\"}",
        "{\"bomFormat\": \"CycloneDX\"}",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(parse(format!("{SBOM}{{}}").as_bytes()).is_err());
}

#[test]
fn components_of_the_wrong_type_are_an_error() {
    for wrong in [
        json!(null),
        json!({}),
        json!(["a"]),
        json!([{"type": "library"}]),
        json!([{"name": "a"}]),
        json!([null]),
    ] {
        assert!(of(&wrong).is_err(), "{wrong}");
    }
    assert!(of(&json!([{"type": "library", "name": "a", "licenses": {}}])).is_err());
    assert!(of(&json!([{"type": "library", "name": "a", "components": null}])).is_err());
}

#[test]
fn an_sbom_may_list_nothing() {
    assert_eq!(of(&json!([])).unwrap().packages(), 0);
    let os = json!([{"type": "operating-system", "name": "debian", "version": "12"}]);
    assert_eq!(of(&os).unwrap().packages(), 0);
}

#[test]
fn java_is_recognised_by_package_url_property_or_name() {
    let has_jars = |component: Value| of(&json!([component])).unwrap().has_jars();
    assert!(has_jars(
        json!({"type": "library", "name": "a", "purl": "pkg:maven/a/b@1"})
    ));
    assert!(has_jars(json!({"type": "file", "name": "opt/app.Jar"})));
    for (name, value) in [("PkgType", "jar"), ("Type", "jar"), ("FilePath", "opt/app.war")] {
        let property = json!({"name": format!("aquasecurity:trivy:{name}"), "value": value});
        assert!(
            has_jars(json!({"type": "library", "name": "a", "properties": [property]})),
            "{name}"
        );
    }
    assert!(has_jars(
        json!({"type": "library", "name": "a", "components": [{"type": "file", "name": "b.ear"}]})
    ));
    assert!(!has_jars(
        json!({"type": "library", "name": "jar", "purl": "pkg:deb/debian/jar@1"})
    ));
}

#[test]
fn components_that_lie_too_deep_are_an_error() {
    let deep = (0..1000).fold(
        json!([]),
        |inner, _| json!([{"type": "library", "name": "a", "components": inner}]),
    );
    assert!(of(&deep).is_err());
}
