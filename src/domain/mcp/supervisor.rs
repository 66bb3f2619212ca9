//! When a server is connected, and when again: a state machine. Inputs in, what to do out; time and chance are handed in.

use super::connect::ConnectError;
use super::sign_in::LIFETIME;
use super::status::McpState;
use crate::domain::backoff::pause;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// The pause after the first failure. It doubles with each one that follows, up to [`MAX_PAUSE`].
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(60);

/// After so many failures in a row somebody has to look.
pub const MAX_FAILURES: u32 = 10;

/// An address to sign in at is renewed this long before it is worth nothing any more, so that whoever sees it can use it.
pub const RENEW_SIGN_IN: Duration = LIFETIME.saturating_sub(Duration::from_secs(300));

/// A connection that held this long was a good one: failures before it do not count any more.
pub const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody wants it connected, now.
    Start,
    /// It is connected.
    Connected,
    /// It could not be connected.
    Failed(ConnectError),
    /// The user has to sign in, at this address.
    SignIn(String),
    /// What it was connected with has changed: the user signed in, or out. Whatever connection there was is gone.
    Reconnect,
    /// The connection is gone, for that reason.
    Lost(String),
    /// The pause is over.
    Due,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Connect.
    Connect,
    /// Wait so long, then come with [`Input::Due`].
    Wait(Duration),
    /// Nothing, until somebody does something.
    Rest,
}

/// One server's state. It begins as [`McpState::Connecting`]: whoever makes one connects.
#[derive(Debug, Clone)]
pub struct Supervisor {
    state: McpState,
    since: Timestamp,
    error: String,
    failures: u32,
    connections: u32,
}

impl Supervisor {
    /// A server that is about to be connected.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { state: McpState::Connecting, since: now, error: String::new(), failures: 0, connections: 0 }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> &McpState {
        &self.state
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Why it failed last; empty while it is connected.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How often it was connected again after the first time.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.connections.saturating_sub(1)
    }

    /// Takes an input at `now`. `chance` is random, and spreads the pauses of servers that failed together.
    ///
    /// An input that cannot happen in the state, such as [`Input::Due`] while it is connected, changes nothing.
    pub fn step(&mut self, input: Input, now: Timestamp, chance: u64) -> Effect {
        match (&self.state, input) {
            (McpState::Connected | McpState::Connecting, Input::Start) => Effect::Rest,
            (_, Input::Start | Input::Reconnect) => {
                // Whoever asks has done something about it.
                self.failures = 0;
                self.enter(McpState::Connecting, now);
                Effect::Connect
            }
            (McpState::BackingOff { .. } | McpState::NeedsAuth { .. }, Input::Due) => {
                self.enter(McpState::Connecting, now);
                Effect::Connect
            }
            (McpState::Connecting, Input::Connected) => {
                self.connections = self.connections.saturating_add(1);
                self.error.clear();
                self.enter(McpState::Connected, now);
                Effect::Rest
            }
            (McpState::Connecting, Input::Failed(error)) => {
                self.error = error.to_string();
                if error.may_pass() { self.back_off(now, chance) } else { self.give_up(now) }
            }
            (McpState::Connecting, Input::SignIn(url)) => {
                "it wants you to sign in".clone_into(&mut self.error);
                self.enter(McpState::NeedsAuth { url }, now);
                Effect::Wait(RENEW_SIGN_IN)
            }
            (McpState::Connected, Input::Lost(reason)) => {
                if now.since(self.since) >= GOOD_AFTER {
                    self.failures = 0;
                }
                self.error = reason;
                self.back_off(now, chance)
            }
            (_, Input::Connected | Input::Failed(_) | Input::SignIn(_) | Input::Lost(_) | Input::Due) => Effect::Rest,
        }
    }

    fn back_off(&mut self, now: Timestamp, chance: u64) -> Effect {
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return self.give_up(now);
        }
        let pause = pause(self.failures, FIRST_PAUSE, MAX_PAUSE, chance);
        self.enter(McpState::BackingOff { until: now.plus(pause) }, now);
        Effect::Wait(pause)
    }

    fn give_up(&mut self, now: Timestamp) -> Effect {
        self.enter(McpState::Failed, now);
        Effect::Rest
    }

    fn enter(&mut self, state: McpState, now: Timestamp) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
