//! `s3gateway dev`: three embedded backends, gateway, worker and admin API in one process on loopback, to try and to
//! develop. Invariant: nothing in it listens beyond loopback, because its keys stand in files and on the screen.
mod credentials;
mod embedded;
mod options;
mod places;
mod ports;
mod probe;
mod setup;
mod state;
mod welcome;

use crate::{
    admin_file::AdminFile,
    failure::{During, Failure},
    logging, private_file, runtime, serve,
    signals::Signals,
};
use embedded::EmbeddedBackends;
use prometheus::Registry;
use s3gateway_config::{Secret, settings::LogFormat};
use s3gateway_proxy::{Gateway, Listeners, ProxyParts, ProxySettings, UpstreamSettings, admin};
use s3gateway_store::{
    Metadata, Queue,
    secrets::{KeyProvider, LocalKey},
};
use s3gateway_worker::{Worker, WorkerParts, WorkerSettings};
use state::{DevFile, Folder};
use std::{collections::HashMap, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use options::DevOptions;

/// In-flight requests get this long after Ctrl-C: whoever presses it is waiting.
const GRACE: Duration = Duration::from_secs(5);

/// Embedded backends answer at once; a write that a kill has cut off keeps its key waiting for this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a killed process has claimed or seen holds a promotion up for so long; nothing that could be cut lies between this one and its store.
const LEASE: Duration = Duration::from_secs(20);

/// Everything that runs, and what stops it.
struct Running {
    gateway: Arc<Gateway>,
    backends: Arc<EmbeddedBackends>,
    endpoint: SocketAddr,
    tasks: TaskTracker,
    /// Cancelled at the first signal: no new requests, drain.
    draining: CancellationToken,
    /// Cancelled when the S3 side is done: the worker may stop.
    work: CancellationToken,
    /// Cancelled last: the admin API may stop.
    stop: CancellationToken,
}

/// Runs until a signal.
pub fn run(options: &DevOptions) -> Result<(), Failure> {
    if !options.host.is_loopback() {
        return Err(Failure::of_input(format!(
            "--host {}: `dev` shows its keys to whoever can read this screen, so it listens on loopback only; use `proxy` for anything else",
            options.host
        )));
    }
    logging::start(LogFormat::Human, &options.log_level)?;
    let runtime = runtime::start()?;
    let folder = Folder::open(&options.state)?;
    let running = runtime.block_on(start(options, &folder))?;
    let listeners = Listeners { plain: vec![running.endpoint], tls: Vec::new() };
    // Pingora runs its own runtimes: this thread is theirs until the drain is over.
    let served = s3gateway_proxy::serve(running.gateway.clone(), listeners, running.draining.clone());
    runtime.block_on(async {
        running.work.cancel();
        running.stop.cancel();
        running.tasks.close();
        running.tasks.wait().await;
        running.gateway.stop().await;
        running.backends.stop_all().await;
    });
    eprintln!("stopped; `s3gateway dev` finds everything as it was");
    served.map_err(Failure::new)
}

async fn start(options: &DevOptions, folder: &Folder) -> Result<Running, Failure> {
    let signals = Signals::listen()?;
    let mut known = folder.read_dev()?;
    let bound = ports::bind(options)?;
    known.complete_backends();
    folder.write_dev(&known)?;
    let backends = Arc::new(EmbeddedBackends::start(folder, &known, bound.backends).await?);

    let key = LocalKey::load_or_create(&folder.path("master.key")).during("the master key")?;
    let provider: Arc<dyn KeyProvider> = Arc::new(key);
    let url = format!("sqlite:{}", folder.path("metadata.db").display());
    let metadata = Metadata::connect(&url, 8, provider.clone()).await.during("the metadata store")?;
    metadata.migrate().await.during("migrating the metadata store")?;
    metadata.prove_master_key().await.during("the metadata store")?;
    setup::store_backends(&metadata, &known, &backends).await?;
    setup::create_tenants(&metadata, folder, &mut known).await?;

    let queue = metadata.sql_queue();
    if setup::has_only(&metadata, &backends).await? {
        // The folder's lock says that the last `dev` is dead, and its backends, into which its writes went, died with it.
        queue.take_over().await.during("taking the queue over")?;
    }
    let queue: Arc<dyn Queue> = Arc::new(queue);
    // Two parts of one process with some figures of the same name: a label tells whose they are.
    let (proxy_figures, worker_figures) = (labelled("proxy")?, labelled("worker")?);
    let gateway = Gateway::start(ProxyParts {
        settings: ProxySettings {
            signing_regions: places::signing_regions(),
            view_lease: LEASE,
            // No load balancer stands before it.
            drain_delay: Duration::ZERO,
            grace: GRACE,
            upstream: UpstreamSettings {
                read_timeout: ANSWER_TIMEOUT,
                write_timeout: ANSWER_TIMEOUT,
                allow_networks: loopback(),
                ..UpstreamSettings::default()
            },
            ..ProxySettings::default()
        },
        metadata: metadata.clone(),
        queue: queue.clone(),
        sealer: provider.sealer().await.during("deriving the sealing key")?,
        registry: proxy_figures.clone(),
    })
    .await
    .during("starting the gateway")?;
    let running = Running {
        gateway,
        backends,
        endpoint: bound.s3,
        tasks: TaskTracker::new(),
        draining: CancellationToken::new(),
        work: CancellationToken::new(),
        stop: CancellationToken::new(),
    };
    let admin_file = AdminFile::of(bound.admin.local_addr().during("the admin port")?, credentials::random_token());
    spawn_admin(&running, &metadata, &queue, vec![proxy_figures, worker_figures.clone()], bound.admin, &admin_file)?;
    spawn_worker(&running, metadata, queue, worker_figures)?;
    admin_file.write(folder.root())?;
    // Lives as long as the process: a second signal must be heard during the drain.
    tokio::spawn(signals.cancel(running.draining.clone()));
    spawn_announcement(options, folder, &running, known, admin_file);
    Ok(running)
}

fn labelled(process: &str) -> Result<Registry, Failure> {
    let label = HashMap::from([("process".to_owned(), process.to_owned())]);
    Registry::new_custom(None, Some(label)).during("the metrics")
}

/// The networks that embedded backends are in.
fn loopback<Network: FromStr>() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect()
}

fn spawn_admin(
    running: &Running,
    metadata: &Metadata,
    queue: &Arc<dyn Queue>,
    registries: Vec<Registry>,
    listener: std::net::TcpListener,
    file: &AdminFile,
) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener).during("the admin port")?;
    let router = admin::router(admin::AdminState {
        metadata: metadata.clone(),
        queue: queue.clone(),
        gateway: running.gateway.clone(),
        token: Secret::new(file.token.clone()),
        switch: Some(running.backends.clone()),
        allow_networks: loopback(),
        registries,
        draining: running.draining.clone(),
    });
    running.tasks.spawn(serve::serve(listener, router, running.stop.clone()));
    Ok(())
}

fn spawn_worker(
    running: &Running,
    metadata: Metadata,
    queue: Arc<dyn Queue>,
    registry: Registry,
) -> Result<(), Failure> {
    // Nothing but its user touches such backends.
    let reconcile_interval = Duration::ZERO;
    let allow_networks = loopback();
    let settings = WorkerSettings {
        drain_grace: GRACE,
        lease: LEASE,
        allow_networks,
        reconcile_interval,
        ..WorkerSettings::default()
    };
    let worker = Worker::new(WorkerParts { metadata, queue, settings, registry }).during("starting the worker")?;
    running.tasks.spawn(worker.run(running.work.clone()));
    Ok(())
}

/// Waits until everything answers, then says so: the ready file for scripts, the welcome for people.
fn spawn_announcement(options: &DevOptions, folder: &Folder, running: &Running, known: DevFile, admin_file: AdminFile) {
    let ready = state::ReadyFile::of(running.endpoint, &admin_file, &known, &running.backends.endpoints());
    let (ready_path, state) = (options.ready_file.clone(), folder.as_given().to_owned());
    let (draining, backends) = (running.draining.clone(), running.backends.endpoints());
    running.tasks.spawn(async move {
        let probed = probe::until_all_answer(&ready, &backends);
        let outcome = tokio::select! { outcome = probed => outcome, () = draining.cancelled() => return };
        let written = outcome.and_then(|()| match &ready_path {
            Some(path) => private_file::write(path, &ready),
            None => Ok(()),
        });
        match written {
            Ok(()) => print!("{}", welcome::render(&ready, &state)),
            Err(failure) => {
                eprintln!("{failure}");
                draining.cancel();
            }
        }
    });
}
