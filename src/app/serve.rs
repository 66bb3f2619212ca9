//! Starting, running, stopping.

use super::connections::serve_connections;
use super::shutdown::Shutdown;
use super::{App, Parts, Settings, workers};
use crate::adapters::agents::builtin::BuiltinAgent;
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::adapters::data_dir::{DataDir, Lock};
use crate::adapters::events::BroadcastEvents;
use crate::adapters::host::{OsEntropy, SystemClock};
use crate::adapters::in_memory::InMemoryStorage;
use crate::adapters::sql::{SqlStorage, StorageUrl};
use crate::adapters::vault::SealingVault;
use crate::config::{Config, DatabaseUrl};
use crate::domain::agent::service::AgentLimits;
use crate::domain::auth::service::Tokens;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::Stores;
use anyhow::Context;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// The file with the key of the secrets in the database.
const VAULT_KEY: &str = "vault.key";

/// Runs the server as `config` says until a signal stops it.
///
/// # Errors
/// If it cannot start, or did not stop cleanly. The text is for the person at the terminal.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let data_dir = DataDir::open(&config.data_dir)?;
    let _database_lock = lock_database(&config)?;
    let wanted = SocketAddr::new(config.host, config.port);
    let listener = TcpListener::bind(wanted)
        .await
        .with_context(|| format!("cannot listen on {wanted}; choose another address with --host and --port"))?;
    let address = listener.local_addr()?;

    let shutdown = Shutdown::default();
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let tracker = TaskTracker::new();
    let stores = open_stores(&config, &data_dir, &entropy, &tracker, &shutdown).await?;
    let credentials = Arc::new(CredentialFile::new(config.data_dir.join(CredentialFile::NAME)));
    let settings = Settings {
        limits: AgentLimits { max_concurrent: config.max_concurrent, queue_capacity: config.queue_capacity as u64 },
        public_url: config.public_url.clone().unwrap_or_else(|| format!("http://{address}")),
    };
    let parts = Parts {
        stores,
        clock: Arc::new(SystemClock),
        events: Arc::new(BroadcastEvents::default()),
        runner: Arc::new(BuiltinAgent),
        tokens: Arc::new(Tokens::open(config.access_token.clone(), credentials, &*entropy).await?),
        entropy,
    };
    let app = App::build(settings, parts, shutdown.soft.clone());
    let resumed = app.agent.recover().await.context("the turns left by the last run cannot be taken up")?;
    if resumed > 0 {
        tracing::info!(resumed, "taking up turns that were being answered when the server ended");
    }

    // Until here a signal simply ends the program, and nothing is lost.
    let signals = shutdown.on_signals()?;
    announce(address, &config);
    tracker.spawn(signals_until_stopped(signals, shutdown.clone()));
    run(app, listener, tracker, shutdown, config.shutdown_timeout).await?;
    drop(data_dir);
    Ok(())
}

/// Takes signals for as long as they matter, so that the task does not outlive the server.
async fn signals_until_stopped(signals: impl Future<Output = ()>, shutdown: Shutdown) {
    tokio::select! {
        () = signals => {}
        () = shutdown.hard.cancelled() => {}
    }
}

/// A database elsewhere has a lock of its own: two servers with two data directories may name the same one.
fn lock_database(config: &Config) -> anyhow::Result<Option<Lock>> {
    let DatabaseUrl::Sqlite(path) = &config.database_url else { return Ok(None) };
    if path.parent() == Some(&config.data_dir) {
        return Ok(None);
    }
    let mut file = path.clone().into_os_string();
    file.push(".lock");
    Lock::take(file.as_ref(), "the folder of the database", "choose another with --database-url").map(Some)
}

async fn open_stores(
    config: &Config,
    data_dir: &DataDir,
    entropy: &Arc<dyn Entropy>,
    tracker: &TaskTracker,
    shutdown: &Shutdown,
) -> anyhow::Result<Stores> {
    let path = match &config.database_url {
        DatabaseUrl::Memory => {
            tracing::warn!("the database is in memory: everything is lost when the server stops");
            return Ok(Stores::of(&Arc::new(InMemoryStorage::new())));
        }
        DatabaseUrl::Sqlite(path) => path.clone(),
    };
    let kept = data_dir.key(VAULT_KEY)?;
    let key = kept.unwrap_or_else(|| random(&**entropy));
    let vault = Arc::new(SealingVault::new(&key, Arc::clone(entropy)));
    let shown = path.display().to_string();
    let storage = SqlStorage::open(StorageUrl::Sqlite(path), vault).await;
    let storage = storage.with_context(|| {
        let key = config.data_dir.join(VAULT_KEY);
        format!("the database {shown}, with the key in {}, cannot be used", key.display())
    })?;
    if kept.is_none() {
        // Only now: a database with secrets in it has refused the new key.
        data_dir.keep_key(VAULT_KEY, &key)?;
    }
    let stores = Stores::of(&storage);
    let stop = shutdown.soft.clone();
    tracker.spawn(async move { storage.keep_up(stop).await });
    Ok(stores)
}

/// Says where the server is. The first line is for programs that wait for it; a person gets the rest.
fn announce(address: SocketAddr, config: &Config) {
    let mut out = std::io::stdout().lock();
    let for_a_person = if out.is_terminal() {
        let show = config.token_command();
        format!("\n  Open        http://{address}/\n  Your token  {show}\n  Stop        Ctrl-C\n\n")
    } else {
        String::new()
    };
    let text = format!("listening on http://{address}\n{for_a_person}");
    // Whoever started us may have closed the pipe; the server runs all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Why a server did not stop cleanly.
#[derive(Debug, Error)]
pub enum RunError {
    /// Something that must run has ended. The log says why.
    #[error("the server stopped because a part of it failed: {0}")]
    PartFailed(String),
    /// Open work did not finish in time.
    #[error(
        "the server stopped before all open work was finished; turns that were not answered are taken up at the next start"
    )]
    NotFinished,
}

/// Serves `listener` until `shutdown`, then lets open work finish for up to `deadline`.
///
/// # Errors
/// [`RunError`]
pub async fn run(
    app: App,
    listener: TcpListener,
    tracker: TaskTracker,
    shutdown: Shutdown,
    deadline: Duration,
) -> Result<(), RunError> {
    let App { router, agent, stop } = app;
    let mut server = tracker.spawn(serve_connections(listener, router, stop.clone()));
    let mut answering = tracker.spawn(workers::answer_turns(Arc::clone(&agent), stop.clone()));
    tracker.spawn(workers::clean_up(Arc::clone(&agent), stop.clone()));

    tokio::select! {
        // Asked in this order: told to stop, the others end too.
        biased;
        () = stop.cancelled() => {}
        ended = &mut server => return Err(RunError::PartFailed(format!("listening: {ended:?}"))),
        ended = &mut answering => return Err(RunError::PartFailed(format!("answering: {ended:?}"))),
    }
    tracing::info!("stopping: no new work, waiting for what is open");

    let finish = async {
        let answered = answering.await;
        // Whoever waits for a turn that was not begun is told that it takes longer; it will be answered after the next start.
        agent.stop_waiting();
        server.await.map_err(|error| error.to_string())?;
        answered.map_err(|error| error.to_string())
    };
    let finished = tokio::select! {
        finished = finish => finished.map_err(RunError::PartFailed),
        () = tokio::time::sleep(deadline) => Err(RunError::NotFinished),
        () = shutdown.hard.cancelled() => Err(RunError::NotFinished),
    };
    // Ends the wait for signals, the last of the tasks.
    shutdown.hard.cancel();
    if finished.is_ok() {
        tracker.close();
        tracker.wait().await;
        tracing::info!("stopped");
    }
    finished
}
