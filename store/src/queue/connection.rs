//! One way to ask Redis, single or cluster, that always answers within a deadline.
//! Every script is safe to repeat, so a question that a broken connection swallowed is asked once more.
mod conducted;

use super::scripts::Script;
use crate::{StoreError, tls};
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind,
    TlsCertificates, Value,
};
use arc_swap::ArcSwap;
pub(super) use conducted::Conducted;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// From question to answer, a reconnect and a second try included. A client's PUT waits at most this long before its mark goes to SQL.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// From SYN to a usable connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// After this long without an acknowledgement a host is gone and its connection is replaced.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

pub(super) enum Connection {
    Single(Box<Single>),
    Cluster {
        client: Box<ClusterClient>,
        link: OnceCell<ClusterConnection>,
    },
    /// In a simulation only.
    Conducted(Box<Conducted>),
}

/// A connection to one server, and what makes another.
pub(super) struct Single {
    client: Client,
    config: ConnectionManagerConfig,
    link: ArcSwap<ConnectionManager>,
}

impl Single {
    fn new(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let link = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self { client, config, link: ArcSwap::from_pointee(link) })
    }

    async fn ask(&self, cmd: &Cmd) -> RedisResult<Value> {
        let link = self.link.load_full();
        let answer = cmd.query_async(&mut ConnectionManager::clone(&link)).await;
        if answer.as_ref().is_err_and(is_turned_away) {
            // The manager connects again after I/O errors only, and would give this refusal as its answer for ever.
            let anew = ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone())?;
            self.link.compare_and_swap(&link, Arc::new(anew));
        }
        answer
    }
}

/// Whether the server refused the password or the database of a new connection, as it does when it has too many clients, too.
fn is_turned_away(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::ResponseError))
}

impl Connection {
    /// Several addresses mean a cluster. Connects at the first question, so a Redis that is away keeps nobody from starting.
    /// `ca` holds in PEM whom servers at `rediss://…` are believed by, instead of the system's CAs.
    ///
    /// # Errors
    /// `Invalid` for an address that cannot be one, which is not repeated, as it may hold a password, or for a bad `ca`.
    pub(super) fn new(urls: &[String], ca: Option<&[u8]>) -> Result<Self, StoreError> {
        tls::install_provider();
        if let Some(pem) = ca {
            check_ca(pem, urls)?;
        }
        let invalid = |_: RedisError| {
            StoreError::Invalid(
                "redis: an address is not of the form redis(s)://[user:password@]host[:port][/db]".into(),
            )
        };
        let certificates = ca.map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) });
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(UNACKNOWLEDGED);
        match urls {
            [] => Err(StoreError::Invalid("redis: no address given".into())),
            [url] => {
                let info = url.as_str().into_connection_info().map_err(invalid)?.set_tcp_settings(tcp);
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_max_delay(Duration::from_millis(100))
                    .set_connection_timeout(Some(CONNECT_WITHIN))
                    .set_response_timeout(Some(ANSWER_WITHIN));
                let client = match certificates {
                    Some(certificates) => Client::build_with_tls(info, certificates).map_err(invalid)?,
                    None => Client::open(info).map_err(invalid)?,
                };
                Ok(Self::Single(Box::new(Single::new(client, config).map_err(invalid)?)))
            }
            nodes => {
                let mut builder = ClusterClient::builder(nodes.iter().map(String::as_str))
                    .connection_timeout(CONNECT_WITHIN)
                    .response_timeout(ANSWER_WITHIN)
                    .tcp_settings(tcp);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                let client = builder.build().map_err(invalid)?;
                Ok(Self::Cluster { client: Box::new(client), link: OnceCell::new() })
            }
        }
    }

    /// Runs a script on the shard that its keys belong to.
    ///
    /// # Errors
    /// `Unavailable` where no answer came in time or Redis cannot serve; `Corrupt` for an answer of another shape.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        if let Self::Conducted(conducted) = self {
            return read(conducted.run(script, keys, args).await?);
        }
        let call = |name: &str, script: &str| {
            let mut cmd = ::redis::cmd(name);
            cmd.arg(script).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        within_deadline(async {
            match self.ask_twice(&call("EVALSHA", &script.sha1)).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.ask_twice(&call("EVAL", script.source)).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Sends one plain command.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn send<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        match self {
            Self::Conducted(conducted) => read(conducted.send(cmd).await?),
            _ => within_deadline(self.ask_twice(cmd)).await,
        }
    }

    async fn ask_twice(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self.ask(cmd).await {
            Err(error) if error.is_io_error() || is_turned_away(&error) => self.ask(cmd).await,
            answer => answer,
        }
    }

    async fn ask(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(single) => single.ask(cmd).await,
            Self::Cluster { client, link } => {
                let link = link.get_or_try_init(|| client.get_async_connection()).await?;
                cmd.query_async(&mut link.clone()).await
            }
            Self::Conducted(_) => Err((ErrorKind::InvalidClientConfig, "asked past its conductor").into()),
        }
    }
}

fn check_ca(pem: &[u8], urls: &[String]) -> Result<(), StoreError> {
    if !urls.iter().all(|url| url.starts_with("rediss:")) {
        return Err(StoreError::Invalid("redis: a CA has no use unless every address is rediss://".into()));
    }
    if tls::are_certificates(pem) {
        return Ok(());
    }
    Err(StoreError::Invalid("redis: the CA file holds what is no certificate, or none at all".into()))
}

async fn within_deadline<T: FromRedisValue>(asking: impl Future<Output = RedisResult<Value>>) -> Result<T, StoreError> {
    let answer = timeout(ANSWER_WITHIN, asking).await.map_err(unavailable)?.map_err(unavailable)?;
    read(answer)
}

fn read<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    ::redis::from_redis_value(answer).map_err(|_| StoreError::Corrupt("redis answered in another shape"))
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}
