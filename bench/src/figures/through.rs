//! What admission costs who creates a Build through the API server: with nothing, with a native policy that holds the static
//! part of the rule, and with the webhook, in namespaces of their own so that they take turns within one run. What others make
//! of the same rule takes its turns in [`super::rivals`].

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
use crate::rig::{Places, Process};

/// Builds of one kind before it is the next one's turn.
const TURN: usize = 20;
/// Longest time until the API server knows what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who is asked about a Build.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Also a label of the namespaces where it is asked.
    pub(super) name: &'static str,
    /// Whose processor time is counted.
    pub(super) process: Option<&'a Process>,
}

/// What Builds took about which one way was asked.
pub(super) struct Taken {
    /// The way.
    pub(super) name: &'static str,
    /// From each create to its answer.
    pub(super) times: Vec<Duration>,
    /// Processor time of the way's process while it had its turns.
    pub(super) spent: Duration,
}

impl Taken {
    /// The time below which that share of all creates lies, in milliseconds.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        percentile(self.times.clone(), share)
    }
}

/// One tenant, three namespaces of it, and Builds in each in turn.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let installation = Installation::start(places, (10, 10)).await?;
    prepare(&installation).await?;
    let ways = WAYS.map(|name| Way { name, process: None });
    let taken = in_turns(&installation.client, &ways, sizes.asked).await?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let values: Vec<_> = taken.iter().map(|taken| taken.percentile(share)).collect();
        for (way, value) in WAYS.iter().zip(&values) {
            figures.add_alone(&format!("Build created, asked: {way}, {name}"), "ms", *value, "")?;
        }
        let [nobody, policy, webhook] = values[..] else {
            continue;
        };
        let added = format!("cost added by the webhook (both calls), {name}");
        figures.add_alone(&added, "ms", webhook - nobody, "3")?;
        let against = format!("Build created with the webhook against a native policy, {name}");
        figures.add_alone(&against, "ratio", webhook / policy, "3")?;
    }
    Ok(())
}

/// Ways that need nothing but ours and the API server.
pub(super) const WAYS: [&str; 3] = ["nobody", "policy", "webhook"];

/// A namespace of the same tenant for each of [`WAYS`]; returns when who is to be asked about them is asked.
pub(super) async fn prepare(installation: &Installation) -> Result<()> {
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
    Ok(())
}

/// Creates so many Builds in each way, one after the other, in turns.
pub(super) async fn in_turns(client: &Client, ways: &[Way<'_>], asked: usize) -> Result<Vec<Taken>> {
    let nothing = |way: &Way<'_>| Taken {
        name: way.name,
        times: Vec::new(),
        spent: Duration::ZERO,
    };
    let mut all: Vec<_> = ways.iter().map(nothing).collect();
    for turn in 0..asked.div_ceil(TURN) {
        let mut order: Vec<_> = ways.iter().zip(&mut all).collect();
        // Forwards and backwards in turn.
        if turn % 2 == 1 {
            order.reverse();
        }
        for (way, taken) in order {
            let before = way.process.map(Process::threads).transpose()?;
            for number in 0..TURN {
                let began = Instant::now();
                create(client, &place(way.name), &format!("b{turn}-{number}"), None).await?;
                taken.times.push(began.elapsed());
            }
            if let (Some(process), Some(before)) = (way.process, before) {
                taken.spent += process.threads()?.since(&before);
            }
        }
    }
    Ok(all)
}

/// The namespace in which that way is asked.
pub(super) fn place(way: &str) -> String {
    format!("tenant-by-{way}")
}

/// Creates a Build there.
pub(super) async fn create(client: &Client, place: &str, name: &str, requested_by: Option<&str>) -> Result<()> {
    match refusal(client, place, name, requested_by).await? {
        None => Ok(()),
        Some(why) => Err(BenchError::Wrong(format!("a build in {place} was refused: {why}"))),
    }
}

/// Tries to create a Build there, and gives the words with which it was refused.
pub(super) async fn refusal(
    client: &Client,
    place: &str,
    name: &str,
    requested_by: Option<&str>,
) -> Result<Option<String>> {
    let mut build: Build = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": name, "namespace": place},
        "spec": {"projectRef": {"name": "p0"},
            "source": {"git": {"url": "https://git.example.com/team/shop.git", "revision": "main"}}},
    }))
    .trying("a build")?;
    if let Some(user) = requested_by {
        let annotations = build.metadata.annotations.get_or_insert_default();
        annotations.insert("imagefactory.dev/requested-by".to_owned(), user.to_owned());
    }
    // The load's user owns everything.
    match Api::<Build>::namespaced(client.clone(), place)
        .create(&PostParams::default(), &build)
        .await
    {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => Ok(Some(status.message.clone())),
        Err(source) => Err(source).trying(format!("could not create a build in {place}")),
    }
}

async fn until_asked(client: &Client, way: &str) -> Result<()> {
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < PATIENCE {
        let refused = match way {
            // The stamp would mend what was forged: that it is there says that both calls are made.
            "webhook" => is_stamped(client, number).await?,
            _ => refusal(client, &place(way), &format!("forged{number}"), Some("somebody else"))
                .await?
                .is_some(),
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
    create(client, &place("webhook"), &name, None).await?;
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

/// Creates an object without a namespace that says who is asked.
pub(super) async fn post<K>(client: &Client, object: Value) -> Result<()>
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
