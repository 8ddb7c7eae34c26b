//! A transaction that SQLite itself ended, as it does when the disk fails or is full, holds up nothing that comes later.

use crate::support::{Db, denial};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_rolled_back_itself_is_refused_and_the_next_is_stored() {
    let db = Db::sqlite().await;
    let store = db.store().await;
    store.append(vec![denial("first", 1)]).await.unwrap();
    let fails = "CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT RAISE(ROLLBACK, 'as a full disk'); END";
    db.sql(fails).await.unwrap();
    for _ in 0..3 {
        let told = store.append(vec![denial("second", 2)]).await.unwrap_err();
        assert!(told.to_string().contains("not available"), "{told}");
        assert!(store.failed().is_some());
    }
    db.sql("DROP TRIGGER fails").await.unwrap();
    store.append(vec![denial("second", 2)]).await.unwrap();
    assert!(store.failed().is_none());
    assert_eq!(db.all().await.len(), 2);
}
