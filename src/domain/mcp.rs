//! MCP servers: programs and addresses that offer tools to the agent.
//! <https://modelcontextprotocol.io/specification/2025-06-18>

pub mod connect;
pub mod mask;
pub mod parts;
pub mod preset;
pub mod service;
pub mod sign_in;
pub mod status;
pub mod supervisor;
pub mod tool;
mod values;

pub use values::{
    Arguments, CallTimeout, Command, EnvironmentName, HeaderName, McpServerName, Rejected, RemoteUrl, SecretText,
};

use super::time::Timestamp;
use std::collections::BTreeMap;
use tool::ToolFilter;

/// A server as it is configured.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// Its name.
    pub name: McpServerName,
    /// How it is reached.
    pub transport: McpTransport,
    /// Whether it should be connected.
    pub enabled: bool,
    /// How long a call may take.
    pub call_timeout: CallTimeout,
    /// Which of its tools may be called.
    pub tools: ToolFilter,
    /// The id of the preset that it was made from, if any.
    pub preset: Option<String>,
    /// When it was added, for the first time under this name.
    pub created: Timestamp,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpTransport {
    /// A program of this machine, over its standard input and output.
    Stdio {
        /// The program.
        command: Command,
        /// Its arguments.
        arguments: Arguments,
        /// Its environment, beside the few variables that every child gets.
        environment: BTreeMap<EnvironmentName, SecretText>,
    },
    /// An address.
    Remote {
        /// The address.
        url: RemoteUrl,
        /// The protocol spoken there.
        flavor: RemoteFlavor,
        /// Headers that are sent with every request, such as `Authorization`.
        headers: BTreeMap<HeaderName, SecretText>,
    },
}

/// Which protocol a remote server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteFlavor {
    /// Not known: streamable HTTP is tried first, then SSE, as the specification says for clients that know both.
    /// <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#backwards-compatibility>
    Detect,
    /// Streamable HTTP.
    Streamable,
    /// HTTP with SSE, of the protocol's version 2024-11-05.
    Sse,
}

/// The names of all transports on the wire, the default first.
pub const TRANSPORTS: [&str; 4] = ["stdio", "http", "streamable-http", "sse"];

impl RemoteFlavor {
    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "http",
            Self::Streamable => "streamable-http",
            Self::Sse => "sse",
        }
    }

    /// The flavor of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Detect, Self::Streamable, Self::Sse].into_iter().find(|flavor| flavor.as_str() == name)
    }
}

impl McpTransport {
    /// The name on the wire, one of [`TRANSPORTS`].
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => TRANSPORTS[0],
            Self::Remote { flavor, .. } => flavor.as_str(),
        }
    }

    /// The address of a remote server.
    #[must_use]
    pub fn url(&self) -> Option<&RemoteUrl> {
        match self {
            Self::Stdio { .. } => None,
            Self::Remote { url, .. } => Some(url),
        }
    }

    /// Whether it is the same remote server: what was got by signing in to one must never be sent to another.
    #[must_use]
    pub fn is_same_remote(&self, other: &Self) -> bool {
        matches!((self.url(), other.url()), (Some(one), Some(other)) if one == other)
    }
}

#[cfg(test)]
mod tests;
