//! How the program is asked to stop.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two requests to stop: the first lets open work finish, the second does not.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new work; what is open finishes.
    pub soft: CancellationToken,
    /// Nothing finishes any more.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// Takes SIGINT and SIGTERM from now on; gives a future that turns the first of them into the soft request and the
    /// second into the hard one.
    ///
    /// # Errors
    /// If the system does not let us take them.
    pub fn on_signals(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let Self { soft, hard } = self.clone();
        Ok(async move {
            for request in [soft, hard] {
                tokio::select! {
                    _ = interrupt.recv() => tracing::info!("SIGINT received"),
                    _ = terminate.recv() => tracing::info!("SIGTERM received"),
                }
                request.cancel();
            }
        })
    }
}
