//! The parts of a server's configuration, each checked once.

use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use thiserror::Error;

/// Why a value was refused, in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejected {
    /// A server without a name.
    #[error("Server name is required")]
    NameMissing,
    /// A name with characters that are not allowed, or too long.
    #[error("must have at most 64 letters, digits, hyphens, dots and underscores, and begin with a letter or digit")]
    Name,
    /// A stdio server without a command.
    #[error("a server with the transport stdio needs a command")]
    CommandMissing,
    /// A remote server without an address.
    #[error("a server with this transport needs a url")]
    UrlMissing,
    /// An address that is none, or of another kind than http and https.
    #[error("must be an address that begins with http:// or https://")]
    Url,
    /// An address with a user name or password in it.
    #[error("must not contain a user name or password; send them in headers")]
    UrlCredentials,
    /// Too long.
    #[error("must have at most {0} bytes")]
    TooLong(usize),
    /// Too many members or elements.
    #[error("must have at most {0} elements")]
    TooMany(usize),
    /// A character that no program, header or storage takes.
    #[error("must not contain NUL, or line breaks where one line is wanted")]
    Characters,
    /// A name of a variable that is none.
    #[error("names of variables must not be empty and must not contain '=' or NUL")]
    VariableName,
    /// A header that is none, or one that the transport sets itself.
    #[error("must be the name of a header that the connection does not set itself")]
    HeaderName,
    /// A time limit out of bounds.
    #[error("Input should be from 1 to 600 seconds")]
    Timeout,
}

/// The name of a server: 1 to 64 letters, digits, hyphens, dots and underscores (ASCII), beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct McpServerName(String);

impl McpServerName {
    /// The longest name.
    pub const MAX_LEN: usize = 64;

    /// Trims and checks a name.
    ///
    /// # Errors
    /// [`Rejected::NameMissing`], [`Rejected::Name`].
    pub fn parse(name: &str) -> Result<Self, Rejected> {
        let name = name.trim();
        if name.is_empty() {
            return Err(Rejected::NameMissing);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_good = name.len() <= Self::MAX_LEN && name.bytes().all(is_plain);
        if is_good && name.as_bytes()[0].is_ascii_alphanumeric() {
            Ok(Self(name.to_owned()))
        } else {
            Err(Rejected::Name)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A program to start: a name that is looked for in `PATH`, or a path. At most [`Command::MAX_LEN`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(String);

impl Command {
    /// The longest, in bytes: Linux takes no longer path.
    pub const MAX_LEN: usize = 4096;

    /// Trims and checks a command.
    ///
    /// # Errors
    /// [`Rejected::CommandMissing`], [`Rejected::TooLong`], [`Rejected::Characters`].
    pub fn parse(command: &str) -> Result<Self, Rejected> {
        let command = command.trim();
        if command.is_empty() {
            return Err(Rejected::CommandMissing);
        }
        if command.len() > Self::MAX_LEN {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        if command.contains(['\0', '\n', '\r']) {
            return Err(Rejected::Characters);
        }
        Ok(Self(command.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The arguments of a program: at most [`Arguments::MAX`] of at most [`Arguments::MAX_LEN`] bytes. Some hold secrets, so
/// they do not print.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// How many there may be.
    pub const MAX: usize = 128;

    /// The longest, in bytes.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Checks arguments.
    ///
    /// # Errors
    /// [`Rejected::TooMany`], [`Rejected::TooLong`], [`Rejected::Characters`].
    pub fn parse(arguments: Vec<String>) -> Result<Self, Rejected> {
        if arguments.len() > Self::MAX {
            return Err(Rejected::TooMany(Self::MAX));
        }
        for argument in &arguments {
            if argument.len() > Self::MAX_LEN {
                return Err(Rejected::TooLong(Self::MAX_LEN));
            }
            if argument.contains('\0') {
                return Err(Rejected::Characters);
            }
        }
        Ok(Self(arguments))
    }

    /// The arguments, for the program and for nobody else: see [`super::mask::arguments`].
    #[must_use]
    pub fn expose(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Arguments({})", self.0.len())
    }
}

/// The name of a variable: not empty, without `=` and NUL, at most [`EnvironmentName::MAX_LEN`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// The longest, in bytes.
    pub const MAX_LEN: usize = 256;

    /// How many variables a server may have.
    pub const MAX: usize = 128;

    /// Checks a name.
    ///
    /// # Errors
    /// [`Rejected::VariableName`], [`Rejected::TooLong`].
    pub fn parse(name: &str) -> Result<Self, Rejected> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Rejected::VariableName);
        }
        if name.len() > Self::MAX_LEN {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        Ok(Self(name.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a header (RFC 9110 §5.1), in lower case, and not one that the transport sets itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

impl HeaderName {
    /// The longest, in bytes.
    pub const MAX_LEN: usize = 128;

    /// How many headers a server may have.
    pub const MAX: usize = 32;

    /// What belongs to the connection or to the protocol.
    const TAKEN: [&str; 9] = [
        "accept",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
    ];

    /// Checks a name.
    ///
    /// # Errors
    /// [`Rejected::HeaderName`]
    pub fn parse(name: &str) -> Result<Self, Rejected> {
        let name = name.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_good = !name.is_empty() && name.len() <= Self::MAX_LEN && name.bytes().all(is_token);
        if is_good && !Self::TAKEN.contains(&name.as_str()) { Ok(Self(name)) } else { Err(Rejected::HeaderName) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value of a variable or header, which is taken to be a secret. At most [`SecretText::MAX_LEN`] bytes, no NUL.
#[derive(Debug, Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// The longest, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;

    /// The value of a variable.
    ///
    /// # Errors
    /// [`Rejected::TooLong`], [`Rejected::Characters`].
    pub fn variable(value: &str) -> Result<Self, Rejected> {
        if value.len() > Self::MAX_LEN {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        if value.contains('\0') {
            return Err(Rejected::Characters);
        }
        Ok(Self(SecretString::from(value)))
    }

    /// The value of a header: visible ASCII, spaces and tabs (RFC 9110 §5.5).
    ///
    /// # Errors
    /// As [`SecretText::variable`].
    pub fn header(value: &str) -> Result<Self, Rejected> {
        if value.bytes().any(|byte| byte != b'\t' && !(0x20..0x7f).contains(&byte)) {
            return Err(Rejected::Characters);
        }
        Self::variable(value.trim())
    }

    /// The text, for the server and for nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretText {}

/// The address of a remote server: `http` or `https`, a host, no user name or password, no fragment. Its query may hold a
/// secret, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl(String);

impl RemoteUrl {
    /// The longest, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Trims and checks an address.
    ///
    /// # Errors
    /// [`Rejected::UrlMissing`], [`Rejected::Url`], [`Rejected::UrlCredentials`], [`Rejected::TooLong`].
    pub fn parse(url: &str) -> Result<Self, Rejected> {
        let url = url.trim();
        if url.is_empty() {
            return Err(Rejected::UrlMissing);
        }
        let too_long = |url: &str| url.len() > Self::MAX_LEN;
        if too_long(url) {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        let parsed = url::Url::parse(url).map_err(|_| Rejected::Url)?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() || parsed.fragment().is_some() {
            return Err(Rejected::Url);
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Rejected::UrlCredentials);
        }
        // What is kept has every odd character written in three.
        if too_long(parsed.as_str()) {
            return Err(Rejected::TooLong(Self::MAX_LEN));
        }
        Ok(Self(parsed.into()))
    }

    /// All of it, for the connection and for nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be shown: all but the query.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }
}

impl std::fmt::Debug for RemoteUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RemoteUrl({})", self.shown())
    }
}

/// How long a call of a tool may take: 1 to 600 seconds, 30 unless given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimeout(u16);

impl CallTimeout {
    /// The allowed time limit of so many seconds.
    ///
    /// # Errors
    /// [`Rejected::Timeout`]
    pub fn from_secs(seconds: i64) -> Result<Self, Rejected> {
        match u16::try_from(seconds) {
            Ok(seconds @ 1..=600) => Ok(Self(seconds)),
            _ => Err(Rejected::Timeout),
        }
    }

    /// In seconds.
    #[must_use]
    pub fn as_secs(self) -> u16 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for CallTimeout {
    fn default() -> Self {
        Self(30)
    }
}
