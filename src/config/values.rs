//! From a text to a value. Every function gives `None` for what its key does not allow.

use crate::domain::auth::login::SessionTtl;
use crate::domain::auth::rate::RateLimit;
use crate::domain::auth::token::AccessToken;
use axum::http::Uri;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

/// Where things are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// An SQLite file. A relative path is taken from the current directory.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(PostgresUrl),
    /// In memory: everything is gone at the end.
    Memory,
}

impl DatabaseUrl {
    /// Reads `sqlite://PATH`, `postgres://…` or `memory:`. The path is taken as it is: nothing in it is decoded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "memory:" {
            return Some(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return PostgresUrl::parse(text).map(Self::Postgres);
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
            Self::Postgres(_) | Self::Memory => None,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(formatter),
            Self::Memory => formatter.write_str("memory:"),
        }
    }
}

/// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE`, as libpq reads it. Shown without its passwords.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>
#[derive(Debug, Clone)]
pub struct PostgresUrl {
    secret: SecretString,
    shown: String,
}

impl PostgresUrl {
    fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        // What libpq cannot decode it repeats in its message; and a password with a slash in it would end in the path.
        if !is_well_escaped(text) || url.path().contains('@') {
            return None;
        }
        let secret = SecretString::from(text);
        if url.password().is_some() {
            url.set_password(Some("***")).ok()?;
        }
        // libpq takes passwords from the query, too.
        let masked = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            let value = if name.contains("password") { "***" } else { &value };
            format!("{name}={value}")
        };
        let query: Vec<String> = url.query_pairs().map(masked).collect();
        url.set_query(None);
        let shown = if query.is_empty() { url.to_string() } else { format!("{url}?{}", query.join("&")) };
        Some(Self { secret, shown })
    }

    /// Whether there are any.
    fn has_password(&self) -> bool {
        self.shown.contains("***")
    }

    /// The URL with its passwords.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }
}

impl Eq for PostgresUrl {}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Whether each `%` is followed by two hexadecimal digits that are not those of a NUL.
fn is_well_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        after.get(..2).is_some_and(|digits| digits != "00" && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

/// Whether a text is the URL of a database with a password in it.
pub(super) fn holds_password(text: &str) -> bool {
    matches!(DatabaseUrl::parse(text), Some(DatabaseUrl::Postgres(url)) if url.has_password())
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

/// An origin that a browser can open.
pub(super) fn web_origin(text: &str) -> Option<String> {
    origin(text).filter(|origin| origin.starts_with("http://") || origin.starts_with("https://"))
}

/// The origin of a page, as browsers write it: in lower case, and without the port that goes without saying. Programs
/// with a browser inside have schemes of their own.
pub(super) fn page_origin(text: &str) -> Option<String> {
    let origin = origin(&text.to_ascii_lowercase())?;
    let usual_port = match origin.split_once(':')?.0 {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Some(origin.strip_suffix(usual_port).unwrap_or(&origin).to_owned())
}

/// An origin: scheme, host and perhaps a port; no user, no path, no query, no slash at the end.
fn origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let name = authority.host();
    host(name)?;
    let canonical = match authority.port_u16() {
        Some(port) => format!("{scheme}://{name}:{port}"),
        None => format!("{scheme}://{name}"),
    };
    // Comparing the whole text refuses every other part of a URL at once.
    (text == canonical).then_some(canonical)
}

/// A host: a name in lower case, or an address in its shortest form, without brackets.
pub(super) fn host(text: &str) -> Option<String> {
    let address = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(text) => text.parse().map(IpAddr::V6),
        None => text.parse(),
    };
    if let Ok(address) = address {
        return Some(address.to_string());
    }
    let is_label = |label: &str| {
        let has_its_characters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        has_its_characters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    // What ends in a number is an address to everybody else, and so a mistyped one.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let sensible = text.len() <= 253 && text.split('.').all(is_label) && !text.rsplit('.').take(1).all(is_number);
    sensible.then(|| text.to_ascii_lowercase())
}

/// A network. An address alone is a network of one.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc())
}

/// The items of a list. Spaces around them, and commas too many, mean nothing.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(super) fn switch(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn session_ttl(text: &str) -> Option<SessionTtl> {
    SessionTtl::from_hours(text.parse().ok()?)
}

/// A limit: requests a second, a slash, burst.
pub(super) fn rate_limit(text: &str) -> Option<RateLimit> {
    let (per_second, burst) = text.split_once('/')?;
    // Numbers with an exponent, and those that are none, are not meant to be read by people.
    let is_decimal = per_second.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let per_second = per_second.parse().ok().filter(|_| is_decimal)?;
    RateLimit::new(per_second, burst.parse().ok()?)
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

/// The key of whoever watches the agent's status. White space around it is not part of it.
pub(super) fn status_key(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let sensible = (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sensible.then(|| SecretString::from(text))
}

/// The name of a model. White space around it is not part of it.
pub(super) fn model(text: &str) -> Option<String> {
    let text = text.trim();
    let sensible = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    sensible.then(|| text.to_owned())
}

/// What a provider gave its customer: a key, a token. White space around it is not part of it.
pub(super) fn provider_key(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let sensible = (1..=10_000).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sensible.then(|| SecretString::from(text))
}

/// A program and its arguments, in the words and quotes of a shell.
pub(super) fn command(text: &str) -> Option<Vec<String>> {
    let words = shlex::split(text)?;
    let sensible = words.first().is_some_and(|program| !program.is_empty()) && !text.contains('\0');
    sensible.then_some(words)
}

/// How the agent is to behave.
pub(super) fn system_prompt(text: &str) -> Option<String> {
    crate::domain::text::bounded(text, 32_000).ok()
}

/// The key of the vault. White space around it is not part of it.
pub(super) fn vault_key(text: &str) -> Option<Arc<SecretBox<[u8; 32]>>> {
    let mut key = Box::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *key).ok()?;
    Some(Arc::new(SecretBox::new(key)))
}

#[cfg(test)]
mod tests;
