//! What admission costs who creates a Build through the API server: with nothing, with a native policy that holds the static
//! part of the rule, and with the webhook, in namespaces of their own so that the three take turns within one run.

use std::time::Duration;

use imagefactory_crds::Build;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use imagefactory_rig::door::{Door, namespace, rules};

use super::Sizes;
use super::door::Installation;
use crate::error::{BenchError, Result, Trying};
use crate::output::{Figures, percentile};
use crate::rig::Places;

/// Who is asked, which is also the namespaces' label.
const WAYS: [&str; 3] = ["nobody", "policy", "webhook"];
/// Builds of one kind before it is the next one's turn.
const TURN: usize = 20;
/// Longest time until the API server knows what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// One tenant, three namespaces of it, and Builds in each in turn.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let installation = Installation::start(places, (10, 10)).await?;
    let client = &installation.client;
    for way in WAYS {
        namespace(client, &place(way), Some("t0"), way).await?;
    }
    installation.door.is_asked().await?;
    stamped(client, &installation.door).await?;
    policy(client).await?;
    // What each does to a Build that it must refuse says that it is asked.
    for way in ["policy", "webhook"] {
        until_asked(client, way).await?;
    }
    let mut times: [Vec<Duration>; 3] = Default::default();
    for turn in 0..sizes.asked.div_ceil(TURN) {
        for step in 0..WAYS.len() {
            // Forwards and backwards in turn.
            let way = if turn % 2 == 0 { step } else { WAYS.len() - 1 - step };
            for number in 0..TURN {
                let began = Instant::now();
                create(client, WAYS[way], &format!("b{turn}-{number}"), None).await?;
                times[way].push(began.elapsed());
            }
        }
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let [nobody, policy, webhook] = times.clone().map(|times| percentile(times, share));
        for (way, value) in WAYS.into_iter().zip([nobody, policy, webhook]) {
            figures.add_alone(&format!("Build created, asked: {way}, {name}"), "ms", value, "")?;
        }
        let added = format!("cost added by the webhook (both calls), {name}");
        figures.add_alone(&added, "ms", webhook - nobody, "3")?;
        let against = format!("Build created with the webhook against a native policy, {name}");
        figures.add_alone(&against, "ratio", webhook / policy, "3")?;
    }
    Ok(())
}

fn place(way: &str) -> String {
    format!("tenant-by-{way}")
}

async fn create(client: &Client, way: &str, name: &str, requested_by: Option<&str>) -> Result<bool> {
    let mut build: Build = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": name, "namespace": place(way)},
        "spec": {"projectRef": {"name": "p0"},
            "source": {"git": {"url": "https://git.example.com/team/shop.git", "revision": "main"}}},
    }))
    .trying("a build")?;
    if let Some(user) = requested_by {
        let annotations = build.metadata.annotations.get_or_insert_default();
        annotations.insert("imagefactory.dev/requested-by".to_owned(), user.to_owned());
    }
    let api: Api<Build> = Api::namespaced(client.clone(), &place(way));
    // The load's user owns everything.
    match api.create(&PostParams::default(), &build).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if requested_by.is_some() && (400..500).contains(&status.code) => Ok(false),
        Err(source) => Err(source).trying(format!("could not create a build, asked: {way}")),
    }
}

async fn until_asked(client: &Client, way: &str) -> Result<()> {
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < PATIENCE {
        let refused = match way {
            // The stamp would mend what was forged: that it is there says that both calls are made.
            "webhook" => is_stamped(client, number).await?,
            _ => !create(client, way, &format!("forged{number}"), Some("somebody else")).await?,
        };
        if refused {
            return Ok(());
        }
        number += 1;
        sleep(Duration::from_millis(200)).await;
    }
    Err(BenchError::Wrong(format!("nobody is asked: {way}")))
}

async fn is_stamped(client: &Client, number: u32) -> Result<bool> {
    let name = format!("stamped{number}");
    create(client, "webhook", &name, None).await?;
    let api: Api<Build> = Api::namespaced(client.clone(), &place("webhook"));
    let build = api.get(&name).await.trying("could not read a build")?;
    Ok(build
        .metadata
        .annotations
        .is_some_and(|annotations| annotations.contains_key("imagefactory.dev/requested-by")))
}

async fn stamped(client: &Client, door: &Door) -> Result<()> {
    post::<MutatingWebhookConfiguration>(
        client,
        json!({
            "metadata": {"name": "stamp"},
            "webhooks": [{
                "name": "requester.imagefactory.dev", "admissionReviewVersions": ["v1"], "timeoutSeconds": 3,
                "failurePolicy": "Fail", "sideEffects": "None", "clientConfig": door.client_config("mutate")?,
                "namespaceSelector": {"matchLabels": {"asked": "webhook"}}, "rules": rules(),
            }],
        }),
    )
    .await
}

/// What of the rule needs to know nothing but the object and who asks.
async fn policy(client: &Client) -> Result<()> {
    let stamp = "imagefactory.dev/requested-by";
    let validations = json!([
        {"expression": format!("!has(object.metadata.annotations) || !(\"{stamp}\" in object.metadata.annotations) || object.metadata.annotations[\"{stamp}\"] == request.userInfo.username")},
        {"expression": "!has(object.spec.templateRef) || !has(object.spec.rerunOf)"},
    ]);
    post::<ValidatingAdmissionPolicy>(
        client,
        json!({
            "metadata": {"name": "static"},
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules()},
                "validations": validations,
            },
        }),
    )
    .await?;
    post::<ValidatingAdmissionPolicyBinding>(
        client,
        json!({
            "metadata": {"name": "static"},
            "spec": {"policyName": "static", "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"asked": "policy"}}}},
        }),
    )
    .await
}

async fn post<K>(client: &Client, object: Value) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).trying("an object of the measurement")?;
    Api::<K>::all(client.clone())
        .create(&PostParams::default(), &object)
        .await
        .trying("could not tell the API server who is asked")?;
    Ok(())
}
