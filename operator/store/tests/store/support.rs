//! Databases, a clock and events for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use imagefactory_crds::audit::{Actor, AuditEvent, EventKind, Resource};
use imagefactory_crds::denial::Code;
use imagefactory_crds::entitlement::Capability;
use imagefactory_store::{Entry, Filter, Options, Page, Reader, Store};
use jiff::{SignedDuration, Timestamp};

use crate::postgres::shared;

/// 2026-01-01T00:00:00Z
pub const NEW_YEAR: i64 = 1_767_225_600;

/// A database of its own, and a clock.
pub struct Db {
    pub url: String,
    now: Arc<AtomicI64>,
    _folder: Option<tempfile::TempDir>,
}

impl Db {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("audit.db").display());
        Self::at(url, Some(folder))
    }

    pub async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::at(shared().database(&name).await, None)
    }

    pub fn at(url: String, folder: Option<tempfile::TempDir>) -> Self {
        Self {
            url,
            now: Arc::new(AtomicI64::new(NEW_YEAR)),
            _folder: folder,
        }
    }

    pub fn options(&self) -> Options {
        let now = self.now.clone();
        Options {
            fold_rate: 3,
            fold_window: Duration::from_secs(60),
            clock: Arc::new(move || Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap()),
            ..Options::default()
        }
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.url, self.options()).await.unwrap()
    }

    pub async fn reader(&self) -> Reader {
        Reader::open(&self.url).await.unwrap()
    }

    /// The clock shows so many seconds after the new year.
    pub fn set_clock(&self, seconds: i64) {
        self.now.store(NEW_YEAR + seconds, Ordering::SeqCst);
    }

    pub async fn list(&self, filter: &Filter) -> Vec<Entry> {
        let page = Page {
            before: None,
            limit: 1000,
            now: Timestamp::from_second(self.now.load(Ordering::SeqCst)).unwrap(),
            patience: SignedDuration::from_mins(5),
        };
        self.reader().await.list(filter, &page).await.unwrap()
    }

    /// Everything, oldest first.
    pub async fn all(&self) -> Vec<Entry> {
        let mut all = self.list(&Filter::default()).await;
        all.reverse();
        all
    }

    /// Statements behind the store's back.
    pub async fn sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        if let Some(path) = self.url.strip_prefix("sqlite://") {
            let pool = sqlx::SqlitePool::connect(path).await?;
            sqlx::raw_sql(statements).execute(&pool).await.map(drop)
        } else {
            let pool = sqlx::PgPool::connect(&self.url).await?;
            sqlx::raw_sql(statements).execute(&pool).await.map(drop)
        }
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }
}

/// A denial so many seconds after the new year.
pub fn denial(id: &str, seconds: i64) -> AuditEvent {
    AuditEvent {
        id: id.to_owned(),
        time: Timestamp::from_second(NEW_YEAR + seconds).unwrap(),
        kind: EventKind::Denial,
        actor: Actor {
            user: "mallory".to_owned(),
            groups: vec!["team".to_owned()],
        },
        action: "create".to_owned(),
        resource: Resource {
            kind: "Build".to_owned(),
            namespace: "tenant-acme".to_owned(),
            name: format!("build-{id}"),
            uid: String::new(),
        },
        tenant: Some("acme".to_owned()),
        project: Some("shop".to_owned()),
        code: Some(Code::TenantCapabilityNotEntitled),
        capability: Some(Capability::Build),
        message: "Image build is not enabled for this tenant.".to_owned(),
        reason: None,
        before: None,
        after: None,
        before_hash: String::new(),
        after_hash: String::new(),
        write_key: String::new(),
        fold_key: String::new(),
        count: 1,
    }
}

pub fn folding(id: &str, seconds: i64) -> AuditEvent {
    AuditEvent {
        fold_key: "f".repeat(64),
        ..denial(id, seconds)
    }
}

/// A change of a Tenant from one state to another.
pub fn attempt(id: &str, seconds: i64, states: (&str, &str)) -> AuditEvent {
    AuditEvent {
        kind: EventKind::Attempt,
        action: "update".to_owned(),
        resource: tenant(),
        code: None,
        capability: None,
        before_hash: states.0.to_owned(),
        after_hash: states.1.to_owned(),
        ..denial(id, seconds)
    }
}

pub fn confirmation(id: &str, seconds: i64, state: &str) -> AuditEvent {
    AuditEvent {
        kind: EventKind::Confirmation,
        ..attempt(id, seconds, ("", state))
    }
}

fn tenant() -> Resource {
    Resource {
        kind: "Tenant".to_owned(),
        name: "acme".to_owned(),
        uid: "0b1c".to_owned(),
        namespace: String::new(),
    }
}
