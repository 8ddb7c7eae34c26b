//! What is shown after an install: what is next, and loud warnings of what is unsafe.

use std::path::Path;

use crate::support::render;
use imagefactory_tests::chart::object::{find, text};
use imagefactory_tests::chart::{Chart, folder, read};

/// Notes are not shown by `helm template`, so a copy of the chart renders them into an object.
fn notes(chart: &Chart) -> String {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder(), copy.path());
    let text = read(&folder().join("templates/NOTES.txt")).unwrap();
    let template = format!(
        "{{{{ define \"notes\" }}}}{text}{{{{ end }}}}\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: notes}}\ndata:\n  notes: {{{{ include \"notes\" . | toJson }}}}\n"
    );
    std::fs::write(copy.path().join("templates/notes.yaml"), template).unwrap();
    let objects = render(&chart.clone().in_folder(copy.path()));
    self::text(find(&objects, "ConfigMap", "notes").unwrap(), "/data/notes").to_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn notes_say_what_is_next_and_warn_loudly_of_what_is_unsafe() {
    let safe = notes(&Chart::minimal());
    assert!(!safe.contains("WARNING"), "{safe}");
    assert!(
        safe.contains("kubectl apply") && safe.contains("kind: Tenant") && safe.contains("image-factory-staging"),
        "{safe}"
    );
    for (value, warning) in [
        ("requireUserNamespaces=false", "the node's own root user"),
        ("admission.create=false", "Nothing at the API server refuses"),
        (
            "webhook.enabled=false,audit.enabled=false",
            "webhook.enabled is false: what a tenant is not entitled to",
        ),
        ("audit.enabled=false", "audit.enabled is false: what is refused"),
        (
            "networkPolicies.create=false",
            "any pod in the cluster reaches the scanner",
        ),
        ("defaultPolicy.name=", "can't publish anything"),
        ("output.scope=Shared", "one credential reaches every tenant's images"),
        (
            "staging.data.acme\\.json=x",
            "registry credentials stand in the release's values",
        ),
    ] {
        let notes = notes(&Chart::minimal().set(value));
        assert!(notes.contains("WARNING") && notes.contains(warning), "{value}: {notes}");
    }
}

#[test]
fn notes_say_that_a_cluster_admin_writes_no_tenants_where_no_group_is_named() {
    let said = "platformAdmins.groups is empty: nobody may write Tenants";
    assert!(notes(&Chart::minimal()).contains(said));
    let accounts = notes(&Chart::minimal().set("gitops.accounts={system:serviceaccount:flux-system:x}"));
    assert!(
        accounts.contains(said) && accounts.contains("but system:masters and system:serviceaccount:flux-system:x, not"),
        "{accounts}"
    );
    for value in [
        "platformAdmins.groups={platform}",
        "webhook.enabled=false,audit.enabled=false",
    ] {
        let notes = notes(&Chart::minimal().set(value));
        assert!(!notes.contains(said), "{value}: {notes}");
    }
}

#[test]
fn notes_do_not_warn_of_an_audit_that_is_elsewhere() {
    let elsewhere = "audit.enabled=false,webhook.audit.url=https://audit.example.com:8443";
    let notes = notes(&Chart::minimal().set(elsewhere));
    assert!(!notes.contains("WARNING"), "{notes}");
}
