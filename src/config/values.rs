//! From a text to a value. Every function gives `None` for what its key does not allow.

use crate::domain::auth::AccessToken;
use axum::http::Uri;
use secrecy::SecretString;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Where things are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// An SQLite file. A relative path is taken from the current directory.
    Sqlite(PathBuf),
    /// In memory: everything is gone at the end.
    Memory,
}

impl DatabaseUrl {
    /// Reads `sqlite://PATH` or `memory:`. The path is taken as it is: nothing in it is decoded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "memory:" {
            return Some(Self::Memory);
        }
        let path = text.strip_prefix("sqlite://")?;
        // To other programs a query, or `file:`, means something. SQLite would heed the latter, and open another file than we
        // think.
        if path.contains(['?', '#']) || path.ends_with('/') || path == ":memory:" || path.starts_with("file:") {
            return None;
        }
        self::path(path).map(Self::Sqlite)
    }

    /// The folder that must be there already. `None` if none is needed.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(file) => match file.parent() {
                Some(folder) if folder.as_os_str().is_empty() => Some(Path::new(".")),
                folder => folder,
            },
            Self::Memory => None,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite://{}", path.display()),
            Self::Memory => formatter.write_str("memory:"),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

pub(super) fn ip_address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok()
}

pub(super) fn number<T: FromStr + PartialOrd>(text: &str, allowed: &RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| allowed.contains(number))
}

/// A path. A leading `~` is refused, since a folder of that name is never what was meant.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    let sensible = !text.is_empty() && !text.starts_with('~') && !text.contains('\0');
    sensible.then(|| PathBuf::from(text))
}

/// An origin: scheme, host and perhaps a port; no user, no path, no query, no slash at the end.
pub(super) fn origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let host = Some(authority.host()).filter(|host| !host.is_empty())?;
    let canonical = match authority.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    // Comparing the whole text refuses every other part of a URL at once.
    (text == canonical).then_some(canonical)
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// Directives that the log filter takes. The filter cannot be cloned, so the text is kept.
pub(super) fn log_directives(text: &str) -> Option<String> {
    // A word alone would be taken for a module, and a slip such as `inof` would switch the log off.
    let is_level = |word: &str| word.contains('=') || (!word.is_empty() && word.parse::<LevelFilter>().is_ok());
    let sensible = text.split(',').all(|part| is_level(part.trim())) && EnvFilter::builder().parse(text).is_ok();
    sensible.then(|| text.to_owned())
}

pub(super) fn access_token(text: &str) -> Option<AccessToken> {
    AccessToken::parse(&SecretString::from(text)).ok()
}
