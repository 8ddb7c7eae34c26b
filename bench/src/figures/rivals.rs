//! The webhook beside Gatekeeper, which is told as much of the rule about Builds as its inventory of tenants and projects can say:
//! Builds through one API server, in namespaces of the same tenant that take turns. Gatekeeper is asked once for each; the webhook
//! with both of its calls, and in a namespace of its own with the one that decides.

use std::time::Duration;

use imagefactory_rig::door::{Door, namespace, rules};
use imagefactory_rig::setup::until;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use serde_json::json;
use tokio::time::sleep;

use super::Sizes;
use super::door::{FEW, Installation, project, tenant};
use super::through::{Taken, WAYS, Way, in_turns, place, post, prepare, refusal};
use crate::error::Result;
use crate::output::Figures;
use crate::rig::{Gatekeeper, Places, Process};

/// Those that are asked over HTTPS: the webhook's two calls, the second of them alone, and the other.
const ASKED: [&str; 3] = ["webhook", "decision", "gatekeeper"];
/// Those of them that the group `door` does not measure.
const MORE: [&str; 2] = ["decision", "gatekeeper"];
/// A tenant that may not build.
const OFF: &str = "off";
/// What both say against its Builds.
const NOT_ENTITLED: &str = "image build is not enabled for this tenant";
/// Idle time before memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// With few tenants, and with many.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    for size in [FEW, (sizes.tenants, sizes.projects)] {
        compare(places, size, sizes.asked, figures).await?;
    }
    Ok(())
}

async fn compare(places: &Places, size: (usize, usize), asked: usize, figures: &mut Figures) -> Result<()> {
    let installation = Installation::start(places, size).await?;
    let client = &installation.client;
    let gatekeeper = Gatekeeper::start(&places.tools, &installation.plane, client).await?;
    prepare(&installation).await?;
    decides_alone(client, &installation.door).await?;
    for way in MORE {
        namespace(client, &place(way), Some("t0"), way).await?;
    }
    for way in WAYS.into_iter().chain(MORE) {
        project(client, &place(way), "p0").await?;
    }
    tenant(client, OFF, false).await?;
    for way in ASKED {
        namespace(client, &place_of_off(way), Some(OFF), way).await?;
        project(client, &place_of_off(way), "p0").await?;
        until_it_decides(client, way).await?;
    }
    let (webhook, gatekeeper) = (&installation.webhook, &gatekeeper.process);
    let process = |name: &str| match name {
        "gatekeeper" => Some(gatekeeper),
        "webhook" | "decision" => Some(webhook),
        _ => None,
    };
    let ways = WAYS.into_iter().chain(MORE).map(|name| Way {
        name,
        process: process(name),
    });
    let ways: Vec<_> = ways.collect();
    let taken = in_turns(client, &ways, asked).await?;
    sleep(SETTLE).await;
    let of = format!("{} tenants", size.0);
    tell_times(&taken, &of, figures)?;
    tell_memory("webhook", webhook, &of, figures)?;
    tell_memory("gatekeeper", gatekeeper, &of, figures)
}

/// Has the API server ask the webhook only for its decision.
async fn decides_alone(client: &Client, door: &Door) -> Result<()> {
    post::<ValidatingWebhookConfiguration>(
        client,
        json!({
            "metadata": {"name": "decision"},
            "webhooks": [{
                "name": "decision.imagefactory.dev", "admissionReviewVersions": ["v1"], "timeoutSeconds": 3,
                "failurePolicy": "Fail", "sideEffects": "NoneOnDryRun", "clientConfig": door.client_config("validate")?,
                "namespaceSelector": {"matchLabels": {"asked": "decision"}}, "rules": rules(),
            }],
        }),
    )
    .await
}

fn place_of_off(way: &str) -> String {
    format!("tenant-off-{way}")
}

/// Waits until a Build of a tenant that may not build is refused for that reason, and one of a tenant that may is let in.
async fn until_it_decides(client: &Client, way: &str) -> Result<()> {
    // Who is not asked yet lets it in, and who knows nothing yet has other reasons, or no answer.
    until(&format!("{way} to refuse who is not entitled"), async || {
        let told = refusal(client, &place_of_off(way), &unused(), None).await;
        Ok(matches!(told, Ok(Some(why)) if why.to_lowercase().contains(NOT_ENTITLED)))
    })
    .await?;
    until(&format!("{way} to let in who is entitled"), async || {
        let told = refusal(client, &place(way), &unused(), None).await;
        Ok(matches!(told, Ok(None)))
    })
    .await
}

/// A name that no Build has.
fn unused() -> String {
    format!("asked-{}", Timestamp::now().as_millisecond())
}

fn tell_times(taken: &[Taken], of: &str, figures: &mut Figures) -> Result<()> {
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let value = |way: &str| {
            let found = taken.iter().find(|taken| taken.name == way);
            found.map_or(f64::NAN, |taken| taken.percentile(share))
        };
        for way in taken.iter().map(|taken| taken.name) {
            let figure = format!("Build created beside Gatekeeper, asked: {way}, {of}, {name}");
            figures.add_alone(&figure, "ms", value(way), "")?;
        }
        for way in ASKED {
            let figure = format!("cost added by {way}, {of}, {name}");
            figures.add_alone(&figure, "ms", value(way) - value("nobody"), "")?;
        }
        for way in ["webhook", "decision"] {
            let figure = format!("Build created with {way} against Gatekeeper, {of}, {name}");
            figures.add_alone(&figure, "ratio", value(way) / value("gatekeeper"), "")?;
        }
    }
    for taken in taken.iter().filter(|taken| ASKED.contains(&taken.name)) {
        let figure = format!("processor time of {} per Build, {of}", taken.name);
        let each = taken.spent.as_secs_f64() * 1000.0 / taken.times.len() as f64;
        figures.add_alone(&figure, "ms", each, "")?;
    }
    Ok(())
}

fn tell_memory(way: &str, process: &Process, of: &str, figures: &mut Figures) -> Result<()> {
    let held = process.memory()?;
    for (name, kib) in [("Pss", held.pss), ("resident", held.rss)] {
        let figure = format!("memory of {way}, {of}, {name}");
        figures.add_alone(&figure, "MiB", kib as f64 / 1024.0, "")?;
    }
    Ok(())
}
