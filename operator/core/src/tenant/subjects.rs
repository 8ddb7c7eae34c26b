//! Who may be given a role: users, groups, and service accounts of namespaces that the Tenant names (trust.md,
//! Persons). The schema says the same; this is the second line, and it does not trust the first.

use std::collections::BTreeSet;

use imagefactory_crds::common::{Subject, SubjectKind};
pub use imagefactory_crds::subjects::{Rules, fault};
use k8s_openapi::api::rbac::v1::Subject as RbacSubject;

use super::objects::role_bindings::RBAC;

/// Reason of the condition that names subjects which were left out.
pub const SUBJECT_NOT_ALLOWED: &str = "SubjectNotAllowed";

/// Items that a message names; the rest it counts.
const NAMED: usize = 5;

/// A subject that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The subject.
    pub subject: Subject,
    /// Why, as the rest of a sentence.
    pub why: &'static str,
}

/// Subjects, sorted out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// As RBAC writes them, sorted, each once.
    pub allowed: Vec<RbacSubject>,
    /// Those that were left out.
    pub refused: Vec<Refused>,
}

/// Sorts subjects out.
#[must_use]
pub fn admit<'a>(subjects: impl Iterator<Item = &'a Subject>, rules: &Rules) -> Admitted {
    let mut admitted = Admitted::default();
    for subject in subjects.collect::<BTreeSet<_>>() {
        match fault(subject, rules) {
            None => admitted.allowed.push(to_rbac(subject)),
            Some(why) => admitted.refused.push(Refused {
                subject: subject.clone(),
                why,
            }),
        }
    }
    admitted
}

fn to_rbac(subject: &Subject) -> RbacSubject {
    let (kind, api_group) = match subject.kind {
        SubjectKind::User => ("User", Some(RBAC)),
        SubjectKind::Group => ("Group", Some(RBAC)),
        SubjectKind::ServiceAccount => ("ServiceAccount", None),
    };
    RbacSubject {
        api_group: api_group.map(str::to_owned),
        kind: kind.to_owned(),
        name: subject.name.0.clone(),
        namespace: subject.namespace.as_ref().map(|namespace| namespace.0.clone()),
    }
}

/// Says who was left out. Names are quoted with everything unprintable escaped.
#[must_use]
pub fn describe(refused: &[Refused]) -> String {
    enumerate(
        refused
            .iter()
            .map(|refused| format!("{} {}", named(&refused.subject), refused.why)),
    )
}

/// Who a subject is. Names are quoted with everything unprintable escaped.
#[must_use]
pub fn named(subject: &Subject) -> String {
    let Subject { kind, name, namespace } = subject;
    let place = namespace
        .as_ref()
        .map(|namespace| format!(" of namespace {:?}", namespace.as_str()));
    format!("{kind:?} {:?}{}", name.as_str(), place.unwrap_or_default())
}

/// The first few items, and the number of the others.
#[must_use]
pub fn enumerate(items: impl ExactSizeIterator<Item = String>) -> String {
    let rest = items.len().saturating_sub(NAMED);
    let first: Vec<_> = items.take(NAMED).collect();
    let more = if rest > 0 {
        format!("; {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", first.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures::{self, group, service_account, user};

    #[test]
    fn people_groups_and_named_service_accounts_are_allowed() {
        let rules = Rules::of(&fixtures::tenant());
        for subject in [
            user("alice@example.com"),
            group("team-acme"),
            user("oidc:alice"),
            service_account("ci", "acme-ci"),
            service_account("ci.bot-1", "tenant-acme"),
        ] {
            assert_eq!(fault(&subject, &rules), None, "{subject:?}");
        }
    }

    #[test]
    fn hostile_subjects_are_left_out() {
        let rules = Rules::of(&fixtures::tenant());
        for subject in [
            group("system:masters"),
            group("system:authenticated"),
            group("system:serviceaccounts"),
            user("system:serviceaccount:kube-system:default"),
            user("system:admin"),
            user(""),
            user("a\nb"),
            user(&"a".repeat(254)),
            Subject {
                namespace: Some("tenant-acme".into()),
                ..user("alice")
            },
            Subject {
                namespace: None,
                ..service_account("ci", "acme-ci")
            },
            service_account("ci", "tenant-other"),
            service_account("ci", "kube-system"),
            service_account("ci", ""),
            service_account("imagefactory-build", "tenant-acme"),
            service_account("system:masters", "acme-ci"),
            service_account("a/b", "acme-ci"),
            service_account("-a", "acme-ci"),
            service_account("A", "acme-ci"),
            service_account("a..b", "acme-ci"),
        ] {
            assert!(fault(&subject, &rules).is_some(), "{subject:?}");
        }
    }

    #[test]
    fn a_tenant_that_names_no_namespace_has_its_own_alone() {
        let mut tenant = fixtures::tenant();
        tenant.spec.service_account_namespaces.clear();
        let rules = Rules::of(&tenant);
        assert_eq!(fault(&service_account("ci", "tenant-acme"), &rules), None);
        assert!(fault(&service_account("ci", "acme-ci"), &rules).is_some());
    }

    #[test]
    fn subjects_are_sorted_and_each_is_there_once() {
        let subjects = [user("b"), user("a"), user("b"), group("z")];
        let admitted = admit(subjects.iter(), &Rules::of(&fixtures::tenant()));
        let names: Vec<_> = admitted.allowed.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "z"]);
    }

    #[test]
    fn the_message_quotes_what_was_left_out_and_stays_short() {
        let subjects: Vec<_> = (0..8).map(|n| user(&format!("system:{n}\u{202e}"))).collect();
        let text = describe(&admit(subjects.iter(), &Rules::of(&fixtures::tenant())).refused);
        assert!(
            text.starts_with(r#"User "system:0\u{202e}" belongs to Kubernetes; "#),
            "{text}"
        );
        assert!(text.ends_with("; 3 more"), "{text}");
    }
}
