//! The disk of the spool is full, really: what can't be recorded is refused, the process is not ready, and it finds out by
//! itself when there is a way to record again. What was answered as recorded is delivered once, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says why it ends"
)]

#[path = "../client/mod.rs"]
mod client;
mod rig;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use client::{NAME, connect};
use rig::{Hook, Intake};

const CREATE: &str = include_str!("../reviews/build-create.json");

/// Who asks: another person each time, so that nothing is folded.
#[derive(Default)]
struct People {
    asked: u32,
    /// Those whose refusal was answered as recorded.
    recorded: BTreeMap<String, u32>,
}

impl People {
    /// Whether the next one's refusal is recorded. If it is not, the answer is the one for that.
    async fn ask(&mut self, hook: &Hook) -> bool {
        self.asked += 1;
        let user = format!("user-{}", self.asked);
        let mut review: Value = serde_json::from_str(CREATE).unwrap();
        review["request"]["userInfo"]["username"] = user.as_str().into();
        let answer = post(hook, &review.to_string()).await;
        assert_eq!(answer["response"]["allowed"], false, "{answer}");
        let status = &answer["response"]["status"];
        match (status["code"].as_u64().unwrap(), status["reason"].as_str().unwrap()) {
            (403, "tenant_capability_not_entitled") => {
                self.recorded.insert(user, 1);
                true
            }
            (503, "decision_unavailable") => {
                let message = status["message"].as_str().unwrap();
                assert!(message.contains("what is decided can't be recorded"), "{message}");
                false
            }
            _ => panic!("{answer}"),
        }
    }

    /// Asks until nothing is recorded any more: what is left of the last page of a file takes an event or two.
    async fn ask_until_refused(&mut self, hook: &Hook) {
        for _ in 0..20 {
            if !self.ask(hook).await {
                return;
            }
        }
        panic!("the disk never was full");
    }

    async fn all_come_once(&self, intake: &Intake) {
        let until = Instant::now() + Duration::from_secs(60);
        while intake.got() != self.recorded {
            assert!(Instant::now() < until, "{:?} of {:?}", intake.got(), self.recorded);
            sleep(Duration::from_millis(100)).await;
        }
        // Nor does any come later.
        sleep(Duration::from_secs(3)).await;
        assert_eq!(intake.got(), self.recorded);
    }
}

/// An answer of the secure port.
async fn post(hook: &Hook, body: &str) -> Value {
    let mut stream = connect(hook.port, &hook.authority).await.unwrap();
    let head = format!(
        "POST /validate HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut said = String::new();
    // The end of TLS may not be told.
    let _ = stream.read_to_string(&mut said).await;
    serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn with_a_full_disk_and_no_intake_nothing_is_recorded_nor_answered_as_if_until_there_is_room() {
    let Some(hook) = Hook::begin().await else {
        return println!("not run: this machine allows no mount namespaces");
    };
    let (intake, mut people) = (Intake::default(), People::default());
    for _ in 0..3 {
        assert!(people.ask(&hook).await, "there is room");
    }
    hook.fill();
    people.ask_until_refused(&hook).await;
    hook.is_ready(false).await;
    let ready = hook.says("/readyz").await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("spool"), "{ready}");
    assert!(
        hook.says("/livez").await.unwrap().starts_with("HTTP/1.1 200"),
        "a restart would help nobody"
    );
    assert!(!people.ask(&hook).await, "whoever asks all the same is refused");

    hook.make_room();
    // Nobody asks meanwhile: it is not ready.
    hook.is_ready(true).await;
    assert!(people.ask(&hook).await, "there is room again");
    intake.answer(hook.intake).await;
    people.all_come_once(&intake).await;
}

#[tokio::test]
async fn an_intake_that_is_back_opens_the_door_again_however_full_the_disk_is() {
    let Some(hook) = Hook::begin().await else {
        return println!("not run: this machine allows no mount namespaces");
    };
    let (intake, mut people) = (Intake::default(), People::default());
    hook.fill();
    people.ask_until_refused(&hook).await;
    hook.is_ready(false).await;
    intake.answer(hook.intake).await;
    hook.is_ready(true).await;
    for _ in 0..3 {
        assert!(people.ask(&hook).await, "it is delivered at once");
    }
    people.all_come_once(&intake).await;
}
