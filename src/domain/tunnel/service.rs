//! Opening and closing the tunnel.

use super::supervisor::AtFirst;
use super::{Program, PublicUrl, TunnelState, TunnelStatus, Unusable};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::Principal;
use crate::ports::store::StoreError;
use crate::ports::timer::Timer;
use crate::ports::tunnel::{TunnelProvider, TunnelSupervision};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How long whoever opens it is kept waiting for its address. Clients wait for as long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no address. Texts hold no secret.
#[derive(Debug, Error)]
pub enum StartRefused {
    /// The tunnel is not up, for this reason.
    #[error("{0}")]
    NotUp(String),
    /// The store failed; nothing was opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tunnel of this server. There is one.
pub struct Tunnel {
    provider: Arc<dyn TunnelProvider>,
    supervision: Arc<dyn TunnelSupervision>,
    audit: Arc<Audit>,
    timer: Arc<dyn Timer>,
}

impl Tunnel {
    /// The tunnel that `supervision` watches over.
    #[must_use]
    pub fn new(
        provider: Arc<dyn TunnelProvider>,
        supervision: Arc<dyn TunnelSupervision>,
        audit: Arc<Audit>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self { provider, supervision, audit, timer }
    }

    /// Opens it, and waits up to [`PATIENCE`] for its address. If it is up already, this is its address.
    ///
    /// # Errors
    /// [`StartRefused`]. After `NotUp` it may still come up, if the text says so.
    pub async fn start(&self, principal: &Principal) -> Result<PublicUrl, StartRefused> {
        let status = match select(pin!(self.begin(principal, AtFirst::GiveUp)), self.timer.sleep(PATIENCE)).await {
            Either::Left((begun, patience)) => {
                begun?;
                match select(self.supervision.settled(), patience).await {
                    Either::Left((status, _)) => status,
                    Either::Right(_) => self.supervision.status(),
                }
            }
            // It takes long to begin, as while another one ends. That is not left undone.
            Either::Right(((), beginning)) => {
                beginning.await?;
                self.supervision.status()
            }
        };
        match (status.url, status.state) {
            (Some(url), _) => Ok(url),
            (None, TunnelState::Failed) => {
                self.note_failure(principal, &status.error).await?;
                Err(StartRefused::NotUp(status.error))
            }
            (None, TunnelState::Down | TunnelState::Stopping) => Err(self.stopped_meanwhile(principal).await?),
            (None, TunnelState::BackingOff { .. }) => Err(StartRefused::NotUp(format!(
                "the tunnel is not up yet, and is tried again by itself until you stop it: {}",
                status.error
            ))),
            (None, _) => Err(StartRefused::NotUp(format!(
                "{} has no public address after {} seconds and is still trying; look at the status again, or stop it",
                self.provider.name(),
                PATIENCE.as_secs()
            ))),
        }
    }

    /// Has it opened in the background, for the owner who wants it whenever the server runs: what fails is tried again.
    ///
    /// # Errors
    /// [`StartRefused`], if it is not tried at all.
    pub async fn keep_open(&self) -> Result<(), StartRefused> {
        self.begin(&Principal::on_this_machine(), AtFirst::TryAgain).await
    }

    /// Waits until it is clear what came of opening it, and gives what it is doing then.
    pub async fn settled(&self) -> TunnelStatus {
        self.supervision.settled().await
    }

    async fn begin(&self, principal: &Principal, at_first: AtFirst) -> Result<(), StartRefused> {
        let mut checked = Ok(());
        let may = async {
            checked = self.check(principal).await;
            checked.is_ok()
        };
        let is_begun = self.supervision.start(at_first, Box::pin(may)).await;
        checked?;
        if is_begun { Ok(()) } else { Err(self.stopped_meanwhile(principal).await?) }
    }

    async fn stopped_meanwhile(&self, principal: &Principal) -> Result<StartRefused, StoreError> {
        let reason = "the tunnel was stopped meanwhile";
        self.note_failure(principal, reason).await?;
        Ok(StartRefused::NotUp(reason.to_owned()))
    }

    /// What has to be before one is opened.
    async fn check(&self, principal: &Principal) -> Result<(), StartRefused> {
        if let Err(error) = self.provider.program().await {
            self.note_failure(principal, &error.to_string()).await?;
            return Err(StartRefused::NotUp(error.to_string()));
        }
        // Before, because nothing becomes public that is not noted.
        let happening = Happening::success(principal, "tunnel_started", self.provider.name());
        Ok(self.audit.record(happening).await?)
    }

    async fn note_failure(&self, principal: &Principal, reason: &str) -> Result<(), StoreError> {
        let happening = Happening::failed(principal, "tunnel_started", self.provider.name());
        self.audit.record(happening.with("reason", reason)).await
    }

    /// Closes it, and whatever is being opened. When this returns it is closed, whatever the result.
    ///
    /// # Errors
    /// If that cannot be noted in the audit log.
    pub async fn stop(&self, principal: &Principal) -> Result<(), StoreError> {
        // First, because closing makes nothing public, and must work whatever else does not.
        if !self.supervision.stop().await {
            return Ok(());
        }
        self.audit.record(Happening::success(principal, "tunnel_stopped", self.provider.name())).await
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> TunnelStatus {
        self.supervision.status()
    }

    /// The name of the program that makes it.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.provider.name()
    }

    /// That program.
    ///
    /// # Errors
    /// [`Unusable`] says how to install it.
    pub async fn program(&self) -> Result<Program, Unusable> {
        self.provider.program().await
    }
}

#[cfg(test)]
mod tests;
