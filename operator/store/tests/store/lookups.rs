//! What is looked up for a batch, on a database whose planner goes by what it counted.

use std::time::Duration;

use imagefactory_crds::audit::AuditEvent;

use crate::support::{Db, denial};

/// How often the tables that grow were read whole, when nobody is connected any more: a connection tells as it ends.
async fn whole_reads(db: &Db) -> i64 {
    const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                        AND application_name = 'image-factory'";
    const READS: &str = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables WHERE relname IN ('audit', 'folded')";
    let pool = sqlx::PgPool::connect(&db.url).await.unwrap();
    loop {
        let (open,): (i64,) = sqlx::query_as(OPEN).fetch_one(&pool).await.unwrap();
        if open == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (reads,): (i64,) = sqlx::query_as(READS).fetch_one(&pool).await.unwrap();
    reads
}

fn batch(number: u32) -> Vec<AuditEvent> {
    let events = (0..64).map(|place| AuditEvent {
        write_key: format!("{:064x}", number * 64 + place),
        ..denial(&format!("{number}-{place}"), i64::from(number))
    });
    events.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_table_that_postgres_has_not_counted_is_never_read_whole_for_a_batch() {
    let db = Db::postgres().await;
    db.store().await.close().await;
    let before = whole_reads(&db).await;
    let store = db.store().await;
    for number in 0..20 {
        store.append(batch(number)).await.unwrap();
    }
    store.close().await;
    assert_eq!(whole_reads(&db).await, before);
    // That it counts at all:
    db.sql("SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(*) FROM audit")
        .await
        .unwrap();
    for _ in 0..500 {
        if whole_reads(&db).await > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a whole read is not counted");
}
