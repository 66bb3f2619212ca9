//! Tunnels: opening one, and watching over it.

use crate::domain::output::{Masks, Tail};
use crate::domain::tunnel::supervisor::AtFirst;
use crate::domain::tunnel::{OpenError, Program, PublicUrl, TunnelStatus, Unusable};
use async_trait::async_trait;
use futures_core::future::BoxFuture;
use std::sync::Arc;

/// Somebody who gives this server a public address, by way of a program on this machine. Knows where the server listens and
/// what the owner configured.
///
/// The program is never installed by us.
#[async_trait]
pub trait TunnelProvider: Send + Sync {
    /// The program's name.
    fn name(&self) -> &'static str;

    /// The header in which the provider names the address of each client, in lower case. **Contract:** whatever the client
    /// itself says there is replaced, or stands before it.
    fn client_header(&self) -> &'static str;

    /// Keeps its secrets out of what is shown of the program.
    fn masks(&self) -> Masks;

    /// Looks for the program, and asks it for its version the first time it is found.
    ///
    /// # Errors
    /// [`Unusable`] says how to install it on this system.
    async fn program(&self) -> Result<Program, Unusable>;

    /// Starts the program. What it writes goes to `tail`.
    ///
    /// **Contract:** returns within seconds: how long the program takes is waited for in [`OpenTunnel::public`].
    ///
    /// # Errors
    /// `Unusable`, `NotStarted`. Nothing runs then.
    async fn start(&self, tail: Arc<Tail>) -> Result<Box<dyn OpenTunnel>, OpenError>;
}

/// What happened to a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelNews {
    /// It was asked, and is connected.
    Healthy,
    /// It was asked, and is not connected, for this reason; or it does not answer.
    Unhealthy(String),
    /// Its program is gone. For users, to follow the program's name: `exited with status 1`.
    Ended(String),
}

/// A program that was started. Dropping it kills it, and whatever it started.
#[async_trait]
pub trait OpenTunnel: Send {
    /// Waits until others can reach the server through it. May be dropped and called again.
    ///
    /// **Contract:** what the program writes is read for ever, however much it is, here and between the calls.
    ///
    /// # Errors
    /// `Exited`, `TimedOut`. The program may run all the same: close it.
    async fn public(&mut self) -> Result<PublicUrl, OpenError>;

    /// Waits a while, then asks it how it is; tells sooner if its program is gone. May be dropped and called again.
    async fn next(&mut self) -> TunnelNews;

    /// Ends the program and whatever it started. **Contract:** when this returns nothing of it is alive, in a bounded time.
    /// May be called again.
    async fn close(&mut self);
}

/// Watches over one tunnel.
///
/// While it runs, and before it starts, [`Exposure`](crate::domain::tunnel::exposure::Exposure) says so. Every change is
/// published as [`Event::TunnelChanged`](crate::domain::event::Event::TunnelChanged).
#[async_trait]
pub trait TunnelSupervision: Send + Sync {
    /// Wants it open from now on, and opens it in the background. One that is opened or open stays; for one that waits for
    /// its next attempt the wait is over. Returns once it is under way.
    ///
    /// `may` is asked before a new one is begun, one at a time, and if it says no, none is. Whoever finds that there is one
    /// already does not ask.
    ///
    /// Returns whether there is one now. **Contract:** a [`stop`](Self::stop) that comes before this returns wins, and so
    /// does the end of the server: nothing is begun then.
    async fn start(&self, at_first: AtFirst, may: BoxFuture<'_, bool>) -> bool;

    /// Does not want it any more. **Contract:** when this returns, whoever dropped it before included, nothing of its
    /// program is alive, and what was being started will not start. Returns whether there was anything to end, be it a start
    /// that had not begun.
    async fn stop(&self) -> bool;

    /// What it is doing.
    fn status(&self) -> TunnelStatus;

    /// Waits until it is clear what came of opening it: it is up, or not tried again by itself. May be dropped.
    async fn settled(&self) -> TunnelStatus;
}
