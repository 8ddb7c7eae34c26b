//! The chain: append-only, whole with several who write, and not to be changed unseen.

use imagefactory_store::{Broken, Head, Problem};

use crate::on_both;
use crate::support::{Db, denial, folding};

on_both!(
    no_statement_changes_or_removes_an_entry,
    verify_names_the_first_bad_entry,
    a_chain_that_was_rewritten_whole_is_another_than_what_was_noted,
    two_processes_keep_one_chain,
    a_reader_verifies_while_another_writes,
);

const UNLOCK: [&str; 2] = [
    "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; DROP TRIGGER audit_no_replace;",
    "DROP TRIGGER audit_no_change ON audit;",
];

async fn filled(db: &Db) -> Head {
    let store = db.store().await;
    for number in 0..20 {
        store.append(vec![denial(&format!("n{number}"), number)]).await.unwrap();
    }
    store.close().await;
    db.reader().await.head().await.unwrap()
}

async fn no_statement_changes_or_removes_an_entry(db: Db) {
    filled(&db).await;
    let mut forbidden = vec![
        "UPDATE audit SET actor = 'x' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 20",
    ];
    if db.is_sqlite() {
        forbidden.push("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 20");
    } else {
        forbidden.push("TRUNCATE audit");
    }
    for statement in forbidden {
        let error = db.sql(statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    let verified = db.reader().await.verify(None).await.unwrap().unwrap();
    assert_eq!(verified.head.seq, 20);
}

async fn verify_names_the_first_bad_entry(db: Db) {
    filled(&db).await;
    let unlock = UNLOCK[usize::from(!db.is_sqlite())];
    db.sql(unlock).await.unwrap();
    db.sql("CREATE TABLE kept AS SELECT * FROM audit").await.unwrap();
    let swap = "UPDATE audit SET seq = 999 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; \
                UPDATE audit SET seq = 5 WHERE seq = 999";
    let cases = [
        (
            "UPDATE audit SET event = REPLACE(event, 'mallory', 'alice') WHERE seq = 7",
            7,
            Problem::Hash,
        ),
        ("UPDATE audit SET actor = 'alice' WHERE seq = 7", 7, Problem::Columns),
        ("UPDATE audit SET count = 2 WHERE seq = 7", 7, Problem::Columns),
        ("UPDATE audit SET hash = prev_hash WHERE seq = 7", 7, Problem::Hash),
        ("UPDATE audit SET prev_hash = hash WHERE seq = 7", 7, Problem::Link),
        ("DELETE FROM audit WHERE seq = 7", 7, Problem::Gap),
        ("DELETE FROM audit WHERE seq = 1", 1, Problem::Gap),
        ("DELETE FROM audit WHERE seq >= 19", 19, Problem::End),
        (swap, 4, Problem::Link),
        (
            "DELETE FROM audit WHERE seq = 7; UPDATE audit SET seq = seq - 1 WHERE seq > 7 AND seq < 9",
            7,
            Problem::Link,
        ),
        ("UPDATE chain SET hash = '00'", 20, Problem::End),
    ];
    for (tamper, seq, problem) in cases {
        db.sql(tamper).await.unwrap();
        let found = db.reader().await.verify(None).await.unwrap();
        assert_eq!(found, Err(Broken { seq, problem }), "{tamper}");
        db.sql("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept ORDER BY seq")
            .await
            .unwrap();
        db.sql("UPDATE chain SET seq = 20, hash = (SELECT hash FROM kept WHERE seq = 20)")
            .await
            .unwrap();
        db.reader().await.verify(None).await.unwrap().unwrap();
    }
}

async fn a_chain_that_was_rewritten_whole_is_another_than_what_was_noted(db: Db) {
    let noted = filled(&db).await;
    let reader = db.reader().await;
    reader.verify(Some(&noted)).await.unwrap().unwrap();
    db.sql(UNLOCK[usize::from(!db.is_sqlite())]).await.unwrap();
    let again = format!(
        "DELETE FROM audit; UPDATE chain SET seq = 0, hash = '{}'",
        "0".repeat(64)
    );
    db.sql(&again).await.unwrap();
    let expected = Broken {
        seq: 1,
        problem: Problem::Noted,
    };
    assert_eq!(reader.verify(Some(&noted)).await.unwrap(), Err(expected));
    let store = db.store().await;
    for number in 0..25 {
        store
            .append(vec![denial(&format!("other{number}"), number)])
            .await
            .unwrap();
    }
    reader.verify(None).await.unwrap().unwrap();
    let expected = Broken {
        seq: 20,
        problem: Problem::Noted,
    };
    assert_eq!(reader.verify(Some(&noted)).await.unwrap(), Err(expected));
}

async fn two_processes_keep_one_chain(db: Db) {
    let stores = [db.store().await, db.store().await];
    let stores = stores.map(std::sync::Arc::new);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..400 {
        let store = stores[number % 2].clone();
        // Every event is sent to both at some time, and half of them are too many of their kind.
        let id = format!("n{}", number / 2);
        let event = if number % 4 < 2 {
            denial(&id, 5)
        } else {
            folding(&id, 5)
        };
        tasks.spawn(async move { store.append(vec![event]).await.unwrap().stored });
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(stored, 200);
    db.set_clock(600);
    for store in &stores {
        store.append(vec![denial("end", 600)]).await.unwrap();
        assert_eq!(store.counts().values().sum::<u64>(), 201);
    }
    let verified = db.reader().await.verify(None).await.unwrap().unwrap();
    assert_eq!(verified.head.seq, 100 + 3 + 1 + 1);
    let total: u64 = db.all().await.iter().map(|entry| entry.event.count).sum();
    assert_eq!(total, 201);
}

async fn a_reader_verifies_while_another_writes(db: Db) {
    let store = std::sync::Arc::new(db.store().await);
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..100 {
                store.append(vec![denial(&format!("n{number}"), 1)]).await.unwrap();
            }
        }
    });
    let reader = db.reader().await;
    while !writing.is_finished() {
        reader.verify(None).await.unwrap().unwrap();
    }
    writing.await.unwrap();
    assert_eq!(reader.verify(None).await.unwrap().unwrap().head.seq, 100);
}
