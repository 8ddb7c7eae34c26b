//! The audit's PostgreSQL is gone for a while, and comes back with what it had on its disk. Who is refused meanwhile is
//! answered, since what is told lies on the webhook's spool, and is on record once when it is back.

use imagefactory_rig::door::Door;
use imagefactory_rig::postgres::Postgres;
use tokio::time::{Duration, sleep};

use crate::asking::{Asking, Tally, Who};
use crate::{ALONE, is_on_record, plane, programs, unentitled};

/// How long it is asked before the database goes, while it is away, and when it is back.
const EACH: Duration = Duration::from_secs(4);

async fn asked(client: &kube::Client, name: &'static str) -> Tally {
    let asking = Asking::begin(client, 4, Who::Each(name));
    sleep(EACH).await;
    asking.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds, and PostgreSQL"]
async fn refusals_are_answered_while_the_database_is_away_and_on_record_once_when_it_is_back() {
    let _alone = ALONE.lock().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let programs = programs();
    let postgres = Postgres::start().await.unwrap();
    let mut postgres = postgres.expect("PostgreSQL is installed, as hack/test/run.sh has it");
    let plane = plane(&programs.root).await;
    let client = plane.client("load").await.unwrap();
    let door = Door::prepare(&plane, programs.clone()).await.unwrap();
    unentitled(&client).await;
    door.is_asked().await.unwrap();
    let _running = [door.webhook(true).unwrap(), door.audit(&postgres.url()).unwrap()];
    door.webhook_is_ready().await.unwrap();
    door.audit_is_ready().await.unwrap();

    let mut tally = asked(&client, "before").await;
    postgres.stop().unwrap();
    let away = asked(&client, "away").await;
    println!(
        "figure: {} refusals answered while the database was away, {} not",
        away.answered(),
        away.unanswered()
    );
    assert!(
        away.answered() > 20 && away.answered() > 10 * away.unanswered(),
        "who is refused is answered: {away:?}"
    );
    postgres.start_again().await.unwrap();
    tally.add(away);
    tally.add(asked(&client, "after").await);
    is_on_record(&programs.operator, &postgres.url(), &tally).await;
}
