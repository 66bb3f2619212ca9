//! Servers that can be added by name.

use super::tool::ToolFilter;
use super::values::Rejected;
use super::{Arguments, CallTimeout, Command, EnvironmentName, McpServer, McpServerName, McpTransport, RemoteFlavor};
use super::{RemoteUrl, SecretText};
use crate::domain::time::Timestamp;
use std::collections::BTreeMap;
use thiserror::Error;

/// A well-known server.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its id, which is also the name of the server that is made from it.
    pub id: McpServerName,
    /// Its name for people.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// The name of a picture: <https://lucide.dev/icons>.
    pub icon: String,
    /// What it is listed under.
    pub category: String,
    /// Where its documentation is.
    pub docs_url: String,
    /// The name of its package in the registry that the command takes it from; empty for a remote server.
    pub package: String,
    /// How it is reached.
    pub transport: PresetTransport,
    /// Variables of its environment.
    pub keys: Vec<PresetKey>,
}

/// How the server of a preset is reached.
#[derive(Debug, Clone)]
pub enum PresetTransport {
    /// A program.
    Stdio {
        /// The program.
        command: Command,
        /// Its arguments.
        arguments: Arguments,
        /// What further arguments have to be given, if any have.
        extra_arguments: Option<String>,
    },
    /// An address.
    Remote {
        /// The address.
        url: RemoteUrl,
        /// The protocol spoken there.
        flavor: RemoteFlavor,
        /// Whether the user has to sign in.
        oauth: bool,
    },
}

/// A variable that a preset's program reads.
#[derive(Debug, Clone)]
pub struct PresetKey {
    /// Its name.
    pub key: EnvironmentName,
    /// What it is, for people.
    pub label: String,
    /// What a value looks like.
    pub placeholder: String,
    /// Whether the program needs it.
    pub required: bool,
    /// Whether its value lets somebody in.
    pub secret: bool,
}

/// Why a preset cannot be installed with what was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstallRejected {
    /// Values that it needs are missing or empty.
    #[error("Missing required env vars: {}", .0.join(", "))]
    KeysMissing(Vec<String>),
    /// Arguments that it needs are missing.
    #[error("Missing extra_args: {0}")]
    ArgumentsMissing(String),
    /// A variable is not one of the preset's.
    #[error("is not a variable of this preset; add the server by hand to set others")]
    UnknownKey(String),
    /// A value breaks a rule.
    #[error("{1}")]
    Value(String, Rejected),
    /// The arguments break a rule, or the preset takes none.
    #[error("{0}")]
    Arguments(Rejected),
    /// A remote server takes no arguments.
    #[error("this preset is a remote server, which takes no arguments")]
    NoArguments,
}

impl Preset {
    /// The server that is made from the preset.
    ///
    /// # Errors
    /// [`InstallRejected`] says what is missing or wrong.
    pub fn server(
        &self,
        mut values: BTreeMap<String, String>,
        extra_arguments: Vec<String>,
        now: Timestamp,
    ) -> Result<McpServer, InstallRejected> {
        values.retain(|_, value| !value.trim().is_empty());
        let missing = self.keys.iter().filter(|key| key.required && !values.contains_key(key.key.as_str()));
        let missing: Vec<String> = missing.map(|key| key.key.as_str().to_owned()).collect();
        if !missing.is_empty() {
            return Err(InstallRejected::KeysMissing(missing));
        }
        let environment = values.into_iter().map(|(name, value)| {
            let key = self.keys.iter().find(|key| key.key.as_str() == name);
            let key = key.ok_or_else(|| InstallRejected::UnknownKey(name.clone()))?;
            let value = SecretText::variable(&value).map_err(|rejected| InstallRejected::Value(name, rejected))?;
            Ok((key.key.clone(), value))
        });
        let environment = environment.collect::<Result<BTreeMap<_, _>, _>>()?;
        let transport = match &self.transport {
            PresetTransport::Stdio { command, arguments, extra_arguments: needed } => {
                if let Some(what) = needed
                    && extra_arguments.iter().all(|argument| argument.trim().is_empty())
                {
                    return Err(InstallRejected::ArgumentsMissing(what.clone()));
                }
                let arguments = arguments.expose().iter().cloned().chain(extra_arguments).collect();
                let arguments = Arguments::parse(arguments).map_err(InstallRejected::Arguments)?;
                McpTransport::Stdio { command: command.clone(), arguments, environment }
            }
            PresetTransport::Remote { .. } if !extra_arguments.is_empty() => return Err(InstallRejected::NoArguments),
            PresetTransport::Remote { url, flavor, .. } => {
                McpTransport::Remote { url: url.clone(), flavor: *flavor, headers: BTreeMap::new() }
            }
        };
        Ok(McpServer {
            name: self.id.clone(),
            transport,
            enabled: true,
            call_timeout: CallTimeout::default(),
            tools: ToolFilter::default(),
            preset: Some(self.id.as_str().to_owned()),
            created: now,
        })
    }

    /// The name of the transport on the wire.
    #[must_use]
    pub fn transport_name(&self) -> &'static str {
        match &self.transport {
            PresetTransport::Stdio { .. } => super::TRANSPORTS[0],
            PresetTransport::Remote { flavor, .. } => flavor.as_str(),
        }
    }
}
