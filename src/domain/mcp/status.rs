//! What is known of a server at a moment.

use super::McpServerName;
use super::tool::Tools;
use crate::domain::time::Timestamp;

/// What a server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpState {
    /// It is switched off.
    Disabled,
    /// It is being started or reached.
    Connecting,
    /// Its tools can be called.
    Connected,
    /// It failed, and is tried again by itself.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// It failed, and is not tried again until somebody does something.
    Failed,
    /// It wants the user to sign in.
    NeedsAuth {
        /// Where. Good for [`super::sign_in::LIFETIME`] at most, and renewed before that.
        url: String,
    },
}

impl McpState {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::BackingOff { .. } => "backing_off",
            Self::Failed => "failed",
            Self::NeedsAuth { .. } => "needs_auth",
        }
    }
}

/// A server at a moment. Texts hold no secrets of the server: see [`super::mask`].
#[derive(Debug, Clone)]
pub struct McpStatus {
    /// Its name.
    pub name: McpServerName,
    /// The transport's name, one of [`super::TRANSPORTS`].
    pub transport: &'static str,
    /// The preset that it was made from, if any.
    pub preset: Option<String>,
    /// What it is doing.
    pub state: McpState,
    /// Since when.
    pub since: Timestamp,
    /// Its tools that may be called, while it is connected.
    pub tools: Tools,
    /// Why it failed last; empty once it is connected again.
    pub error: String,
    /// The last lines that its program wrote to standard error, oldest first. At most
    /// [`LINES`](crate::domain::output::LINES).
    pub stderr: Vec<String>,
    /// How often it was connected anew since it was enabled or the program started.
    pub restarts: u32,
}

impl McpStatus {
    /// Whether it should be connected.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.state != McpState::Disabled
    }
}
