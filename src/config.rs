//! The configuration: flags over environment variables over a file over defaults.
//!
//! [`keys`] is the table of everything that can be configured. [`resolve`] merges the sources and is pure;
//! [`Config::load`] fetches them, and is the only place of the program that reads the environment. Whatever is wrong
//! ends in one message that names the key, where it came from and what is allowed. Nothing is guessed and nothing
//! unknown is skipped.

mod agent;
mod file;
mod flags;
pub mod keys;
mod show;
mod tunnel;
mod values;

pub use agent::AgentConfig;
pub use file::ConfigFile;
pub use flags::Flags;
pub use show::{Setting, Source};
pub use tunnel::TunnelConfig;
pub use values::{DatabaseUrl, LogFormat, PostgresUrl};

use crate::domain::auth::login::SessionTtl;
use crate::domain::auth::rate::{RateLimit, RateLimits};
use crate::domain::auth::token::AccessToken;
use ipnet::IpNet;
use keys::{Key, Kind};
use secrecy::{SecretBox, SecretString};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A key that secrets are encrypted with.
pub type VaultKey = Arc<SecretBox<[u8; 32]>>;

/// Texts by name: flags by the name of their key, environment variables by their own.
pub type Values = BTreeMap<String, String>;

/// What is wrong with the configuration, in one line that is fit for the user. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The configuration. Everything in it is checked, and printing it shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The origin under which others reach the server, without a slash at the end.
    pub public_url: Option<String>,
    /// The folder for everything that is kept. It need not exist yet.
    pub data_dir: PathBuf,
    /// The storage.
    pub database_url: DatabaseUrl,
    /// The key of the secrets in the storage, if it is not to be the one in the data directory.
    pub vault_key: Option<VaultKey>,
    /// The master token, if it is not to be the one in the data directory.
    pub access_token: Option<AccessToken>,
    /// What shows the agent's status and opens nothing else.
    pub status_key: Option<SecretString>,
    /// How long login sessions last.
    pub session_ttl: SessionTtl,
    /// Whether requests from this machine need no credentials.
    pub localhost_auth_bypass: bool,
    /// Whether `?token=` is taken where clients need it.
    pub url_tokens: bool,
    /// The proxies that are believed when they say where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Further hosts as which the server may be called: names in lower case, addresses without brackets.
    pub allowed_hosts: Vec<String>,
    /// Further origins whose pages may use the API, as browsers write them.
    pub cors_origins: Vec<String>,
    /// How often clients may ask.
    pub rate_limits: RateLimits,
    /// Who answers.
    pub agent: AgentConfig,
    /// The folder with the model that makes vectors of memories.
    pub embedding_model_dir: Option<PathBuf>,
    /// The tunnel.
    pub tunnel: TunnelConfig,
    /// How many sessions are answered at once.
    pub max_concurrent: usize,
    /// How many unanswered turns are held.
    pub queue_capacity: usize,
    /// How long an MCP server may take until its first answer.
    pub mcp_start_timeout: Duration,
    /// The same, if it is only tested.
    pub mcp_test_timeout: Duration,
    /// How long running work may take to finish once the server is told to stop.
    pub shutdown_timeout: Duration,
    /// Directives for the log filter, known to be good.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What `effective` shows, by the name of the key.
    settings: BTreeMap<&'static str, Setting>,
}

impl Config {
    /// The configuration of this process: `flags`, the environment, and the file that one of the two names.
    ///
    /// # Errors
    /// For the reasons of [`resolve`]; if a named file cannot be read; and if the folder of a given database does not
    /// exist.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::load_from(&flags.0, &environment()?)
    }

    fn load_from(flags: &Values, environment: &Values) -> Result<Self, ConfigError> {
        let mut named = Given::new(flags, environment, None)?;
        let file = match (named.optional(&keys::CONFIG, values::path)?, named.find(&keys::CONFIG)) {
            (Some(path), Some((_, source))) => Some(ConfigFile::read(&path, &source)?),
            _ => None,
        };
        let mut config = resolve(flags, environment, file.as_ref())?;
        config.check_database_folder()?;
        config.read_secret_files()?;
        Ok(config)
    }

    /// A mistyped path must not become a new and empty database. Only the data directory is made when it is missing.
    fn check_database_folder(&self) -> Result<(), ConfigError> {
        let Setting { key, value, source } = &self.settings[keys::DATABASE_URL.name];
        let Some(folder) = self.database_url.folder().filter(|folder| *folder != self.data_dir) else { return Ok(()) };
        if *source == Source::Default || folder.is_dir() {
            return Ok(());
        }
        let folder = folder.display();
        Err(ConfigError(format!("invalid {key} {value:?} from {source}: the folder {folder} does not exist")))
    }

    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        read_secret(settings, &keys::VAULT_KEY_FILE, &mut self.vault_key, values::vault_key)?;
        read_secret(settings, &keys::ACCESS_TOKEN_FILE, &mut self.access_token, values::access_token)?;
        read_secret(settings, &keys::STATUS_KEY_FILE, &mut self.status_key, values::status_key)?;
        read_secret(settings, &keys::MODEL_API_KEY_FILE, &mut self.agent.api_key, values::provider_key)?;
        read_secret(settings, &keys::TUNNEL_TOKEN_FILE, &mut self.tunnel.token, values::provider_key)?;
        // No secret, but a file like those.
        read_secret(settings, &keys::SYSTEM_PROMPT_FILE, &mut self.agent.system_prompt, values::system_prompt)
    }
}

/// Fills in `secret` from the file that `key` names, if it names one.
fn read_secret<T>(
    settings: &BTreeMap<&'static str, Setting>,
    key: &Key,
    secret: &mut Option<T>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(), ConfigError> {
    let Setting { key: name, value, source } = &settings[key.name];
    if *source != Source::Default {
        let text = std::fs::read_to_string(value)
            .map_err(|error| ConfigError(format!("cannot read {name} {value:?} from {source}: {error}")))?;
        *secret = Some(parse(&text).ok_or_else(|| invalid(key, value, source))?);
    }
    Ok(())
}

/// The key in a file that a command names.
///
/// # Errors
/// If it cannot be read, or holds something else.
pub fn read_vault_key(file: &Path) -> Result<VaultKey, ConfigError> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError(format!("cannot read {shown}: {error}")))?;
    let allowed = keys::VAULT_KEY.allowed;
    values::vault_key(&text).ok_or_else(|| ConfigError(format!("{shown} holds no key: expected {allowed}")))
}

/// Merges the sources: a flag wins over an environment variable, that over the file, that over the default.
///
/// Reads no file and no environment. A file with a secret is therefore only noted, not read.
///
/// # Errors
/// If a flag or `PAWPORT_…` variable is unknown, a value is not allowed, both a secret and a file with it are given, or
/// there is no data directory because `HOME` is not set.
pub fn resolve(flags: &Values, environment: &Values, file: Option<&ConfigFile>) -> Result<Config, ConfigError> {
    let mut given = Given::new(flags, environment, file)?;
    let data_dir = given.required_or(&keys::DATA_DIR, || default_data_dir(environment), values::path)?;
    let default_database = || Ok(DatabaseUrl::Sqlite(data_dir.join("pawport.db")).to_string());
    let database_url = given.required_or(&keys::DATABASE_URL, default_database, DatabaseUrl::parse)?;
    given.show_as(&keys::DATABASE_URL, database_url.to_string());
    given.optional(&keys::CONFIG, values::path)?;
    Ok(Config {
        host: given.required(&keys::HOST, values::ip_address)?,
        port: given.required(&keys::PORT, values::port)?,
        public_url: given.optional(&keys::PUBLIC_URL, values::web_origin)?,
        data_dir,
        database_url,
        vault_key: given.secret(&keys::VAULT_KEY, &keys::VAULT_KEY_FILE, values::vault_key)?,
        access_token: given.secret(&keys::ACCESS_TOKEN, &keys::ACCESS_TOKEN_FILE, values::access_token)?,
        status_key: given.secret(&keys::STATUS_KEY, &keys::STATUS_KEY_FILE, values::status_key)?,
        session_ttl: given.required(&keys::SESSION_TOKEN_TTL_HOURS, values::session_ttl)?,
        localhost_auth_bypass: given.required(&keys::LOCALHOST_AUTH_BYPASS, values::switch)?,
        url_tokens: given.required(&keys::URL_TOKENS, values::switch)?,
        trusted_proxies: given.list(&keys::TRUSTED_PROXIES, values::network)?,
        allowed_hosts: given.list(&keys::ALLOWED_HOSTS, values::host)?,
        cors_origins: given.list(&keys::CORS_ORIGINS, values::page_origin)?,
        rate_limits: RateLimits {
            api: given.limit(&keys::RATE_LIMIT_API)?,
            auth: given.limit(&keys::RATE_LIMIT_AUTH)?,
            ws: given.limit(&keys::RATE_LIMIT_WS)?,
            key: given.limit(&keys::RATE_LIMIT_KEY)?,
        },
        agent: AgentConfig::resolve(&mut given)?,
        embedding_model_dir: given.optional(&keys::EMBEDDING_MODEL_DIR, values::path)?,
        tunnel: TunnelConfig::resolve(&mut given)?,
        max_concurrent: given.required(&keys::MAX_CONCURRENT, |text| values::number(text, &(1..=100)))?,
        queue_capacity: given.required(&keys::QUEUE_CAPACITY, |text| values::number(text, &(1..=1_000_000)))?,
        mcp_start_timeout: given
            .required(&keys::MCP_START_TIMEOUT, |text| values::number(text, &(1..=3600)).map(Duration::from_secs))?,
        mcp_test_timeout: given
            .required(&keys::MCP_TEST_TIMEOUT, |text| values::number(text, &(1..=600)).map(Duration::from_secs))?,
        shutdown_timeout: given
            .required(&keys::SHUTDOWN_TIMEOUT, |text| values::number(text, &(1..=300)).map(Duration::from_secs))?,
        log: given.required(&keys::LOG, values::log_directives)?,
        log_format: given.required(&keys::LOG_FORMAT, values::log_format)?,
        settings: given.settings,
    })
}

/// The sources, and what was taken from them so far.
struct Given<'a> {
    flags: &'a Values,
    environment: &'a Values,
    file: Option<&'a ConfigFile>,
    settings: BTreeMap<&'static str, Setting>,
}

impl<'a> Given<'a> {
    fn new(flags: &'a Values, environment: &'a Values, file: Option<&'a ConfigFile>) -> Result<Self, ConfigError> {
        let known: Vec<_> = keys::ALL.iter().filter(|key| key.flag.is_some()).map(|key| key.name).collect();
        if let Some(name) = flags.keys().find(|name| !known.contains(&name.as_str())) {
            let suggestion = keys::suggestion(name, &known);
            return Err(ConfigError(format!("unknown key {name} on the command line: {suggestion}")));
        }
        let known: Vec<_> = keys::ALL.iter().map(|key| key.variable).collect();
        let ours =
            environment.iter().filter(|(name, text)| name.starts_with(keys::VARIABLE_PREFIX) && !text.is_empty());
        if let Some((name, _)) = ours.into_iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let suggestion = keys::suggestion(name, &known);
            return Err(ConfigError(format!("unknown environment variable {name}: {suggestion}")));
        }
        Ok(Self { flags, environment, file, settings: BTreeMap::new() })
    }

    /// What the strongest source says of `key`.
    fn find(&self, key: &Key) -> Option<(&'a str, Source)> {
        let from_flag = || Some((self.flags.get(key.name)?.as_str(), Source::Flag(key.flag?)));
        // An empty variable is how shells and unit files say "not set".
        let variable = self.environment.get(key.variable).filter(|text| !text.is_empty());
        let from_variable = || Some((variable?.as_str(), Source::Variable(key.variable)));
        let from_file = || self.file?.find(key.name);
        from_flag().or_else(from_variable).or_else(from_file)
    }

    /// The value of a key that has a default.
    fn required<T>(&mut self, key: &'static Key, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        self.required_or(key, || Ok(key.default.unwrap_or_default().to_owned()), parse)
    }

    /// The value of a key whose default has to be made first.
    fn required_or<T>(
        &mut self,
        key: &'static Key,
        default: impl FnOnce() -> Result<String, ConfigError>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let (text, source) = match self.find(key) {
            Some((text, source)) => (text.to_owned(), source),
            None => (default()?, Source::Default),
        };
        let value = parse(&text).ok_or_else(|| invalid(key, &text, &source))?;
        self.note(key, text, source);
        Ok(value)
    }

    /// The value of a key that need not be given.
    fn optional<T>(&mut self, key: &'static Key, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ConfigError> {
        let Some((text, source)) = self.find(key) else {
            self.note(key, "[not set]".to_owned(), Source::Default);
            return Ok(None);
        };
        let value = parse(text).ok_or_else(|| invalid(key, text, &source))?;
        self.note(key, shown(key, text), source);
        Ok(Some(value))
    }

    /// A secret, given as it is or by a file, but not both. The file is only noted.
    fn secret<T>(
        &mut self,
        key: &'static Key,
        file_key: &'static Key,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let secret = self.optional(key, parse)?;
        self.optional(file_key, values::path)?;
        let (Some((_, source)), Some((_, file_source))) = (self.find(key), self.find(file_key)) else {
            return Ok(secret);
        };
        let (name, file_name) = (key.name, file_key.name);
        Err(ConfigError(format!(
            "both {name} (from {source}) and {file_name} (from {file_source}) are given: keep one"
        )))
    }

    /// A list, which is empty if nobody gives one.
    fn list<T>(&mut self, key: &'static Key, item: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ConfigError> {
        Ok(self.optional(key, |text| values::items(text).map(&item).collect())?.unwrap_or_default())
    }

    /// A limit, or none for `0`.
    fn limit(&mut self, key: &'static Key) -> Result<Option<RateLimit>, ConfigError> {
        self.required(key, |text| if text == "0" { Some(None) } else { values::rate_limit(text).map(Some) })
    }

    /// Shows a value in another way than it was given, without its secrets.
    fn show_as(&mut self, key: &'static Key, shown: String) {
        if let Some(setting) = self.settings.get_mut(key.name) {
            setting.value = shown;
        }
    }

    fn note(&mut self, key: &'static Key, value: String, source: Source) {
        self.settings.insert(key.name, Setting { key: key.name, value, source });
    }
}

/// What may be shown of an allowed value.
fn shown(key: &Key, text: &str) -> String {
    match key.kind {
        Kind::Secret => "[set]".to_owned(),
        Kind::List if values::items(text).next().is_none() => "[empty]".to_owned(),
        Kind::List => values::items(text).collect::<Vec<_>>().join(","),
        Kind::Plain | Kind::Switch => text.to_owned(),
    }
}

fn invalid(key: &Key, text: &str, source: &Source) -> ConfigError {
    // What stands before an @ in a URL is a password more often than not.
    let shown = if key.kind == Kind::Secret || text.contains('@') { String::new() } else { format!(" {text:?}") };
    ConfigError(format!("invalid {}{shown} from {source}: expected {}", key.name, key.allowed))
}

fn default_data_dir(environment: &Values) -> Result<String, ConfigError> {
    match environment.get("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(format!("{}/.pawport", home.trim_end_matches('/'))),
        None => Err(ConfigError(format!(
            "data_dir has no default, because HOME is not set: use --data-dir or environment variable {}",
            keys::DATA_DIR.variable
        ))),
    }
}

/// Variables by which PocketPaw knows its machine and user, as far as they are set.
#[must_use]
pub fn foreign_variables() -> Values {
    const KNOWN: [&str; 6] = ["USER", "LOGNAME", "USERNAME", "CI", "GITHUB_ACTIONS", "CI_ENVIRONMENT_ID"];
    let known = variables().filter(|(name, _)| KNOWN.contains(&name.as_str()));
    known.filter_map(|(name, text)| Some((name, text.into_string().ok()?))).collect()
}

fn variables() -> impl Iterator<Item = (String, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let all = std::env::vars_os();
    all.filter_map(|(name, text)| Some((name.into_string().ok()?, text)))
}

/// The part of the environment that concerns us.
fn environment() -> Result<Values, ConfigError> {
    variables()
        .filter(|(name, _)| name == "HOME" || name.starts_with(keys::VARIABLE_PREFIX))
        .map(|(name, text)| match text.into_string() {
            Ok(text) => Ok((name, text)),
            Err(_) => Err(ConfigError(format!("environment variable {name} is not valid UTF-8"))),
        })
        .collect()
}

/// What programs that are started see of our environment. Everything else may be a secret, and a program that needs it gets
/// it by configuration.
const INHERITED: [&str; 10] =
    ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"];

/// The variables of our environment that every child gets.
#[must_use]
pub fn inherited_by_children() -> Vec<(String, OsString)> {
    variables().filter(|(name, _)| INHERITED.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests;
