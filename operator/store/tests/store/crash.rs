//! Killed at any moment: what was acknowledged is there, and nothing is there twice.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use imagefactory_crds::audit::AuditEvent;

use crate::on_both;
use crate::postgres::Server;
use crate::support::{Db, denial, folding};

on_both!(twenty_kills_lose_nothing_that_was_acknowledged_and_double_nothing);

const URL: &str = "IMAGEFACTORY_TEST_STORE";
const ROUND: &str = "IMAGEFACTORY_TEST_ROUND";

/// How often, which `make soak` sets higher.
fn kills() -> usize {
    std::env::var("IMAGEFACTORY_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

fn event(id: &str) -> AuditEvent {
    // Two of three are a flood.
    if id.len().is_multiple_of(3) {
        denial(id, 5)
    } else {
        folding(id, 5)
    }
}

/// Appends until it is killed, from several tasks at a time, and says what it tries and what is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test that kills it"]
async fn child_that_appends() {
    let Ok(url) = std::env::var(URL) else { return };
    let round = std::env::var(ROUND).unwrap();
    let store = std::sync::Arc::new(Db::at(url, None).store().await);
    let tasks = (0..4).map(|task| {
        let (store, round) = (store.clone(), round.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let ids: Vec<_> = (0..3).map(|part| format!("r{round}-{task}-{number}-{part}")).collect();
                say("try", &ids);
                store.append(ids.iter().map(|id| event(id)).collect()).await.unwrap();
                say("ack", &ids);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn say(word: &str, ids: &[String]) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "\n{word} {}", ids.join(" ")).unwrap();
    output.flush().unwrap();
}

fn child(url: &str, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_appends", "--ignored", "--nocapture"])
        .env(URL, url)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a child tried and what it was told is durable, before it was killed.
fn run_and_kill(url: &str, round: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut child = child(url, round);
    let output = child.stdout.take().unwrap();
    let (mut tried, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    let until = 3 + 7 * (round % 20);
    let mut batches = 0;
    let mut lines = BufReader::new(output).lines();
    while let Some(Ok(line)) = lines.next() {
        let mut words = line.split(' ').map(str::to_owned);
        match words.next().as_deref() {
            Some("try") => tried.extend(words),
            Some("ack") => {
                acknowledged.extend(words);
                batches += 1;
                if batches == until {
                    // At a moment of its own in each round, most likely within a transaction.
                    std::thread::sleep(Duration::from_micros(137 * round as u64));
                    child.kill().unwrap();
                }
            }
            _ => {}
        }
    }
    child.wait().unwrap();
    assert!(batches >= until, "the child ended by itself after {batches} batches");
    (tried, acknowledged)
}

async fn twenty_kills_lose_nothing_that_was_acknowledged_and_double_nothing(db: Db) {
    db.store().await.close().await;
    let mut all = BTreeSet::new();
    for round in 0..kills() {
        let url = db.url.clone();
        let killed = tokio::task::spawn_blocking(move || run_and_kill(&url, round));
        let (tried, acknowledged) = killed.await.unwrap();
        let store = db.store().await;
        let again = store
            .append(acknowledged.iter().map(|id| event(id)).collect())
            .await
            .unwrap();
        assert_eq!(again.stored, 0, "round {round}: acknowledged and not there");
        // Whoever was not answered asks again, and so does one who was.
        store.append(tried.iter().map(|id| event(id)).collect()).await.unwrap();
        all.extend(tried);
        assert_eq!(store.counts().values().sum::<u64>(), all.len() as u64, "round {round}");
        store.close().await;
        db.reader().await.verify(None).await.unwrap().unwrap();
    }
    db.set_clock(600);
    db.store().await.close().await;
    let alone: BTreeSet<_> = all.iter().filter(|id| event(id).fold_key.is_empty()).cloned().collect();
    let mut stored = BTreeSet::new();
    let mut total = 0;
    let mut page = imagefactory_store::Page {
        before: None,
        limit: 1000,
        now: jiff::Timestamp::now(),
        patience: jiff::SignedDuration::ZERO,
    };
    loop {
        let entries = db
            .reader()
            .await
            .list(&imagefactory_store::Filter::default(), &page)
            .await
            .unwrap();
        let Some(last) = entries.last() else { break };
        page.before = Some(last.seq);
        for entry in entries {
            total += entry.event.count;
            assert!(
                stored.insert(entry.event.id.clone()),
                "{} is there twice",
                entry.event.id
            );
        }
    }
    assert_eq!(total, all.len() as u64);
    assert!(alone.is_subset(&stored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_postgres_that_goes_away_and_comes_back_is_written_to_again() {
    let mut server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let db = Db::at(server.database("away").await, None);
    let store = db.store().await;
    store.append(vec![denial("a", 0)]).await.unwrap();
    server.stop();
    let error = store.append(vec![denial("b", 1)]).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(error.to_string(), "the database is not available");
    assert!(store.failed().is_some());
    server.start_again();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.append(vec![denial("b", 1)]).await {
        assert!(error.may_pass() && std::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.failed().is_none());
    assert_eq!(db.all().await.len(), 2);
    store.close().await;
}
