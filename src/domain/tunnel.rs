//! How this server is reached from elsewhere: a program on this machine connects to a provider, which gives it a public
//! address and sends on what comes there.

pub mod exposure;
pub mod service;
pub mod supervisor;

use crate::domain::time::Timestamp;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// The address that a tunnel gives this server: an origin with https, a name and no port, such as
/// `https://paw.example.org`. No slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address of that name.
    ///
    /// # Errors
    /// [`NotAHostname`] if it is none of the internet: letters, digits and hyphens, with a dot between (RFC 1123 §2.1), and
    /// no address of numbers.
    pub fn of_host(host: &str) -> Result<Self, NotAHostname> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = host.len() <= 253
            && host.contains('.')
            && host.split('.').all(is_label)
            && !host.rsplit('.').next().is_some_and(is_number);
        if is_name { Ok(Self(format!("https://{}", host.to_ascii_lowercase()))) } else { Err(NotAHostname) }
    }

    /// The name, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0["https://".len()..]
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no name of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a name such as paw.example.org, without https:// and without a port")]
pub struct NotAHostname;

/// What a tunnel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelState {
    /// There is none, and none is wanted.
    Down,
    /// Its program runs or is being started, and it has no public address yet.
    Connecting,
    /// Others reach the server through it.
    Up,
    /// Its program runs, and said lately that it is not connected to its provider.
    Degraded,
    /// It failed, and is started again by itself.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// It failed, and is not started again until somebody does it.
    Failed,
    /// It is being ended.
    Stopping,
}

impl TunnelState {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::BackingOff { .. } => "backing_off",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
        }
    }
}

/// A tunnel at a moment. Texts hold no secret of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelStatus {
    /// What it is doing.
    pub state: TunnelState,
    /// Since when.
    pub since: Timestamp,
    /// Where others reach the server: while it is [`TunnelState::Up`] or [`TunnelState::Degraded`].
    pub url: Option<PublicUrl>,
    /// Why it failed last; empty once it is up again.
    pub error: String,
    /// The last lines that its program wrote, oldest first. At most [`LINES`](crate::domain::output::LINES).
    pub lines: Vec<String>,
    /// How often it came up again after the first time.
    pub restarts: u32,
}

impl TunnelStatus {
    /// Whether somebody who uses the address now comes through, as far as is known.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.url.is_some()
    }
}

/// The program that makes tunnels, as it was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: String,
    /// What it says its version is.
    pub version: String,
}

/// Why that program cannot be used. The wording tells a user what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It is not here.
    #[error("{program} is not installed. {how_to_install}")]
    NotInstalled {
        /// Its name.
        program: &'static str,
        /// What to do on this system.
        how_to_install: String,
    },
    /// There is something, and it does not do what the program does.
    #[error("{path} cannot be used: {reason}")]
    Broken {
        /// The file.
        path: String,
        /// What came of trying.
        reason: String,
    },
}

/// Why there is no tunnel. The wording tells a user what to do. Texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Its program cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Its program was not started.
    #[error("{0}")]
    NotStarted(String),
    /// Its program ended before the tunnel was up.
    #[error("{program} {how} before the tunnel was up{}", last_words(.last_lines))]
    Exited {
        /// Its name.
        program: &'static str,
        /// `exited with status 1`, `was ended by signal 9`.
        how: String,
        /// What it wrote last.
        last_lines: Vec<String>,
    },
    /// Its program runs, and the tunnel is not up.
    #[error("{program} {missing} within {} seconds{}", .limit.as_secs(), last_words(.last_lines))]
    TimedOut {
        /// Its name.
        program: &'static str,
        /// What it did not do: `gave no public address`, `did not connect to Cloudflare`.
        missing: &'static str,
        /// How long it was waited for.
        limit: Duration,
        /// What it wrote last.
        last_lines: Vec<String>,
    },
}

impl OpenError {
    /// Whether trying again may help although nobody does anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Exited { .. } | Self::TimedOut { .. })
    }
}

/// The end of what a program wrote: a sentence's worth, since the status has all lines.
fn last_words(lines: &[String]) -> String {
    let last: Vec<&str> = lines.iter().rev().take(3).rev().map(String::as_str).collect();
    if last.is_empty() { String::new() } else { format!("; its last words: {}", last.join(" | ")) }
}

#[cfg(test)]
mod tests;
