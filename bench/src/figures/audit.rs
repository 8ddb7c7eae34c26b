//! How many events the audit's store makes durable in a second, and how long it takes to say so.
//!
//! A writer sends what it has and waits, as a replica of the webhook does: one event, or as many as came together.

use std::sync::Arc;
use std::time::Duration;

use imagefactory_crds::audit::AuditEvent;
use imagefactory_rig::postgres::Postgres;
use imagefactory_store::{Options, Store};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::Sizes;
use crate::error::{BenchError, Result, Trying};
use crate::output::{Figures, percentile};

/// Events of one batch where several came together.
const TOGETHER: usize = 64;
const GOAL_RATE: &str = "3,000";
const GOAL_WAIT: &str = "20";

/// Both databases.
pub(super) async fn take(sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir().trying("could not make a folder")?;
    let url = format!("sqlite://{}", folder.path().join("audit.db").display());
    on("SQLite", &url, sizes, figures).await?;
    match Postgres::start().await? {
        Some(server) => on("PostgreSQL", &server.url(), sizes, figures).await,
        None => Ok(()),
    }
}

async fn on(database: &str, url: &str, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let store = Store::open(url, Options::default())
        .await
        .map_err(|error| wrong(&error))?;
    let store = Arc::new(store);
    for writers in [1, 16] {
        for batch in [1, TOGETHER] {
            let time = Duration::from_secs(sizes.load_seconds);
            let (rate, waits) = append(&store, writers, batch, time).await?;
            let how = format!("{database}, {writers} writers, {batch} in a batch");
            figures.add_alone(&format!("audit events stored, {how}"), "1/s", rate, GOAL_RATE)?;
            figures.add_alone(
                &format!("acknowledged, {how}, p99"),
                "ms",
                percentile(waits, 0.99),
                GOAL_WAIT,
            )?;
        }
    }
    Ok(())
}

async fn append(store: &Arc<Store>, writers: usize, batch: usize, time: Duration) -> Result<(f64, Vec<Duration>)> {
    let began = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut waits = Vec::new();
            let mut stored = 0;
            while began.elapsed() < time {
                let run = format!("{writers}-{batch}-{writer}-{}", waits.len());
                let events: Result<Vec<_>> = (0..batch).map(|number| event(&format!("{run}-{number}"))).collect();
                let asked = Instant::now();
                stored += store.append(events?).await.map_err(|error| wrong(&error))?.stored;
                waits.push(asked.elapsed());
            }
            Ok::<_, BenchError>((stored, waits))
        })
    });
    let (mut stored, mut waits) = (0, Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (more, waited) = task.await.map_err(|error| wrong(&error))??;
        stored += more;
        waits.extend(waited);
    }
    Ok((stored as f64 / began.elapsed().as_secs_f64(), waits))
}

/// A refusal, as the webhook tells it, of somebody else each: none is counted together with others.
fn event(id: &str) -> Result<AuditEvent> {
    serde_json::from_value(json!({
        "id": id, "time": Timestamp::now(), "kind": "denial", "action": "create", "tenant": "acme", "project": "shop",
        "actor": {"user": format!("user-{id}"), "groups": ["acme-team", "system:authenticated"]},
        "resource": {"kind": "Build", "namespace": "tenant-acme", "name": format!("build-{id}")},
        "code": "tenant_capability_not_entitled", "capability": "build",
        "message": "Image build is not enabled for this tenant. Contact your administrator to request access.",
        "foldKey": format!("{id:0>64}"),
    }))
    .trying("an event")
}

fn wrong(error: &dyn std::error::Error) -> BenchError {
    BenchError::Wrong(error.to_string())
}
