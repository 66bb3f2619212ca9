//! A provider without a program.

use crate::domain::output::{Masks, Tail};
use crate::domain::tunnel::{OpenError, Program, PublicUrl, Unusable};
use crate::ports::tunnel::{OpenTunnel, TunnelNews, TunnelProvider};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Its tunnels are up at once, at `https://tunnel-1.example.net` and so on, unless the test wants something else. Clones are
/// the same.
#[derive(Clone)]
pub struct FakeTunnels(Arc<Shared>);

struct Shared {
    told: Mutex<Told>,
    /// Whether the program answers, whether tunnels come up, and whether they end.
    answering: watch::Sender<bool>,
    opening: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    started: AtomicUsize,
    running: AtomicUsize,
}

#[derive(Default)]
struct Told {
    unusable: Option<Unusable>,
    failures: VecDeque<OpenError>,
    /// Tells the tunnel that was started last; nothing makes it panic.
    news: Option<mpsc::UnboundedSender<Option<TunnelNews>>>,
}

impl Default for FakeTunnels {
    fn default() -> Self {
        Self(Arc::new(Shared {
            told: Mutex::default(),
            answering: watch::Sender::new(true),
            opening: watch::Sender::new(true),
            closing: watch::Sender::new(true),
            started: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
        }))
    }
}

impl FakeTunnels {
    /// The program is not there, or it is again.
    pub fn miss(&self, unusable: Option<Unusable>) {
        self.told().unusable = unusable;
    }

    /// The next tunnels fail like this, one after the other.
    pub fn fail(&self, failures: impl IntoIterator<Item = OpenError>) {
        self.told().failures.extend(failures);
    }

    /// Whether the program tells its version; until then it is waited for.
    pub fn let_answer(&self, may: bool) {
        self.0.answering.send_replace(may);
    }

    /// Whether tunnels that are started come up; until then they are being opened.
    pub fn let_open(&self, may: bool) {
        self.0.opening.send_replace(may);
    }

    /// Whether tunnels that are to end do; until then they are being ended.
    pub fn let_close(&self, may: bool) {
        self.0.closing.send_replace(may);
    }

    /// Something happens to the tunnel that was started last.
    pub fn tell(&self, news: TunnelNews) {
        self.send(Some(news));
    }

    /// The tunnel that was started last has a mistake in its code.
    pub fn panic(&self) {
        self.send(None);
    }

    fn send(&self, news: Option<TunnelNews>) {
        if let Some(sender) = &self.told().news {
            // It may be gone.
            let _ = sender.send(news);
        }
    }

    /// How many were started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TunnelProvider for FakeTunnels {
    fn name(&self) -> &'static str {
        "faketunnel"
    }

    fn client_header(&self) -> &'static str {
        "cf-connecting-ip"
    }

    fn masks(&self) -> Masks {
        Masks::new(vec!["fake-secret".to_owned()])
    }

    async fn program(&self) -> Result<Program, Unusable> {
        // The sender is as old as this.
        let _ = self.0.answering.subscribe().wait_for(|may| *may).await;
        match &self.told().unusable {
            Some(unusable) => Err(unusable.clone()),
            None => Ok(Program { path: "/opt/faketunnel".to_owned(), version: "1.2.3".to_owned() }),
        }
    }

    async fn start(&self, tail: Arc<Tail>) -> Result<Box<dyn OpenTunnel>, OpenError> {
        self.program().await?;
        let number = self.0.started.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.running.fetch_add(1, Ordering::SeqCst);
        tail.push(&format!("tunnel {number} says fake-secret"));
        let (sender, news) = mpsc::unbounded_channel();
        let mut told = self.told();
        told.news = Some(sender);
        let outcome = match told.failures.pop_front() {
            Some(failure) => Err(failure),
            None => PublicUrl::of_host(&format!("tunnel-{number}.example.net"))
                .map_err(|error| OpenError::NotStarted(error.to_string())),
        };
        let (shared, is_running) = (Arc::clone(&self.0), true);
        Ok(Box::new(FakeTunnel { shared, outcome, news, is_running }))
    }
}

struct FakeTunnel {
    shared: Arc<Shared>,
    outcome: Result<PublicUrl, OpenError>,
    news: mpsc::UnboundedReceiver<Option<TunnelNews>>,
    is_running: bool,
}

impl FakeTunnel {
    fn end(&mut self) {
        if std::mem::take(&mut self.is_running) {
            self.shared.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl OpenTunnel for FakeTunnel {
    async fn public(&mut self) -> Result<PublicUrl, OpenError> {
        // The sender is as old as this.
        let _ = self.shared.opening.subscribe().wait_for(|may| *may).await;
        self.outcome.clone()
    }

    async fn next(&mut self) -> TunnelNews {
        match self.news.recv().await {
            Some(Some(news)) => news,
            Some(None) => panic!("the test wants it"),
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        let _ = self.shared.closing.subscribe().wait_for(|may| *may).await;
        self.end();
    }
}

impl Drop for FakeTunnel {
    fn drop(&mut self) {
        self.end();
    }
}
