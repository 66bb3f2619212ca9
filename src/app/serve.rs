//! Starting, running, stopping.

use super::connections::serve_connections;
use super::shutdown::Shutdown;
use super::{App, Parts, Settings, ollama, secrets, tunnel, workers};
use crate::adapters::agents::{self, AllAgents};
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::adapters::data_dir::{DataDir, Lock};
use crate::adapters::embedding::AllEmbedders;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::host::{OsEntropy, SystemClock, SystemTimer, reachable};
use crate::adapters::in_memory::InMemoryStorage;
use crate::adapters::mcp::sign_in::OAuthSignIns;
use crate::adapters::mcp::{self, RmcpConnector};
use crate::adapters::process::Processes;
use crate::config::{Config, DatabaseUrl, inherited_by_children};
use crate::domain::agent::service::AgentLimits;
use crate::domain::auth::service::MasterToken;
use crate::domain::auth::token::TokenHash;
use crate::domain::mcp::connect::Budgets;
use crate::domain::tunnel::exposure::Exposure;
use crate::http::client::Policy;
use crate::http::mcp as mcp_routes;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::store::Stores;
use anyhow::Context;
use secrecy::ExposeSecret;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

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
    warn_of_strangers(&config, address);

    let shutdown = Shutdown::default();
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let tracker = TaskTracker::new();
    let stores = open_stores(&config, &data_dir, &entropy, &tracker, &shutdown).await?;
    let credentials = Arc::new(CredentialFile::new(config.data_dir.join(CredentialFile::NAME)));
    let master = match config.access_token.clone() {
        Some(token) => MasterToken::configured(token),
        None => MasterToken::open(credentials, &*entropy).await?,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = settings(&config, address);
    let sign_ins = Arc::new(OAuthSignIns::new(
        Arc::clone(&stores.mcp_servers),
        Arc::clone(&clock),
        tracker.clone(),
        format!("{}{}", settings.public_url, mcp_routes::CALLBACK),
        format!("{}{}", settings.public_url, mcp_routes::CLIENT_DOCUMENT),
    ));
    let processes = open_processes(&config)?;
    let http = mcp::http_client().context("cannot prepare connections to MCP servers")?;
    let to_models = agents::http_client().context("cannot prepare connections to models")?;
    let embedders = AllEmbedders::new(to_models.clone(), config.embedding_model_dir.clone());
    let tunnels = tunnel::provider(&config, address, processes.clone(), tracker.clone())?;
    let all_agents = AllAgents::new(to_models, processes.clone());
    let connector = RmcpConnector::new(processes, http, Arc::clone(&sign_ins) as _, tracker.clone());
    let parts = Parts {
        stores,
        clock,
        events: Arc::new(BroadcastEvents::default()),
        agents: Arc::new(all_agents),
        embedders: Arc::new(embedders),
        timer: Arc::new(SystemTimer),
        master,
        entropy,
        mcp_connector: Arc::new(connector),
        mcp_authorizer: sign_ins,
        tunnels: Arc::new(tunnels),
        tasks: tracker.clone(),
    };
    let public_url = settings.public_url.clone();
    let app = App::build(settings, parts, shutdown.soft.clone());
    app.settings.load().await.context("the settings cannot be read")?;
    app.memories.follow_settings();
    let resumed = app.agent.recover().await.context("the turns left by the last run cannot be taken up")?;
    if resumed > 0 {
        tracing::info!(resumed, "taking up turns that were being answered when the server ended");
    }

    // Until here a signal simply ends the program, and nothing is lost.
    let signals = shutdown.on_signals()?;
    match app.mcp().start().await {
        Ok(0) => {}
        Ok(servers) => tracing::info!(servers, "MCP servers are watched over"),
        // Everything else works without them.
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the MCP servers cannot be read, so none is connected; start again when this is mended"
        ),
    }
    data_dir.keep_address(address)?;
    announce(address, &public_url, &config);
    if config.tunnel.keep_open {
        let (tunnel, config, stop) = (app.tunnel(), config.clone(), shutdown.soft.clone());
        tracker.spawn(async move { stop.run_until_cancelled(tunnel::keep_open(tunnel, config)).await });
    }
    if config.agent.kind.is_none() {
        let (settings, command) = (app.settings(), config.clone());
        let stop = shutdown.soft.clone();
        let hint = async move { ollama::hint(settings, ollama::ADDRESS, |rest| command.command(rest)).await };
        tracker.spawn(async move { stop.run_until_cancelled(hint).await });
    }
    // Not on the tracker: it takes signals for as long as something is waited for.
    TaskTracker::new().spawn(signals_until_stopped(signals, shutdown.clone()));
    let end = run(app, listener, tracker, shutdown.clone(), config.shutdown_timeout).await;
    shutdown.hard.cancel();
    end?;
    drop(data_dir);
    Ok(())
}

/// How long an MCP server that has answered may take to list its tools.
const MCP_HANDSHAKE: Duration = Duration::from_secs(30);

/// What starts programs; first ends those that an earlier run left behind because it was killed.
fn open_processes(config: &Config) -> anyhow::Result<Processes> {
    let ledger = config.data_dir.join("children");
    let processes = Processes::new(ledger.clone(), inherited_by_children())
        .with_context(|| format!("cannot use {}", ledger.display()))?;
    let swept = processes.sweep().with_context(|| format!("cannot read {}", ledger.display()))?;
    if swept > 0 {
        tracing::warn!(swept, "ended programs that the last run left behind");
    }
    Ok(processes)
}

/// Says what it means to be reached from elsewhere.
fn warn_of_strangers(config: &Config, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "other machines can reach this server: everybody who does needs a credential, and what is sent is not encrypted; see docs/security.md for how to put https in front of it"
        );
    }
    if config.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        tracing::warn!("trusted_proxies names every address: each client can say where it comes from and be believed");
    }
}

fn settings(config: &Config, address: SocketAddr) -> Settings {
    let public_url = || format!("http://{}", SocketAddr::new(reachable(address.ip()), address.port()));
    Settings {
        agent: config.agent.settings(),
        address: SocketAddr::new(config.host, address.port()),
        limits: AgentLimits { max_concurrent: config.max_concurrent, queue_capacity: config.queue_capacity as u64 },
        public_url: config.public_url.clone().unwrap_or_else(public_url),
        policy: Policy {
            public_url: config.public_url.clone(),
            allowed_hosts: config.allowed_hosts.iter().cloned().collect(),
            cors_origins: config.cors_origins.iter().cloned().collect(),
            trusted_proxies: config.trusted_proxies.clone(),
            localhost_auth_bypass: config.localhost_auth_bypass,
            url_tokens: config.url_tokens,
            exposure: Exposure::default(),
        },
        rate_limits: config.rate_limits,
        session_ttl: config.session_ttl,
        mcp_budgets: Budgets { start: config.mcp_start_timeout, handshake: MCP_HANDSHAKE },
        mcp_test_budgets: Budgets { start: config.mcp_test_timeout, handshake: MCP_HANDSHAKE },
        status_key: config.status_key.as_ref().map(|key| TokenHash::of(key.expose_secret())),
    }
}

/// Takes signals for as long as they matter, so that the task does not outlive the server.
async fn signals_until_stopped(signals: impl Future<Output = ()>, shutdown: Shutdown) {
    tokio::select! {
        () = signals => {}
        () = shutdown.hard.cancelled() => {}
    }
}

/// A database file elsewhere has a lock of its own: two servers with two data directories may name the same one. One on a
/// server is locked there, by the connection that writes.
pub(super) fn lock_database(config: &Config) -> anyhow::Result<Option<Lock>> {
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
    let Some(url) = secrets::storage_url(config) else {
        tracing::warn!("the database is in memory: everything is lost when the server stops");
        return Ok(Stores::of(&Arc::new(InMemoryStorage::new())));
    };
    let storage = secrets::open_storage(config, &url, data_dir, entropy).await?;
    let stores = Stores::of(&storage);
    let stop = shutdown.soft.clone();
    tracker.spawn(async move { storage.keep_up(stop).await });
    Ok(stores)
}

/// Says where the server is. The first line is for programs that wait for it; a person gets the rest.
fn announce(address: SocketAddr, public_url: &str, config: &Config) {
    let mut out = std::io::stdout().lock();
    let for_a_person = if out.is_terminal() {
        let show = config.command("token show");
        let pair = config.command("pair");
        format!(
            "\n  Open         {public_url}/\n  Your token   {show}\n  Add a phone  {pair}\n  Stop         Ctrl-C\n\n"
        )
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
    let App { router, agent, tokens, logins, apps, memories, semantic, events, stop, programs_stop, .. } = app;
    let mut server = tracker.spawn(serve_connections(listener, router, stop.clone()));
    let (learn, answered) = workers::to_learn();
    let mut answering = tracker.spawn(workers::answer_turns(Arc::clone(&agent), learn, stop.clone()));
    tracker.spawn(workers::learn(Arc::clone(&agent), answered, stop.clone()));
    tracker.spawn(workers::follow_settings(memories, events.subscribe(), stop.clone()));
    let embedding = stop.clone();
    tracker.spawn(async move { semantic.keep_up(embedding).await });
    tracker.spawn(workers::clean_up(Arc::clone(&agent), logins, apps, stop.clone()));
    tracker.spawn(workers::store_uses(tokens, stop.clone()));

    // Told to stop, they end too, and may be quicker than this looks.
    let (mut server_end, mut answering_end) = (None, None);
    tokio::select! {
        () = stop.cancelled() => {}
        end = &mut server => server_end = Some(end),
        end = &mut answering => answering_end = Some(end),
    }
    if !stop.is_cancelled() {
        return Err(RunError::PartFailed(format!("listening: {server_end:?}, answering: {answering_end:?}")));
    }
    tracing::info!("stopping: no new work, waiting for what is open");

    let finish = async {
        let answering_end = if let Some(end) = answering_end { end } else { answering.await };
        // Whoever waits for a turn that was not begun is told that it takes longer; it will be answered after the next start.
        agent.stop_waiting();
        let server_end = if let Some(end) = server_end { end } else { server.await };
        server_end.and(answering_end).map_err(|error| error.to_string())
    };
    let finished = tokio::select! {
        finished = finish => finished.map_err(RunError::PartFailed),
        () = tokio::time::sleep(deadline) => Err(RunError::NotFinished),
        () = shutdown.hard.cancelled() => Err(RunError::NotFinished),
    };
    finished?;
    // Nobody calls the tools of MCP servers any more, or comes through the tunnel.
    programs_stop.cancel();
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = tokio::time::sleep(deadline) => Err(RunError::NotFinished),
        () = shutdown.hard.cancelled() => Err(RunError::NotFinished),
    }
}
