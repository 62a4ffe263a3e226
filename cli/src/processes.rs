//! The processes of production, each put together from one configuration: `proxy`, `worker`, `migrate`, `check-config`.
use crate::{
    failure::{During, Failure},
    logging, ops, runtime, serve,
    signals::Signals,
};
use clap::Args;
use prometheus::Registry;
use s3gateway_config::settings::{Environment, SecretsSettings, Settings};
use s3gateway_proxy::{Gateway, Listeners, ProxyParts, admin};
use s3gateway_store::{
    DeleteGuard, Metadata, Queue, Schema,
    queue::{RedisQueue, WithFallback},
    secrets::{KeyProvider, LocalKey},
};
use s3gateway_worker::{Worker, WorkerParts, WorkerSettings};
use std::{path::PathBuf, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The TOML file
    #[arg(long, value_name = "FILE", env = "S3GATEWAY_CONFIG", default_value = "/etc/s3gateway/s3gateway.toml")]
    pub config: PathBuf,
}

/// What `proxy` and `worker` both stand on.
struct Stores {
    metadata: Metadata,
    queue: Arc<dyn Queue>,
    provider: Arc<dyn KeyProvider>,
}

/// `s3gateway proxy`
pub fn proxy(from: &ConfigFile) -> Result<(), Failure> {
    let settings = load(from)?;
    logging::start(settings.log.format, &settings.log.level)?;
    let runtime = runtime::start()?;
    let (stop, draining) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let gateway = runtime.block_on(start_proxy(&settings, &draining, &stop, &tasks))?;
    let listeners = Listeners {
        plain: settings.proxy.listen.clone(),
        tls: settings.proxy.tls.iter().map(|tls| (tls.listen, tls.certificate.clone(), tls.key.clone())).collect(),
    };
    // Pingora runs its own runtimes: this thread is theirs until the drain is over.
    let served = s3gateway_proxy::serve(gateway.clone(), listeners, draining.clone());
    stop.cancel();
    runtime.block_on(async {
        tasks.close();
        tasks.wait().await;
        gateway.stop().await;
    });
    served.map_err(Failure::new)
}

async fn start_proxy(
    settings: &Settings,
    draining: &CancellationToken,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Arc<Gateway>, Failure> {
    let signals = Signals::listen()?;
    let stores = open(settings).await?;
    let registry = Registry::new();
    let gateway = Gateway::start(ProxyParts {
        settings: proxy_settings(settings),
        metadata: stores.metadata.clone(),
        queue: stores.queue.clone(),
        sealer: stores.provider.sealer().await.during("deriving the sealing key")?,
        registry: registry.clone(),
    })
    .await
    .during("starting the gateway")?;
    if let Some(configured) = &settings.admin {
        let listener =
            TcpListener::bind(configured.listen).await.during(&format!("admin.listen {}", configured.listen))?;
        let router = admin::router(admin::AdminState {
            metadata: stores.metadata,
            queue: stores.queue,
            gateway: gateway.clone(),
            token: configured.token.clone(),
            switch: None,
            allow_networks: settings.backends.allow_networks.clone(),
            registries: vec![registry],
            draining: draining.clone(),
        });
        tasks.spawn(serve::serve(listener, router, stop.clone()));
    }
    let draining = draining.clone();
    // Lives as long as the process: a second signal must be heard during the drain.
    tokio::spawn(signals.cancel(draining));
    tracing::info!(listen = ?settings.proxy.listen, version = env!("CARGO_PKG_VERSION"), "proxy started");
    Ok(gateway)
}

/// `s3gateway worker`
pub fn worker(from: &ConfigFile) -> Result<(), Failure> {
    let settings = load(from)?;
    logging::start(settings.log.format, &settings.log.level)?;
    runtime::start()?.block_on(async {
        let signals = Signals::listen()?;
        let stores = open(&settings).await?;
        let registry = Registry::new();
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let worker = Worker::new(WorkerParts {
            metadata: stores.metadata.clone(),
            queue: stores.queue.clone(),
            settings: worker_settings(&settings),
            registry: registry.clone(),
        })
        .during("starting the worker")?;
        let listen = settings.worker.listen;
        let listener = TcpListener::bind(listen).await.during(&format!("worker.listen {listen}"))?;
        let router = ops::router(ops::Ops {
            metadata: stores.metadata,
            queue: stores.queue,
            registry,
            draining: draining.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(serve::serve(listener, router, stop.clone()));
        // Lives as long as the process: a second signal must be heard during the drain.
        tokio::spawn(signals.cancel(draining.clone()));
        worker.run(draining).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(())
    })
}

/// `s3gateway migrate`
pub fn migrate(from: &ConfigFile) -> Result<(), Failure> {
    let settings = load(from)?;
    logging::start(settings.log.format, &settings.log.level)?;
    runtime::start()?.block_on(async {
        let metadata = connect(&settings, provider(&settings)?).await?;
        metadata.migrate().await.during("migrating")?;
        println!("the schema is up to date");
        Ok(())
    })
}

/// `s3gateway rewrap-secrets`
pub fn rewrap_secrets(from: &ConfigFile) -> Result<(), Failure> {
    let settings = load(from)?;
    logging::start(settings.log.format, &settings.log.level)?;
    runtime::start()?.block_on(async {
        let metadata = connect(&settings, provider(&settings)?).await?;
        verify_schema(metadata.schema().await.during("reading the schema's version")?)?;
        let rewrapped = metadata.rewrap_secrets().await.during("sealing the secrets anew")?;
        println!("secrets sealed anew: {rewrapped}; all are under the first master key");
        Ok(())
    })
}

/// `s3gateway check-config`
pub fn check_config(from: &ConfigFile) -> Result<(), Failure> {
    let settings = load(from)?;
    provider(&settings)?;
    runtime::start()?.block_on(redis(&settings, None))?;
    println!("{}: no faults", from.config.display());
    Ok(())
}

fn load(from: &ConfigFile) -> Result<Settings, Failure> {
    Settings::load(&from.config, &Environment::of_process()).map_err(|faults| Failure::of_input(faults.to_string()))
}

async fn open(settings: &Settings) -> Result<Stores, Failure> {
    let provider = provider(settings)?;
    let metadata = connect(settings, provider.clone()).await?;
    verify_schema(metadata.schema().await.during("reading the schema's version")?)?;
    metadata.prove_master_key().await.during("secrets")?;
    let queue: Arc<dyn Queue> = match redis(settings, Some(metadata.clone())).await? {
        Some(redis) => Arc::new(WithFallback::new(redis, metadata.sql_queue())),
        None => Arc::new(metadata.sql_queue()),
    };
    Ok(Stores { metadata, queue, provider })
}

/// Refuses a schema that is not this version's, and says what to do.
fn verify_schema(schema: Schema) -> Result<(), Failure> {
    let what = match schema {
        Schema::Current => return Ok(()),
        Schema::Older => "older than this version: run `s3gateway migrate` of this version",
        Schema::Newer => "newer than this version: start the version that has migrated it",
        Schema::Foreign => "of another line of versions: start the one that has migrated it",
    };
    Err(Failure::new(format!("the metadata store's schema is {what}")))
}

/// The queue on Redis, if it is configured; connects at its first use.
async fn redis(settings: &Settings, metadata: Option<Metadata>) -> Result<Option<RedisQueue>, Failure> {
    let from = &settings.queue;
    if from.redis.is_empty() {
        return Ok(None);
    }
    let urls: Vec<String> = from.redis.iter().map(|url| url.expose().clone()).collect();
    let (ca, shards) = (from.ca.as_deref(), from.shards.get());
    let queue = RedisQueue::connect(&urls, ca, &from.prefix, shards, metadata).await;
    queue.during("queue.redis").map(Some)
}

async fn connect(settings: &Settings, provider: Arc<dyn KeyProvider>) -> Result<Metadata, Failure> {
    let connections = settings.metadata.max_connections.get();
    Metadata::connect(settings.metadata.url.expose(), connections, provider).await.during("metadata.url")
}

/// The master key. A file that is missing is not made here: a gateway with a new key could open none of its secrets.
fn provider(settings: &Settings) -> Result<Arc<dyn KeyProvider>, Failure> {
    let key = match &settings.secrets {
        SecretsSettings::Hex(key) => LocalKey::from_hex(key.expose()).during("S3GATEWAY_MASTER_KEY")?,
        SecretsSettings::File(path) if path.is_file() => {
            LocalKey::load_or_create(path).during(&format!("secrets.master_key_file {}", path.display()))?
        }
        SecretsSettings::File(path) => {
            let path = path.display();
            return Err(Failure::new(format!(
                "secrets.master_key_file {path} is missing: openssl rand -hex 32 > {path}; chmod 600 {path}"
            )));
        }
    };
    Ok(Arc::new(key))
}

fn proxy_settings(settings: &Settings) -> s3gateway_proxy::ProxySettings {
    let (from, defaults) = (&settings.proxy, s3gateway_proxy::ProxySettings::default());
    s3gateway_proxy::ProxySettings {
        domains: from.domains.clone(),
        signing_regions: from.signing_regions.clone(),
        place: from.place.clone(),
        upstream: s3gateway_proxy::UpstreamSettings {
            connect_timeout: from.upstream.connect_timeout,
            read_timeout: from.upstream.read_timeout,
            write_timeout: from.upstream.write_timeout,
            idle_timeout: from.upstream.idle_timeout,
            pool_size: count(from.upstream.pool_size),
            probe_interval: from.upstream.probe_interval,
            allow_networks: settings.backends.allow_networks.clone(),
        },
        breaker: s3gateway_proxy::BreakerSettings {
            failures: from.breaker.failures.get(),
            open_for: from.breaker.open_for,
            open_at_most: from.breaker.open_at_most,
        },
        view_lease: from.view.lease,
        feed_interval: from.view.poll_interval,
        cache_entries: u64::from(from.view.cache_entries.get()),
        downstream_keepalive: from.limits.keepalive,
        downstream_idle: from.limits.idle,
        downstream_progress: from.limits.progress,
        drain_delay: from.limits.drain_delay,
        grace: from.limits.grace,
        threads: from.limits.threads.map_or(defaults.threads, count),
    }
}

fn worker_settings(settings: &Settings) -> WorkerSettings {
    let from = &settings.worker;
    WorkerSettings {
        allow_networks: settings.backends.allow_networks.clone(),
        concurrency: count(from.concurrency),
        large_concurrency: count(from.large_concurrency),
        large_object: u64::from(from.large_object_mib.get()) << 20,
        backend_concurrency: count(from.backend_concurrency),
        backend_bandwidth: (from.backend_bandwidth_mib > 0).then(|| u64::from(from.backend_bandwidth_mib) << 20),
        lease: from.lease,
        max_attempts: from.max_attempts.get(),
        poll_interval: from.poll_interval,
        backoff_base: from.retry_after,
        backoff_max: from.retry_at_most,
        drain_grace: from.grace,
        history: from.history,
        reconcile_interval: from.reconcile_interval,
        reconcile_rate: from.reconcile_rate,
        backfill_rate: from.backfill_rate,
        backlog: u64::from(from.backlog.get()),
        delete_guard: DeleteGuard { percent: from.delete_guard, ..DeleteGuard::default() },
        ..WorkerSettings::default()
    }
}

fn count(number: std::num::NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_what_to_do_about_a_schema_that_is_not_its_own() {
        for (schema, want) in [
            (Schema::Older, "run `s3gateway migrate`"),
            (Schema::Newer, "start the version that has migrated it"),
            (Schema::Foreign, "another line of versions"),
        ] {
            let said = verify_schema(schema).unwrap_err().message;
            assert!(said.contains(want), "{schema:?}: {said}");
        }
        assert!(verify_schema(Schema::Current).is_ok());
    }

    #[test]
    fn the_files_defaults_are_the_processes_own() {
        let text = "[metadata]\nurl = \"sqlite:x.db\"\n";
        let key = ("S3GATEWAY_MASTER_KEY".to_owned(), "0".repeat(64));
        let settings = Settings::parse("f", text, &Environment::of([key])).unwrap();
        let proxy = proxy_settings(&settings);
        assert_eq!(format!("{proxy:?}"), format!("{:?}", s3gateway_proxy::ProxySettings::default()));
        assert_eq!(format!("{:?}", worker_settings(&settings)), format!("{:?}", WorkerSettings::default()));
    }

    #[test]
    fn networks_for_backends_reach_proxy_and_worker_without_an_admin_api() {
        let text = "[metadata]\nurl = \"sqlite:x.db\"\n[backends]\nallow_networks = [\"10.20.0.0/16\"]\n";
        let key = ("S3GATEWAY_MASTER_KEY".to_owned(), "0".repeat(64));
        let settings = Settings::parse("f", text, &Environment::of([key])).unwrap();
        let networks = [proxy_settings(&settings).upstream.allow_networks, worker_settings(&settings).allow_networks];
        assert!(networks.iter().flatten().map(ToString::to_string).eq(["10.20.0.0/16"; 2]), "{networks:?}");
    }
}
