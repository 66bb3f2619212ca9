//! How a server is reached, in parts that nobody has checked yet.

use super::TRANSPORTS;
use super::{
    Arguments, Command, EnvironmentName, HeaderName, McpTransport, Rejected, RemoteFlavor, RemoteUrl, SecretText,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// The parts. What another transport has is passed over.
#[derive(Clone, Default)]
pub struct Parts {
    /// One of [`TRANSPORTS`].
    pub transport: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// The address.
    pub url: String,
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
}

/// All but the transport and the command may hold secrets.
impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Parts");
        shown.field("transport", &self.transport).field("command", &self.command).finish_non_exhaustive()
    }
}

/// Which part was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartRejected {
    /// A transport that is none of [`TRANSPORTS`].
    #[error("its transport is not known")]
    Transport,
    /// The command.
    #[error("command: {0}")]
    Command(Rejected),
    /// The arguments.
    #[error("args: {0}")]
    Arguments(Rejected),
    /// How many variables there are, or the one of that name.
    #[error("env: {1}")]
    Environment(Option<String>, Rejected),
    /// The address.
    #[error("url: {0}")]
    Url(Rejected),
    /// How many headers there are, or the one of that name.
    #[error("headers: {1}")]
    Headers(Option<String>, Rejected),
}

impl PartRejected {
    /// The same without the name of a variable or header: what cannot be a name may be a secret.
    #[must_use]
    pub fn nameless(self) -> Self {
        match self {
            Self::Environment(_, reason) => Self::Environment(None, reason),
            Self::Headers(_, reason) => Self::Headers(None, reason),
            other => other,
        }
    }
}

impl Parts {
    /// The parts of a transport.
    #[must_use]
    pub fn of(transport: &McpTransport) -> Self {
        let name = transport.as_str().to_owned();
        match transport {
            McpTransport::Stdio { command, arguments, environment } => Self {
                transport: name,
                command: command.as_str().to_owned(),
                arguments: arguments.expose().to_vec(),
                environment: texts(environment, EnvironmentName::as_str),
                ..Self::default()
            },
            McpTransport::Remote { url, headers, .. } => Self {
                transport: name,
                url: url.expose().to_owned(),
                headers: texts(headers, HeaderName::as_str),
                ..Self::default()
            },
        }
    }

    /// The transport that they are. How many variables and headers there are is not looked at.
    ///
    /// # Errors
    /// [`PartRejected`] names the first part that breaks a rule.
    pub fn check(self) -> Result<McpTransport, PartRejected> {
        if self.transport == TRANSPORTS[0] {
            let variable = |(name, value): (String, String)| {
                let refused = |reason| PartRejected::Environment(Some(name.clone()), reason);
                Ok((EnvironmentName::parse(&name).map_err(refused)?, SecretText::variable(&value).map_err(refused)?))
            };
            return Ok(McpTransport::Stdio {
                command: Command::parse(&self.command).map_err(PartRejected::Command)?,
                arguments: Arguments::parse(self.arguments).map_err(PartRejected::Arguments)?,
                environment: self.environment.into_iter().map(variable).collect::<Result<_, _>>()?,
            });
        }
        let header = |(name, value): (String, String)| {
            let refused = |reason| PartRejected::Headers(Some(name.clone()), reason);
            Ok((HeaderName::parse(&name).map_err(refused)?, SecretText::header(&value).map_err(refused)?))
        };
        Ok(McpTransport::Remote {
            flavor: RemoteFlavor::parse(&self.transport).ok_or(PartRejected::Transport)?,
            url: RemoteUrl::parse(&self.url).map_err(PartRejected::Url)?,
            headers: self.headers.into_iter().map(header).collect::<Result<_, _>>()?,
        })
    }

    /// Checks how many variables and headers there are.
    ///
    /// # Errors
    /// [`PartRejected::Environment`], [`PartRejected::Headers`].
    pub fn check_counts(&self) -> Result<(), PartRejected> {
        if self.environment.len() > EnvironmentName::MAX {
            return Err(PartRejected::Environment(None, Rejected::TooMany(EnvironmentName::MAX)));
        }
        if self.headers.len() > HeaderName::MAX {
            return Err(PartRejected::Headers(None, Rejected::TooMany(HeaderName::MAX)));
        }
        Ok(())
    }
}

fn texts<N>(values: &BTreeMap<N, SecretText>, name: fn(&N) -> &str) -> BTreeMap<String, String> {
    values.iter().map(|(key, value)| (name(key).to_owned(), value.expose().to_owned())).collect()
}
