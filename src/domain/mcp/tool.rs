//! Tools: what servers offer, and what comes of calling one.

use super::values::Rejected;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The most tools that are taken from one server.
pub const MAX_TOOLS: usize = 1000;

/// The longest description of a tool, in characters; the rest is cut off.
pub const MAX_DESCRIPTION: usize = 4000;

/// The largest result of a call, in bytes of JSON.
pub const MAX_RESULT: usize = 1024 * 1024;

/// The largest arguments of a call, in bytes of JSON.
pub const MAX_ARGUMENTS: usize = 256 * 1024;

/// A tool that a server offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name, unique within the server.
    pub name: String,
    /// What it does, in the server's words. May be empty.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Map<String, Value>,
    /// Whether the server says that it changes nothing (`readOnlyHint`). The server is believed: its owner added it.
    pub read_only: bool,
}

/// The tools of a server, shared because they may be large.
pub type Tools = Arc<[Tool]>;

/// Which tools of a server may be called: those that are allowed, and not denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolFilter {
    /// If given, only these.
    pub allowed: Option<BTreeSet<String>>,
    /// Never these.
    pub denied: BTreeSet<String>,
}

impl ToolFilter {
    /// How many names each list may have.
    pub const MAX: usize = MAX_TOOLS;

    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Checks a list of names.
    ///
    /// # Errors
    /// [`Rejected::TooMany`], [`Rejected::TooLong`], [`Rejected::Characters`].
    pub fn names(names: Vec<String>) -> Result<BTreeSet<String>, Rejected> {
        if names.len() > Self::MAX {
            return Err(Rejected::TooMany(Self::MAX));
        }
        if names.iter().any(|name| name.len() > Self::MAX_LEN) {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        if names.iter().any(|name| name.contains('\0')) {
            return Err(Rejected::Characters);
        }
        Ok(names.into_iter().collect())
    }

    /// Whether the tool of that name may be called.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(tool)) && !self.denied.contains(tool)
    }
}

/// What a tool gave back. Has at most [`MAX_RESULT`] bytes as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// Blocks of content, as the protocol describes them: `{"type": "text", "text": …}` ….
    pub content: Vec<Value>,
    /// The same for programs, if the tool gives it.
    pub structured: Option<Value>,
    /// Whether the tool says that it failed; `content` says why.
    pub is_error: bool,
}

/// Why a call gave no result. The wording is for the one who called.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// There is no server of that name.
    #[error("Server '{0}' not found")]
    NoServer(String),
    /// The server is configured, and not connected.
    #[error("server '{server}' is not connected: {why}")]
    NotConnected {
        /// Which server.
        server: String,
        /// Its state, and what to do.
        why: String,
    },
    /// The server has no tool of that name.
    #[error("server '{server}' has no tool '{tool}'")]
    NoTool {
        /// Which server.
        server: String,
        /// What was asked for.
        tool: String,
    },
    /// The configuration of the server does not allow this tool.
    #[error("the tool '{0}' is not allowed; the lists allowed_tools and denied_tools of its server say which are")]
    NotAllowed(String),
    /// The arguments do not fit the tool's schema.
    #[error("{message}")]
    Arguments {
        /// Where in the arguments, member by member.
        place: Vec<String>,
        /// What is wrong there.
        message: String,
    },
    /// The call took too long; the server was told to stop.
    #[error("the tool did not answer within {} seconds; the server was told to stop", .0.as_secs())]
    TimedOut(Duration),
    /// The connection was lost during the call. Whether the tool did its work is not known.
    #[error(
        "the connection to the server was lost during the call, and it is not known whether the tool did its work: {0}"
    )]
    Lost(String),
    /// The server answered with an error of the protocol.
    #[error("the server answered with error {code}: {message}")]
    Refused {
        /// The JSON-RPC code.
        code: i64,
        /// The server's words.
        message: String,
    },
    /// The result is larger than [`MAX_RESULT`].
    #[error("the result has {0} bytes, more than the {MAX_RESULT} that are taken; ask for less at a time")]
    TooLarge(usize),
}
