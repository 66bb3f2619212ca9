//! Cloudflare Tunnel, by way of `cloudflared`: a quick tunnel under a random name that needs no account, or a named one.
//!
//! What is relied upon is documented: the parameters at
//! <https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/configure-tunnels/run-parameters/>,
//! the endpoints beside the metrics at
//! <https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/monitor-tunnels/metrics/>.

mod log;
mod metrics;
mod open;
mod program;

use crate::adapters::process::{Command, Processes};
use crate::domain::output::{Masks, Tail};
use crate::domain::tunnel::{OpenError, Program, PublicUrl, Unusable};
use crate::ports::tunnel::{OpenTunnel, TunnelProvider};
use async_trait::async_trait;
use metrics::Metrics;
use open::RunningCloudflared;
use program::Finder;
pub use program::locate;
use secrecy::{ExposeSecret, SecretString};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// The program.
pub const NAME: &str = "cloudflared";

/// How long a program that was asked to end may take until it is killed. It is told to take less.
const GRACE: Duration = Duration::from_secs(5);

/// Which tunnel.
#[derive(Clone)]
pub enum Kind {
    /// Under a random name that is new each time.
    Quick,
    /// One that the owner made. Where it leads to on this machine is configured with Cloudflare.
    Named {
        /// What lets it run. In the environment of the program and nowhere else.
        token: SecretString,
        /// Its public address.
        url: PublicUrl,
    },
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Until it is connected under a public address, from the start of the program on: Cloudflare takes seconds, a slow
    /// network longer.
    pub opening: Duration,
    /// After its log told the address: a program that does not say how it is for so long is taken as it is, and probed.
    pub silence: Duration,
    /// Between two probes.
    pub probes: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { opening: Duration::from_secs(60), silence: Duration::from_secs(10), probes: Duration::from_secs(10) }
    }
}

/// Opens tunnels.
pub struct Cloudflared {
    processes: Processes,
    finder: Finder,
    http: reqwest::Client,
    kind: Kind,
    target: SocketAddr,
    pace: Pace,
    tasks: TaskTracker,
}

impl Cloudflared {
    /// A tunnel of this kind to the server that listens at `target`, an address of this machine. `configured` is the
    /// program; otherwise it is searched for in `path`, which is what `PATH` says.
    ///
    /// # Errors
    /// If connections cannot be prepared.
    pub fn new(
        processes: Processes,
        configured: Option<PathBuf>,
        path: Option<OsString>,
        kind: Kind,
        target: SocketAddr,
        pace: Pace,
        tasks: TaskTracker,
    ) -> Result<Self, reqwest::Error> {
        let finder = Finder::new(processes.clone(), configured, path);
        Ok(Self { processes, finder, http: metrics::client()?, kind, target, pace, tasks })
    }

    /// What follows the program's name, if it tells of itself at `metrics`.
    fn arguments(&self, metrics: SocketAddr) -> Vec<String> {
        // Somebody's own configuration file would be read otherwise, and with one there are no quick tunnels.
        // https://github.com/cloudflare/cloudflare-docs/pull/6324
        let common = ["tunnel", "--config", "/dev/null", "--no-autoupdate", "--grace-period", "3s", "--metrics"];
        let metrics = metrics.to_string();
        let kind: &[String] = match self.kind {
            Kind::Quick => &["--url".to_owned(), format!("http://{}", self.target)],
            Kind::Named { .. } => &["run".to_owned()],
        };
        common.into_iter().map(str::to_owned).chain([metrics]).chain(kind.iter().cloned()).collect()
    }

    fn environment(&self) -> Vec<(String, SecretString)> {
        match &self.kind {
            Kind::Quick => Vec::new(),
            Kind::Named { token, .. } => vec![("TUNNEL_TOKEN".to_owned(), token.clone())],
        }
    }
}

#[async_trait]
impl TunnelProvider for Cloudflared {
    fn name(&self) -> &'static str {
        NAME
    }

    /// <https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip>
    fn client_header(&self) -> &'static str {
        "cf-connecting-ip"
    }

    fn masks(&self) -> Masks {
        match &self.kind {
            Kind::Quick => Masks::default(),
            Kind::Named { token, .. } => Masks::new(vec![token.expose_secret().to_owned()]),
        }
    }

    async fn program(&self) -> Result<Program, Unusable> {
        self.finder.program().await
    }

    async fn start(&self, tail: Arc<Tail>) -> Result<Box<dyn OpenTunnel>, OpenError> {
        let program = self.program().await?.path;
        let failed = |error: std::io::Error| OpenError::NotStarted(format!("no free port: {error}"));
        let metrics = Metrics::new(self.http.clone(), metrics::free_address().map_err(failed)?);
        let command = Command {
            program,
            arguments: self.arguments(metrics.address()),
            environment: self.environment(),
            folder: None,
        };
        let child = self.processes.start(&command).await;
        let child = child.map_err(|error| OpenError::NotStarted(error.to_string()))?;
        let url = match &self.kind {
            Kind::Quick => None,
            Kind::Named { url, .. } => Some(url.clone()),
        };
        Ok(Box::new(RunningCloudflared::new(child, metrics, url, tail, self.pace, &self.tasks)?))
    }
}
