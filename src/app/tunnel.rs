//! The tunnel, from the terminal.

use super::pair::pair;
use super::running::{RunningServer, on_this_machine};
use crate::adapters::cloudflared::{Cloudflared, Kind, Pace};
use crate::adapters::process::Processes;
use crate::config::{Config, inherited_by_children};
use crate::domain::tunnel::service::{PATIENCE, StartRefused, Tunnel};
use anyhow::{Context, bail};
use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What makes the tunnel to the server that listens at `address`.
pub(super) fn provider(
    config: &Config,
    address: SocketAddr,
    processes: Processes,
    tasks: TaskTracker,
) -> anyhow::Result<Cloudflared> {
    let kind = match (&config.tunnel.token, &config.tunnel.url) {
        (Some(token), Some(url)) => Kind::Named { token: token.clone(), url: url.clone() },
        _ => Kind::Quick,
    };
    let program = config.tunnel.cloudflared.clone();
    Cloudflared::new(processes, program, search_path(), kind, on_this_machine(address), Pace::default(), tasks)
        .context("cannot prepare connections to cloudflared")
}

/// What `PATH` says, as programs that are started see it.
pub(super) fn search_path() -> Option<OsString> {
    inherited_by_children().into_iter().find(|(name, _)| name == "PATH").map(|(_, value)| value)
}

/// Opens the tunnel with the server, and says where that is: at the terminal with a code for a phone.
pub(super) async fn keep_open(tunnel: Arc<Tunnel>, config: Config) {
    match tunnel.keep_open().await {
        Ok(()) => {}
        Err(StartRefused::NotUp(reason)) => {
            tracing::error!(reason, "the tunnel is not opened");
            return;
        }
        Err(error @ StartRefused::Store(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the tunnel is not opened");
            return;
        }
    }
    let status = tunnel.settled().await;
    let Some(url) = status.url else {
        tracing::error!(reason = status.error, "the tunnel is not open; pawport tunnel start tries again");
        return;
    };
    let mut text = format!("public at {url}\n");
    if std::io::stdout().is_terminal() {
        // A code in a log could be used by whoever reads that.
        match pair(&config).await {
            Ok(picture) => drop(writeln!(text, "\n{picture}")),
            Err(error) => tracing::warn!("there is no code for a phone: {error:#}"),
        }
    }
    let mut out = std::io::stdout().lock();
    // Whoever started us may have closed the pipe; the server runs all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How long the server may take to answer, besides what the tunnel takes.
const MOMENT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Started {
    url: Option<String>,
    error: Option<String>,
}

/// Has the running server open its tunnel; gives what to tell the user.
///
/// # Errors
/// If no server runs here, or the tunnel is not up. The text says what to do.
pub async fn start_tunnel(config: &Config) -> anyhow::Result<String> {
    let server = RunningServer::find(config, PATIENCE + MOMENT).await?;
    match server.ask(server.request(Method::POST, "/remote/start")).await? {
        Started { url: Some(url), .. } => Ok(format!(
            "public at {url}\nLet a phone in with {}. Until {} everybody needs a credential, also on this machine.",
            config.command("pair"),
            config.command("tunnel stop")
        )),
        Started { error, .. } => bail!(error.unwrap_or_else(|| "the tunnel is not up".to_owned())),
    }
}

/// Has the running server end its tunnel.
///
/// # Errors
/// If no server runs here, or it refuses.
pub async fn stop_tunnel(config: &Config) -> anyhow::Result<String> {
    let server = RunningServer::find(config, MOMENT).await?;
    let stopped = server.ask::<IgnoredAny>(server.request(Method::POST, "/remote/stop")).await;
    // It may be ended and not noted.
    stopped.with_context(|| format!("see with {} what became of it", config.command("tunnel status")))?;
    Ok("there is no tunnel any more".to_owned())
}

/// What the server says of its tunnel.
#[derive(Deserialize)]
pub(super) struct Remote {
    pub url: Option<String>,
    pub state: String,
    pub since: String,
    pub retry_at: Option<String>,
    pub error: Option<String>,
    pub lines: Vec<String>,
    pub program: RemoteProgram,
}

/// What makes it.
#[derive(Deserialize)]
pub(super) struct RemoteProgram {
    pub name: String,
    pub path: Option<String>,
    pub version: Option<String>,
    pub problem: Option<String>,
}

/// Asks a server about its tunnel.
pub(super) async fn remote(server: &RunningServer) -> anyhow::Result<Remote> {
    server.ask(server.request(Method::GET, "/remote/status")).await
}

/// Says what the tunnel of the running server is doing.
///
/// # Errors
/// If no server runs here, or it refuses.
pub async fn tunnel_status(config: &Config) -> anyhow::Result<String> {
    let remote = remote(&RunningServer::find(config, MOMENT).await?).await?;
    let program = remote.program.to_string();
    let members = [("url", &remote.url), ("again at", &remote.retry_at), ("error", &remote.error)];
    let members = members.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let rest = std::iter::once(("program", &program)).chain(remote.lines.iter().map(|line| ("", line)));
    let lines = members.chain(rest).map(|(name, value)| format!("\n{name:<8} {value}"));
    Ok(format!("{} since {}{}", remote.state, remote.since, lines.collect::<String>()))
}

impl std::fmt::Display for RemoteProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, &self.version, &self.problem) {
            (Some(path), Some(version), _) => write!(f, "{} {version} at {path}", self.name),
            (_, _, Some(problem)) => f.write_str(problem),
            _ => f.write_str(&self.name),
        }
    }
}
