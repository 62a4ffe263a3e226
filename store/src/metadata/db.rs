//! The database handle that metadata and SQL queue share: connections, transactions and their retries, reading rows.
//! Invariant: all writing on SQLite goes through one writer at a time, so that nothing there waits in vain or deadlocks.
//! sqlx's `Any` driver knows BIGINT, TEXT and bytes here and nothing else: flags are 0 or 1, documents JSON text.
use crate::conductor::{Conductor, conduct, conducted};
use crate::{Millis, StoreError, tls};
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Row, Transaction};
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For a free, live connection, opening one included; a proxy answers 503 rather than wait longer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// For one read or one write transaction as a whole; outlasts SQLite's own wait for another process.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);
/// Attempts at a transaction that the database undid for another one's sake.
const ATTEMPTS: u32 = 5;

/// SQLite: the wait for other processes first, because turning on the log needs the file.
const SQLITE_SESSION: &str = "pragma busy_timeout = 10000; pragma journal_mode = wal; pragma synchronous = full; \
     pragma foreign_keys = on;";
/// PostgreSQL: no statement outlives its caller's patience, and a frozen process does not keep the change feed locked.
const POSTGRES_SESSION: &str = "set statement_timeout = '10s'; set idle_in_transaction_session_timeout = '15s';";

/// Which database serves; only where their SQL differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

/// A pool of connections with what its kind needs.
#[derive(Clone)]
pub(crate) struct Db {
    pool: AnyPool,
    kind: Kind,
    options: AnyConnectOptions,
    /// One permit, on SQLite only.
    writer: Option<Arc<Semaphore>>,
    /// In a simulation only.
    conductor: Option<Arc<dyn Conductor>>,
}

impl fmt::Debug for Db {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// An open write transaction; rolls back when dropped.
pub(crate) struct Writing {
    transaction: Transaction<'static, Any>,
    _writer: Option<OwnedSemaphorePermit>,
}

/// How a write transaction ended.
pub(crate) enum Ended<T> {
    Done(T),
    /// Undone by the database because of a concurrent one; worth another attempt.
    Again(StoreError),
}

/// Runs `$body` in a write transaction, again where the database undid it for another one's sake. `$body` may run more
/// than once and must not move what it captures. Cancel: a dropped future leaves nothing behind, or all if it had
/// come to the commit.
macro_rules! write {
    ($db:expr, $connection:ident => $body:block) => {
        'attempts: {
            let db: &$crate::metadata::db::Db = $db;
            let mut attempt = 1;
            loop {
                let ended = db
                    .within(Box::pin(async {
                        let mut writing = db.begin().await?;
                        let outcome: Result<_, $crate::StoreError> = async {
                            let $connection: &mut sqlx::AnyConnection = writing.connection();
                            $body
                        }
                        .await;
                        writing.end(outcome).await
                    }))
                    .await;
                match ended {
                    Ok($crate::metadata::db::Ended::Done(value)) => break 'attempts Ok(value),
                    Ok($crate::metadata::db::Ended::Again(error)) => {
                        if !db.wait_before_attempt(&mut attempt).await {
                            break 'attempts Err(error);
                        }
                    }
                    Err(error) => break 'attempts Err(error),
                }
            }
        }
    };
}
pub(crate) use write;

impl Db {
    /// Opens the pool and one connection. `postgresql://…` or `sqlite:PATH`; an SQLite file is created where missing.
    pub(crate) async fn connect(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        tls::install_provider();
        let (kind, url) = parse_url(url)?;
        let in_memory = kind == Kind::Sqlite && (url.contains(":memory:") || url.contains("mode=memory"));
        let options =
            AnyConnectOptions::from_str(&url).map_err(|e| StoreError::Invalid(format!("database url: {e}")))?;
        let session = match kind {
            Kind::Postgres => POSTGRES_SESSION,
            Kind::Sqlite => SQLITE_SESSION,
        };
        let mut pool = AnyPoolOptions::new()
            .max_connections(if in_memory { 1 } else { max_connections.max(1) })
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A server may have gone meanwhile; a file stays.
            .test_before_acquire(kind == Kind::Postgres)
            .after_connect(move |connection, _| Box::pin(async move { connection.execute(session).await.map(drop) }));
        if in_memory {
            // Such a database lives and dies with its only connection.
            pool = pool.min_connections(1).idle_timeout(None).max_lifetime(None);
        } else {
            // A full disk ends SQLite's transaction without its driver's knowledge, and the driver would begin no other.
            let is_usable = |connection: &AnyConnection| !connection.is_in_transaction();
            pool = pool.before_acquire(move |connection, _| Box::pin(async move { Ok(is_usable(connection)) }));
        }
        let pool = pool.connect_lazy_with(options.clone());
        let writer = (kind == Kind::Sqlite).then(|| Arc::new(Semaphore::new(1)));
        let db = Self { pool, kind, options, writer, conductor: None };
        db.ping().await?;
        Ok(db)
    }

    /// The same database, whose operations through this handle are conducted.
    pub(crate) fn conducted(&self, conductor: Arc<dyn Conductor>) -> Self {
        Self { conductor: Some(conductor), ..self.clone() }
    }

    /// The process's clock.
    pub(crate) fn now(&self) -> Millis {
        self.conductor.as_ref().map_or_else(now, |conductor| conductor.clocks().process)
    }

    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// A connection outside the pool, without its limits of time; for migrations, which may run long.
    pub(crate) async fn connect_alone(&self) -> Result<AnyConnection, StoreError> {
        Ok(AnyConnection::connect_with(&self.options).await?)
    }

    /// Whether SQLite's only connection holds the only copy of the data, so that no other may be opened.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.kind == Kind::Sqlite && self.pool.options().get_min_connections() == 1
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        usize::try_from(self.pool.size()).is_ok_and(|open| self.pool.num_idle() >= open)
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read(sqlx::query("select 1").fetch_one(&self.pool)).await.map(drop)
    }

    /// A read, within its time.
    pub(crate) async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, StoreError> {
        self.within(Box::pin(async { Ok(work.await?) })).await
    }

    /// Some operation, within its time. Boxed, so that this is compiled once for each kind of answer, and not for each of some 400 operations.
    pub(crate) async fn within<T>(&self, work: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        let in_time = async {
            match tokio::time::timeout(OPERATION_TIMEOUT, work).await {
                Ok(outcome) => outcome,
                Err(elapsed) => Err(StoreError::Unavailable(Box::new(elapsed))),
            }
        };
        match &self.conductor {
            None => in_time.await,
            Some(conductor) => conduct(conductor.as_ref(), in_time).await,
        }
    }

    /// Begins a write transaction. On SQLite the lock is taken at once: a lock upgraded later could fail for good.
    pub(crate) async fn begin(&self) -> Result<Writing, StoreError> {
        let permit = match &self.writer {
            Some(writer) => {
                Some(writer.clone().acquire_owned().await.map_err(|e| StoreError::Unavailable(Box::new(e)))?)
            }
            None => None,
        };
        let transaction = match self.kind {
            Kind::Postgres => self.pool.begin().await?,
            Kind::Sqlite => self.pool.begin_with("begin immediate").await?,
        };
        Ok(Writing { transaction, _writer: permit })
    }

    /// Waits a little and counts; `false` where there have been attempts enough.
    pub(crate) async fn wait_before_attempt(&self, attempt: &mut u32) -> bool {
        let jitter: u64 = rand::random_range(1..=20);
        tokio::time::sleep(Duration::from_millis(u64::from(*attempt) * jitter)).await;
        *attempt += 1;
        *attempt <= ATTEMPTS
    }
}

impl Writing {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Commits after success, else rolls back.
    pub(crate) async fn end<T>(self, outcome: Result<T, StoreError>) -> Result<Ended<T>, StoreError> {
        let error = match outcome {
            Ok(value) => match self.transaction.commit().await {
                Ok(()) => return Ok(Ended::Done(value)),
                Err(error) => StoreError::from(error),
            },
            Err(error) => {
                // A failed rollback adds nothing: the database rolls back by itself, and the connection is used no more.
                let _ = self.transaction.rollback().await;
                error
            }
        };
        if is_worth_another_attempt(&error) { Ok(Ended::Again(error)) } else { Err(error) }
    }
}

/// PostgreSQL: serialisation failure, deadlock; SQLite: busy in its three forms. All say that nothing was done.
fn is_worth_another_attempt(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref::<sqlx::Error>() else { return false };
    matches!(refusal.code().as_deref(), Some("40001" | "40P01" | "5" | "261" | "517"))
}

/// The kind of database that a URL names, and the URL as the driver wants it.
fn parse_url(url: &str) -> Result<(Kind, String), StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok((Kind::Postgres, url.to_owned()));
    }
    if !url.starts_with("sqlite:") {
        return Err(StoreError::Invalid("database url: begins with postgresql:// or sqlite:".into()));
    }
    let creates = url.contains("mode=") || url.contains(":memory:");
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok((Kind::Sqlite, if creates { url.to_owned() } else { format!("{url}{joint}mode=rwc") }))
}

/// The time that rows are stamped with.
pub(crate) fn now() -> Millis {
    if let Some(clocks) = conducted() {
        return clocks.process;
    }
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX)
}

/// In milliseconds; a hundred years at most, so that no sum with a time overflows in the database.
pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX).min(100 * 365 * 86_400_000)
}

/// Renders a document for its column.
pub(crate) fn render_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Invalid(format!("cannot be stored as JSON: {e}")))
}

/// Typed columns; a row that does not read is [`StoreError::Corrupt`], naming the column.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn int(&self, column: &'static str) -> Result<i64, StoreError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError>;
    fn parsed<T, E>(&self, column: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, StoreError> {
        parse(&self.text(column)?).map_err(|_| StoreError::Corrupt(column))
    }
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        self.parsed(column, |text| serde_json::from_str(text))
    }
    fn u32(&self, column: &'static str) -> Result<u32, StoreError> {
        u32::try_from(self.int(column)?).map_err(|_| StoreError::Corrupt(column))
    }
    fn u64(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| StoreError::Corrupt(column))
    }
    /// An object key, stored as bytes.
    fn key(&self) -> Result<s3gateway_s3::ObjectKey, StoreError> {
        let text = String::from_utf8(self.bytes("object_key")?).map_err(|_| StoreError::Corrupt("object_key"))?;
        s3gateway_s3::ObjectKey::parse(&text).map_err(|_| StoreError::Corrupt("object_key"))
    }
    fn backend(&self, column: &'static str) -> Result<s3gateway_config::BackendId, StoreError> {
        self.parsed(column, s3gateway_config::BackendId::parse_kept)
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.try_get(column).map_err(|_| StoreError::Corrupt(column))
    }
    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.try_get(column).map_err(|_| StoreError::Corrupt(column))
    }
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.try_get(column).map_err(|_| StoreError::Corrupt(column))
    }
}
