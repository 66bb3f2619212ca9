//! A `cloudflared` that runs.

use super::log::AddressFinder;
use super::metrics::{Metrics, NotReady};
use super::{GRACE, NAME, Pace};
use crate::adapters::process::{Child, pump_lines};
use crate::domain::output::Tail;
use crate::domain::tunnel::{OpenError, PublicUrl};
use crate::ports::tunnel::{OpenTunnel, TunnelNews};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How much of a line is looked at, in bytes.
const LINE: usize = 4_096;

/// How often it is asked whether it is there yet.
const GLANCE: Duration = Duration::from_millis(50);

/// How long its log may know the address before its metrics do: those come first if they work.
const LOG_LATER: Duration = Duration::from_secs(2);

/// How long what it wrote at its very end is waited for.
const DRAIN: Duration = Duration::from_millis(200);

/// The program, and those who read what it writes.
pub(super) struct RunningCloudflared {
    child: Child,
    metrics: Metrics,
    /// Known from the beginning if the tunnel is a named one.
    url: Option<PublicUrl>,
    /// How long it may say nothing of its connection until it is taken as it is. Only what is known from its log is: of a name
    /// that was known from the beginning nothing else tells that it is there, and metrics that told it can tell the rest.
    silence: Option<Duration>,
    /// What its log says of that.
    logged: watch::Receiver<Option<PublicUrl>>,
    tail: Arc<Tail>,
    started: Instant,
    /// It was taken as it is, because nothing answers at its metrics, and nothing has answered there since.
    is_silent: bool,
    pace: Pace,
    readers: [AbortOnDropHandle<()>; 2],
}

impl RunningCloudflared {
    pub fn new(
        mut child: Child,
        metrics: Metrics,
        url: Option<PublicUrl>,
        tail: Arc<Tail>,
        pace: Pace,
        tasks: &TaskTracker,
    ) -> Result<Self, OpenError> {
        let Some((_, stdout, stderr)) = child.take_pipes() else {
            return Err(OpenError::NotStarted(format!("{NAME} has no standard streams")));
        };
        let (found, logged) = watch::channel(None);
        let found = Arc::new(found);
        let readers = [
            AbortOnDropHandle::new(tasks.spawn(drain(stdout, Arc::clone(&tail), Arc::clone(&found)))),
            AbortOnDropHandle::new(tasks.spawn(drain(stderr, Arc::clone(&tail), found))),
        ];
        let silence = url.is_none().then_some(pace.silence);
        let started = Instant::now();
        Ok(Self { child, metrics, url, silence, logged, tail, started, is_silent: false, pace, readers })
    }

    /// Waits until what it wrote last was read. Somebody who left its group may hold the other ends of the pipes, so not for
    /// long.
    async fn drained(&mut self) {
        let deadline = Instant::now() + DRAIN;
        for reader in &mut self.readers {
            // One that was waited for before is not asked again.
            if !reader.is_finished() {
                let _ = timeout_at(deadline, reader).await;
            }
        }
    }
}

/// Reads what it writes until it ends.
async fn drain(stream: impl AsyncRead + Unpin, tail: Arc<Tail>, found: Arc<watch::Sender<Option<PublicUrl>>>) {
    let mut finder = AddressFinder::default();
    let each = |line: String| {
        if found.borrow().is_none()
            && let Some(url) = finder.line(&line)
        {
            found.send_replace(Some(url));
        }
        tail.push(&line);
    };
    if let Err(error) = pump_lines(stream, LINE, each).await {
        tracing::debug!(%error, "what cloudflared writes cannot be read any more");
    }
}

/// Waits for the address: from the metrics, or if they do not know it, from the log. Whether it is from there.
async fn address(metrics: &Metrics, logged: &mut watch::Receiver<Option<PublicUrl>>) -> (PublicUrl, bool) {
    let mut since = None;
    loop {
        if let Some(url) = metrics.hostname().await {
            return (url, false);
        }
        let said = logged.borrow_and_update().clone();
        if let Some(url) = said
            && since.get_or_insert_with(Instant::now).elapsed() >= LOG_LATER
        {
            return (url, true);
        }
        sleep(GLANCE).await;
    }
}

/// Waits until it is connected, or nothing could be learned of that for as long as `silence`. Whether it was that.
async fn connected(metrics: &Metrics, silence: Option<Duration>) -> bool {
    let mut heard = Instant::now();
    loop {
        match (metrics.ready().await, silence) {
            (Ok(()), _) => return false,
            (Err(NotReady::Disconnected(_)), _) => heard = Instant::now(),
            (Err(_), Some(silence)) if heard.elapsed() >= silence => return true,
            (Err(_), _) => {}
        }
        sleep(GLANCE).await;
    }
}

#[async_trait]
impl OpenTunnel for RunningCloudflared {
    async fn public(&mut self) -> Result<PublicUrl, OpenError> {
        let deadline = self.started + self.pace.opening;
        let Self { child, metrics, url, silence, logged, is_silent, .. } = self;
        let opening = async {
            let public = match url {
                Some(url) => url.clone(),
                None => {
                    let (found, is_from_log) = address(metrics, logged).await;
                    *silence = silence.filter(|_| is_from_log);
                    url.insert(found).clone()
                }
            };
            // People open the address at once, and are shown an error if it is not connected yet.
            *is_silent = connected(metrics, *silence).await;
            public
        };
        let opened = tokio::select! {
            exit = child.wait() => Err(exit),
            opened = timeout_at(deadline, opening) => Ok(opened),
        };
        match opened {
            Ok(Ok(url)) => Ok(url),
            Ok(Err(_)) => {
                let missing =
                    if self.url.is_some() { "did not connect to Cloudflare" } else { "gave no public address" };
                let last_lines = self.tail.to_vec();
                Err(OpenError::TimedOut { program: NAME, missing, limit: self.pace.opening, last_lines })
            }
            Err(exit) => {
                self.drained().await;
                Err(OpenError::Exited { program: NAME, how: exit.to_string(), last_lines: self.tail.to_vec() })
            }
        }
    }

    async fn next(&mut self) -> TunnelNews {
        let Self { child, metrics, pace, .. } = self;
        let probe = async {
            sleep_until(Instant::now() + pace.probes).await;
            metrics.ready().await
        };
        let probed = tokio::select! {
            exit = child.wait() => Err(exit),
            probed = probe => Ok(probed),
        };
        match probed {
            Ok(Err(NotReady::Silent | NotReady::Slow)) if self.is_silent => TunnelNews::Healthy,
            Ok(probed) => {
                self.is_silent = false;
                probed.map_or_else(|not_ready| TunnelNews::Unhealthy(not_ready.to_string()), |()| TunnelNews::Healthy)
            }
            Err(exit) => {
                self.drained().await;
                TunnelNews::Ended(exit.to_string())
            }
        }
    }

    async fn close(&mut self) {
        self.child.terminate(GRACE).await;
        self.drained().await;
        self.readers.iter().for_each(AbortOnDropHandle::abort);
    }
}
