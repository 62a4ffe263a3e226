//! SIGTERM and SIGINT: the first asks for a drain, the second ends at once.
use crate::failure::{During, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens from now on, so that no signal is lost before [`Signals::cancel`] is polled.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals over from the system's default.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate()).during("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).during("listening for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Cancels `stop` at the first signal and leaves the process at the second.
    pub async fn cancel(mut self, stop: CancellationToken) {
        self.next().await;
        tracing::info!("stop signal: draining");
        stop.cancel();
        self.next().await;
        std::process::exit(130);
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}
