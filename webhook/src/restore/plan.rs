//! Whether a webhook configuration is put back: a pure decision.

use std::time::Duration;

use serde_json::Value;

/// How long something must be missing before it is put back. `helm uninstall` takes the configurations first and the rest
/// of the release right after.
pub const GRACE: Duration = Duration::from_secs(2);

/// What there is of the release.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// Whether our own Deployment is there and does not leave.
    pub stays: bool,
    /// What the configuration is to be, from the release's ConfigMap; none where that is gone.
    pub wanted: Option<Value>,
    /// Uid of our ClusterRole, which owns what is put back; none where that is gone.
    pub owner: Option<String>,
}

/// What to do about a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is as it should be, or it is not ours to repair.
    None,
    /// It is missing or changed, and may be so on purpose: look again soon.
    Wait,
    /// Put it back.
    Create,
    /// Give its webhooks back what they were.
    Change,
}

/// Decides. `wrong_for` is how long it has been seen missing or changed.
#[must_use]
pub fn repair(found: Option<&Value>, release: &Release, wrong_for: Duration) -> Repair {
    let Some(wanted) = &release.wanted else {
        return Repair::None;
    };
    if !release.stays || found.is_some_and(|found| is_like(found, wanted)) {
        return Repair::None;
    }
    if wrong_for < GRACE || release.owner.is_none() {
        return Repair::Wait;
    }
    match found {
        None => Repair::Create,
        Some(_) => Repair::Change,
    }
}

/// Whether a configuration asks what is wanted of whom it is wanted. Who is trusted is not compared.
fn is_like(found: &Value, wanted: &Value) -> bool {
    without_trust(&found["webhooks"]) == without_trust(&wanted["webhooks"])
}

fn without_trust(webhooks: &Value) -> Value {
    let mut webhooks = webhooks.clone();
    for webhook in webhooks.as_array_mut().into_iter().flatten() {
        if let Some(client) = webhook["clientConfig"].as_object_mut() {
            client.remove("caBundle");
        }
    }
    webhooks
}

/// What is written: the webhooks as wanted, each with the authority that it trusts. `found` is what is changed, with its
/// version, so that nobody else's write is lost.
#[must_use]
pub fn written(found: Option<&Value>, release: &Release, bundle: &str) -> Option<Value> {
    let mut object = release.wanted.clone()?;
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["clientConfig"]["caBundle"] = bundle.into();
    }
    match found {
        Some(found) => {
            let webhooks = object["webhooks"].take();
            object = found.clone();
            object["webhooks"] = webhooks;
        }
        None => {
            let owner = serde_json::json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "name": object["metadata"]["name"],
                "uid": release.owner.as_deref()?,
            });
            object["metadata"]["ownerReferences"] = serde_json::json!([owner]);
        }
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> Value {
        json!({"metadata": {"name": "f-webhook"}, "webhooks": [{"name": "a", "failurePolicy": "Fail", "clientConfig": {"service": {"name": "f"}}}]})
    }

    fn release() -> Release {
        Release {
            stays: true,
            wanted: Some(wanted()),
            owner: Some("u".to_owned()),
        }
    }

    fn found() -> Value {
        let mut found = wanted();
        found["metadata"]["resourceVersion"] = "7".into();
        found["webhooks"][0]["clientConfig"]["caBundle"] = "abc".into();
        found
    }

    const LONG: Duration = Duration::from_secs(3);

    #[test]
    fn a_configuration_that_is_as_wanted_is_left_alone_whoever_it_trusts() {
        assert_eq!(repair(Some(&found()), &release(), LONG), Repair::None);
    }

    #[test]
    fn one_that_was_deleted_or_weakened_is_put_back_after_a_moment() {
        assert_eq!(repair(None, &release(), Duration::ZERO), Repair::Wait);
        assert_eq!(repair(None, &release(), LONG), Repair::Create);
        let mut weak = found();
        weak["webhooks"][0]["failurePolicy"] = "Ignore".into();
        assert_eq!(repair(Some(&weak), &release(), LONG), Repair::Change);
        let mut emptied = found();
        emptied["webhooks"] = json!([]);
        assert_eq!(repair(Some(&emptied), &release(), LONG), Repair::Change);
    }

    #[test]
    fn nothing_is_put_back_while_the_release_goes() {
        let leaves = Release {
            stays: false,
            ..release()
        };
        let without_source = Release {
            wanted: None,
            ..release()
        };
        let without_owner = Release {
            owner: None,
            ..release()
        };
        assert_eq!(repair(None, &leaves, LONG), Repair::None);
        assert_eq!(repair(None, &without_source, LONG), Repair::None);
        assert_eq!(repair(None, &without_owner, LONG), Repair::Wait);
    }

    #[test]
    fn what_is_put_back_goes_with_the_release_and_trusts_as_before() {
        let made = written(None, &release(), "abc").unwrap();
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(made["webhooks"][0]["clientConfig"]["caBundle"], "abc");
        let mut weak = found();
        weak["webhooks"][0]["failurePolicy"] = "Ignore".into();
        let changed = written(Some(&weak), &release(), "abc").unwrap();
        assert_eq!(changed, found(), "with the version that was read");
    }
}
