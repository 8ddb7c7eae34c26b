//! What the controller of ImagePolicies asks of the API server.

use super::*;
use crate::controllers::tenant::mock::Mock;

const POLICY: &str = "/apis/imagefactory.dev/v1alpha1/imagepolicies/strict";

fn policy(max_cvss: &str) -> ImagePolicy {
    let spec = imagefactory_crds::ImagePolicySpec {
        max_cvss: Some(max_cvss.into()),
        ..Default::default()
    };
    ImagePolicy::new("strict", spec)
}

#[tokio::test]
async fn a_policy_gets_its_hash_once() {
    let server = Mock::default().holds(POLICY, &policy("6.9")).start(&Hubs::default());
    assert_eq!(
        reconcile(Arc::new(policy("6.9")), server.context.clone())
            .await
            .unwrap(),
        Outcome::changed()
    );
    let mut known = policy("6.9");
    known.status = serde_json::from_value(server.status()).unwrap();
    assert!(known.status.as_ref().is_some_and(|status| status.hash.is_some()));
    assert_eq!(
        reconcile(Arc::new(known), server.context.clone()).await.unwrap(),
        Outcome::unchanged()
    );
    assert_eq!(server.writes(), [format!("PATCH {POLICY}/status")]);
}

#[tokio::test]
async fn a_policy_that_can_not_be_applied_says_so_with_an_event() {
    let server = Mock::default().holds(POLICY, &policy("eleven")).start(&Hubs::default());
    reconcile(Arc::new(policy("eleven")), server.context.clone())
        .await
        .unwrap();
    let expected = [
        format!("PATCH {POLICY}/status"),
        "POST /apis/events.k8s.io/v1/namespaces/default/events".to_owned(),
    ];
    assert_eq!(server.writes(), expected);
    assert_eq!(server.status()["conditions"][0]["reason"], "Invalid");
}

#[tokio::test]
async fn a_policy_that_was_overtaken_is_looked_at_again() {
    let request = format!("PATCH {POLICY}/status");
    let server = Mock::default().refuses(&request, 409).start(&Hubs::default());
    let outcome = reconcile(Arc::new(policy("6.9")), server.context.clone()).await;
    assert_eq!(outcome.unwrap(), Outcome::waiting().again_after(SOON));
}
