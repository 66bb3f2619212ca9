//! What happens to a connection by itself, kept until somebody asks.

use crate::domain::output::Masks;
use crate::ports::mcp::ConnectionEvent;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Shared by all who learn something of a connection. Nothing grows: what is said twice before it is heard is said once.
pub(super) struct Fate {
    masks: Masks,
    news: Mutex<News>,
    /// There may be news.
    told: Notify,
    /// The tools are to be asked for again.
    stale: Notify,
    gone: CancellationToken,
}

#[derive(Default)]
struct News {
    tools_changed: bool,
    lost: Option<String>,
    is_lost_told: bool,
}

impl Fate {
    pub fn new(masks: Masks) -> Self {
        let (told, stale) = (Notify::new(), Notify::new());
        Self { masks, news: Mutex::default(), told, stale, gone: CancellationToken::new() }
    }

    /// Keeps the secrets of the server out of texts.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// The tools were asked for again.
    pub fn tools_changed(&self) {
        self.news().tools_changed = true;
        self.told.notify_one();
    }

    /// The connection is lost. Only the first reason counts.
    pub fn lose(&self, reason: &str) {
        self.news().lost.get_or_insert_with(|| self.masks.text(reason));
        self.gone.cancel();
        self.told.notify_one();
    }

    /// Wants the tools to be asked for again.
    pub fn ask_again(&self) {
        self.stale.notify_one();
    }

    /// Waits until somebody wants the tools to be asked for again.
    pub async fn stale(&self) {
        self.stale.notified().await;
    }

    /// Waits until the connection is lost.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Why it is lost.
    pub fn reason(&self) -> String {
        self.news().lost.clone().unwrap_or_else(|| "it was closed".to_owned())
    }

    /// Waits for what happens next. Nothing is taken before it is returned, so the future can be dropped at any time.
    pub async fn next(&self) -> ConnectionEvent {
        loop {
            if let Some(event) = self.news().take() {
                return event;
            }
            self.told.notified().await;
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    /// A lost connection has no other news.
    fn take(&mut self) -> Option<ConnectionEvent> {
        if self.is_lost_told {
            return None;
        }
        if let Some(reason) = &self.lost {
            self.is_lost_told = true;
            return Some(ConnectionEvent::Lost(reason.clone()));
        }
        std::mem::take(&mut self.tools_changed).then_some(ConnectionEvent::ToolsChanged)
    }
}

#[cfg(test)]
mod tests;
