//! Why a server could not be connected, and what is learned on the way.

use std::time::Duration;
use thiserror::Error;

/// How long connecting may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// From the start of a program to its first answer: `npx` and `uvx` download what they start. Of a remote server: until
    /// it answers at all.
    pub start: Duration,
    /// From then until the tools are known.
    pub handshake: Duration,
}

/// Why a server could not be connected. The wording tells a user what to do. Texts hold no secrets of the server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// There is no such program, or it cannot be started.
    #[error("{0}")]
    NotStarted(String),
    /// The program ended before it was connected.
    #[error("the program {how} before it was connected{}", tail(.last_lines))]
    Exited {
        /// `exited with status 1`, `was ended by signal 9`.
        how: String,
        /// What it wrote to standard error last.
        last_lines: Vec<String>,
    },
    /// The program runs, and has not answered yet.
    #[error("the program did not answer within {} seconds; if it was downloading, try again, or raise mcp_start_timeout{}", .limit.as_secs(), tail(.last_lines))]
    StartTimedOut {
        /// How long it was waited for.
        limit: Duration,
        /// What it wrote to standard error last.
        last_lines: Vec<String>,
    },
    /// It answered once, and then no more.
    #[error("the server answered, but did not list its tools within {} seconds", .0.as_secs())]
    HandshakeTimedOut(Duration),
    /// Nothing answers at the address.
    #[error("the server cannot be reached: {0}; check the url and whether the server runs")]
    Unreachable(String),
    /// The address wants to know who asks.
    #[error("the server answered 401 Unauthorized: sign in, or configure a token in its headers")]
    Unauthorized {
        /// What it said in `WWW-Authenticate`.
        challenge: Option<String>,
    },
    /// The address wants the user to sign in, and that cannot be begun.
    #[error("the server wants you to sign in, but {0}; or configure a token in its headers")]
    SignInUnusable(String),
    /// The address knows who asks, and refuses.
    #[error("the server answered 403 Forbidden: the account or token has no right to use it")]
    Forbidden,
    /// Something answers, and it is no MCP server.
    #[error("this is not an MCP server: {0}")]
    NotMcp(String),
    /// It speaks a version of the protocol that is not known here.
    #[error("the server speaks version {0:?} of the protocol, which is not known here; update the server or Pawport")]
    Version(String),
    /// It answered with an error.
    #[error("the server answered with an error: {0}")]
    Refused(String),
    /// The connection was lost on the way.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

fn tail(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("; its last words: {}", lines.join(" | ")) }
}

impl ConnectError {
    /// Whether trying again may help although nobody does anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Exited { .. }
            | Self::StartTimedOut { .. }
            | Self::HandshakeTimedOut(_)
            | Self::Unreachable(_)
            | Self::SignInUnusable(_)
            | Self::Refused(_)
            | Self::Lost(_) => true,
            Self::NotStarted(_) | Self::Unauthorized { .. } | Self::Forbidden | Self::NotMcp(_) | Self::Version(_) => {
                false
            }
        }
    }
}
