//! When a tunnel is opened, and when again: a state machine. Inputs in, what to do out; time and chance are handed in.

use super::{OpenError, PublicUrl, TunnelState};
use crate::domain::backoff::pause;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// The pause after the first failure. It doubles with each one that follows, up to [`MAX_PAUSE`].
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause. Providers count how often somebody asks for an address.
pub const MAX_PAUSE: Duration = Duration::from_secs(300);

/// A tunnel that was up this long was a good one: failures before it do not lengthen the pause any more.
pub const GOOD_AFTER: Duration = Duration::from_secs(60);

/// After so many bad probes in a row the tunnel is opened anew.
pub const MAX_BAD_PROBES: u32 = 3;

/// What to do if a tunnel cannot be opened the first time. One that was up once is opened again until somebody ends it,
/// whatever happened to it: who relies on it may be elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtFirst {
    /// Nothing more: somebody waits for the answer, and nothing is to become public after it said that nothing did.
    GiveUp,
    /// Open it again after a pause, unless somebody has to mend something: the tunnel is wanted whenever the server runs, and
    /// the network may come up after it.
    TryAgain,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody wants it now, and not after the pause.
    Start,
    /// It is up, under this address.
    Public(PublicUrl),
    /// It could not be opened.
    Failed(OpenError),
    /// Its program says that it is connected.
    Healthy,
    /// Its program says that it is not connected, or says nothing.
    Unhealthy(String),
    /// Its program is gone, for that reason.
    Ended(String),
    /// The pause is over.
    Due,
}

/// What to do about it. Whatever is open has to be closed first, but for [`Effect::Hold`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Open it.
    Open,
    /// Keep it, and probe it after a while.
    Hold,
    /// Wait so long, then come with [`Input::Due`].
    Wait(Duration),
    /// Nothing any more.
    Rest,
}

/// The state of a tunnel that is wanted. It begins as [`TunnelState::Connecting`]: whoever makes one opens it.
#[derive(Debug, Clone)]
pub struct Supervisor {
    at_first: AtFirst,
    state: TunnelState,
    since: Timestamp,
    /// When it came up; it may have been degraded for a while since.
    up: Timestamp,
    url: Option<PublicUrl>,
    error: String,
    failures: u32,
    bad_probes: u32,
    openings: u32,
}

impl Supervisor {
    /// A tunnel that is about to be opened.
    #[must_use]
    pub fn new(at_first: AtFirst, now: Timestamp) -> Self {
        Self {
            at_first,
            state: TunnelState::Connecting,
            since: now,
            up: now,
            url: None,
            error: String::new(),
            failures: 0,
            bad_probes: 0,
            openings: 0,
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> TunnelState {
        self.state
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Where others reach the server, while they do.
    #[must_use]
    pub fn url(&self) -> Option<&PublicUrl> {
        self.url.as_ref()
    }

    /// Why it failed last; empty while it is up.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How often it came up again after the first time.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.openings.saturating_sub(1)
    }

    /// Takes an input at `now`. `chance` is random, and spreads the pauses.
    ///
    /// An input that cannot happen in the state, such as [`Input::Due`] while it is up, changes nothing.
    pub fn step(&mut self, input: Input, now: Timestamp, chance: u64) -> Effect {
        use TunnelState::{BackingOff, Connecting, Degraded, Failed, Up};
        match (self.state, input) {
            (BackingOff { .. }, Input::Start) => {
                self.failures = 0;
                self.enter(Connecting, now);
                Effect::Open
            }
            (BackingOff { .. }, Input::Due) => {
                self.enter(Connecting, now);
                Effect::Open
            }
            (Connecting, Input::Public(url)) => {
                self.openings = self.openings.saturating_add(1);
                self.error.clear();
                self.bad_probes = 0;
                self.url = Some(url);
                self.up = now;
                self.enter(Up, now);
                Effect::Hold
            }
            (Connecting, Input::Failed(error)) => {
                let is_final = self.openings == 0 && (self.at_first == AtFirst::GiveUp || !error.may_pass());
                self.error = error.to_string();
                if !is_final {
                    return self.back_off(now, chance);
                }
                self.enter(Failed, now);
                Effect::Rest
            }
            (Up | Degraded, Input::Healthy) => {
                self.bad_probes = 0;
                self.error.clear();
                if self.state == Degraded {
                    self.enter(Up, now);
                }
                Effect::Hold
            }
            (Up | Degraded, Input::Unhealthy(reason)) => {
                self.bad_probes += 1;
                self.error = reason;
                if self.bad_probes >= MAX_BAD_PROBES {
                    return self.lose(now, chance);
                }
                if self.state == Up {
                    self.enter(Degraded, now);
                }
                Effect::Hold
            }
            (Up | Degraded, Input::Ended(reason)) => {
                self.error = reason;
                self.lose(now, chance)
            }
            (Connecting, _) => Effect::Open,
            (Up | Degraded, _) => Effect::Hold,
            (BackingOff { until }, _) => Effect::Wait(until.since(now)),
            (Failed | TunnelState::Down | TunnelState::Stopping, _) => Effect::Rest,
        }
    }

    /// It was up, and is no more.
    fn lose(&mut self, now: Timestamp, chance: u64) -> Effect {
        if now.since(self.up) >= GOOD_AFTER {
            self.failures = 0;
        }
        self.back_off(now, chance)
    }

    fn back_off(&mut self, now: Timestamp, chance: u64) -> Effect {
        self.failures = self.failures.saturating_add(1);
        let pause = pause(self.failures, FIRST_PAUSE, MAX_PAUSE, chance);
        self.enter(TunnelState::BackingOff { until: now.plus(pause) }, now);
        Effect::Wait(pause)
    }

    fn enter(&mut self, state: TunnelState, now: Timestamp) {
        if !matches!(state, TunnelState::Up | TunnelState::Degraded) {
            self.url = None;
        }
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
