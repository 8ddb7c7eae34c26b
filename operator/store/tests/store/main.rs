//! The store on both databases. Those on PostgreSQL need `IMAGEFACTORY_POSTGRES`, the directory of its programs;
//! `make test` sets it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod causes;
mod chain;
mod crash;
mod deliveries;
mod lists;
mod lookups;
mod postgres;
mod properties;
mod rolled_back;
mod support;

/// Each function becomes two tests: on SQLite, and on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::Db::sqlite().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL"]
            async fn $name() {
                super::$name($crate::support::Db::postgres().await).await;
            })*
        }
    };
}
