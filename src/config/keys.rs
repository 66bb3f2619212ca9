//! The table of keys: everything that can be configured, once.
//!
//! The command line, the environment, the file, `config show`, the help and the messages all read this table. A key has
//! one name everywhere: `data_dir` in the file, `--data-dir` as a flag, `PAWPORT_DATA_DIR` in the environment.

mod agent;
mod tunnel;

pub use agent::{
    AGENT, AGENT_COMMAND, EMBEDDING_MODEL_DIR, MODEL, MODEL_API_KEY, MODEL_API_KEY_FILE, MODEL_BASE_URL,
    SYSTEM_PROMPT_FILE,
};
pub use tunnel::{CLOUDFLARED, TUNNEL, TUNNEL_HOSTNAME, TUNNEL_TOKEN, TUNNEL_TOKEN_FILE};

/// What all environment variables of this program start with.
pub const VARIABLE_PREFIX: &str = "PAWPORT_";

/// One thing that can be configured.
#[derive(Debug)]
pub struct Key {
    /// The name, as it is written in the file.
    pub name: &'static str,
    /// The flag without its dashes. Secrets have none, because process lists show flags.
    pub flag: Option<&'static str>,
    /// The environment variable.
    pub variable: &'static str,
    /// Whether the file may hold it.
    pub in_file: bool,
    /// What stands for the value in the help.
    pub placeholder: &'static str,
    /// What it is for, in one line.
    pub help: &'static str,
    /// The value if nobody gives one. In two of them a part is filled in later: `~` and `<data-dir>`.
    pub default: Option<&'static str>,
    /// What is allowed: the end of "expected …".
    pub allowed: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
}

/// The kinds of values. They differ in how the file may hold them and in what is shown of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text or a whole number.
    Plain,
    /// `true` or `false`.
    Switch,
    /// Texts with commas between them, or an array of texts.
    List,
    /// A text that must not be shown.
    Secret,
}

/// Every key, in the order in which they are shown.
pub const ALL: [&Key; 42] = [
    &HOST,
    &PORT,
    &PUBLIC_URL,
    &DATA_DIR,
    &DATABASE_URL,
    &VAULT_KEY,
    &VAULT_KEY_FILE,
    &ACCESS_TOKEN,
    &ACCESS_TOKEN_FILE,
    &STATUS_KEY,
    &STATUS_KEY_FILE,
    &SESSION_TOKEN_TTL_HOURS,
    &LOCALHOST_AUTH_BYPASS,
    &URL_TOKENS,
    &TRUSTED_PROXIES,
    &ALLOWED_HOSTS,
    &CORS_ORIGINS,
    &RATE_LIMIT_API,
    &RATE_LIMIT_AUTH,
    &RATE_LIMIT_WS,
    &RATE_LIMIT_KEY,
    &AGENT,
    &MODEL,
    &MODEL_BASE_URL,
    &MODEL_API_KEY,
    &MODEL_API_KEY_FILE,
    &AGENT_COMMAND,
    &SYSTEM_PROMPT_FILE,
    &EMBEDDING_MODEL_DIR,
    &TUNNEL,
    &CLOUDFLARED,
    &TUNNEL_TOKEN,
    &TUNNEL_TOKEN_FILE,
    &TUNNEL_HOSTNAME,
    &MAX_CONCURRENT,
    &QUEUE_CAPACITY,
    &MCP_START_TIMEOUT,
    &MCP_TEST_TIMEOUT,
    &SHUTDOWN_TIMEOUT,
    &LOG,
    &LOG_FORMAT,
    &CONFIG,
];

/// Where to listen.
pub static HOST: Key = Key {
    name: "host",
    flag: Some("host"),
    variable: "PAWPORT_HOST",
    in_file: true,
    placeholder: "ADDRESS",
    help: "IP address to listen on; 0.0.0.0 for all that this machine has",
    default: Some("127.0.0.1"),
    allowed: "an IP address such as 127.0.0.1 or ::1",
    kind: Kind::Plain,
};

/// Where to listen, second half.
pub static PORT: Key = Key {
    name: "port",
    flag: Some("port"),
    variable: "PAWPORT_PORT",
    in_file: true,
    placeholder: "PORT",
    help: "Port to listen on; 0 takes a free one",
    default: Some("8000"),
    allowed: "a number from 0 to 65535",
    kind: Kind::Plain,
};

/// How others reach the server.
pub static PUBLIC_URL: Key = Key {
    name: "public_url",
    flag: Some("public-url"),
    variable: "PAWPORT_PUBLIC_URL",
    in_file: true,
    placeholder: "URL",
    help: "Address under which others reach the server; webhook URLs begin with it",
    default: None,
    allowed: "scheme, host and port only, such as https://paw.example.org, without a slash at the end",
    kind: Kind::Plain,
};

/// Where everything is kept.
pub static DATA_DIR: Key = Key {
    name: "data_dir",
    flag: Some("data-dir"),
    variable: "PAWPORT_DATA_DIR",
    in_file: true,
    placeholder: "FOLDER",
    help: "Folder for the database, the access token and whatever else is kept",
    default: Some("~/.pawport"),
    allowed: "a folder (a leading ~ is the shell's and means nothing here)",
    kind: Kind::Plain,
};

/// Which storage to use.
pub static DATABASE_URL: Key = Key {
    name: "database_url",
    flag: Some("database-url"),
    variable: "PAWPORT_DATABASE_URL",
    in_file: true,
    placeholder: "URL",
    help: "Where everything is stored: sqlite://PATH, postgres://USER@HOST/DATABASE, or memory: to forget it at the end",
    default: Some("sqlite://<data-dir>/pawport.db"),
    allowed: "sqlite://PATH, postgres://USER@HOST/DATABASE or memory:",
    kind: Kind::Plain,
};

/// The key of the secrets in the storage.
pub static VAULT_KEY: Key = Key {
    name: "vault_key",
    flag: None,
    variable: "PAWPORT_VAULT_KEY",
    in_file: true,
    placeholder: "KEY",
    help: "Key that secrets in the database are encrypted with, in place of the file vault.key in the data directory",
    default: None,
    allowed: "64 hexadecimal digits",
    kind: Kind::Secret,
};

/// That key, from a file.
pub static VAULT_KEY_FILE: Key = Key {
    name: "vault_key_file",
    flag: None,
    variable: "PAWPORT_VAULT_KEY_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that holds the vault key, and nothing else",
    default: None,
    allowed: "a file that holds 64 hexadecimal digits",
    kind: Kind::Plain,
};

/// The master token itself.
pub static ACCESS_TOKEN: Key = Key {
    name: "access_token",
    flag: None,
    variable: "PAWPORT_ACCESS_TOKEN",
    in_file: true,
    placeholder: "TOKEN",
    help: "Access token, in place of the one that the server makes at its first start",
    default: None,
    allowed: "32 to 256 printable ASCII characters without spaces",
    kind: Kind::Secret,
};

/// The master token, from a file.
pub static ACCESS_TOKEN_FILE: Key = Key {
    name: "access_token_file",
    flag: None,
    variable: "PAWPORT_ACCESS_TOKEN_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that holds the access token, and nothing else",
    default: None,
    allowed: "a file that holds 32 to 256 printable ASCII characters without spaces",
    kind: Kind::Plain,
};

/// What shows the agent's status and opens nothing else.
pub static STATUS_KEY: Key = Key {
    name: "status_key",
    flag: None,
    variable: "PAWPORT_STATUS_KEY",
    in_file: true,
    placeholder: "KEY",
    help: "Key with which the agent's status can be watched, and nothing else",
    default: None,
    allowed: "16 to 256 printable ASCII characters without spaces",
    kind: Kind::Secret,
};

/// The status key, from a file.
pub static STATUS_KEY_FILE: Key = Key {
    name: "status_key_file",
    flag: None,
    variable: "PAWPORT_STATUS_KEY_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that holds the status key, and nothing else",
    default: None,
    allowed: "a file that holds 16 to 256 printable ASCII characters without spaces",
    kind: Kind::Plain,
};

/// How long a login lasts.
pub static SESSION_TOKEN_TTL_HOURS: Key = Key {
    name: "session_token_ttl_hours",
    flag: Some("session-token-ttl-hours"),
    variable: "PAWPORT_SESSION_TOKEN_TTL_HOURS",
    in_file: true,
    placeholder: "HOURS",
    help: "Hours that a session token is good for",
    default: Some("24"),
    allowed: "a number of hours from 1 to 8760",
    kind: Kind::Plain,
};

/// Whether being on this machine is enough.
pub static LOCALHOST_AUTH_BYPASS: Key = Key {
    name: "localhost_auth_bypass",
    flag: Some("localhost-auth-bypass"),
    variable: "PAWPORT_LOCALHOST_AUTH_BYPASS",
    in_file: true,
    placeholder: "true|false",
    help: "Whether requests from this machine need no credentials",
    default: Some("true"),
    allowed: "true or false",
    kind: Kind::Switch,
};

/// Whether a URL may hold a token.
pub static URL_TOKENS: Key = Key {
    name: "url_tokens",
    flag: Some("url-tokens"),
    variable: "PAWPORT_URL_TOKENS",
    in_file: true,
    placeholder: "true|false",
    help: "Whether ?token= is taken where clients need it: for the page, the event stream and the WebSocket",
    default: Some("true"),
    allowed: "true or false",
    kind: Kind::Switch,
};

/// Who is believed about where a request comes from.
pub static TRUSTED_PROXIES: Key = Key {
    name: "trusted_proxies",
    flag: Some("trusted-proxies"),
    variable: "PAWPORT_TRUSTED_PROXIES",
    in_file: true,
    placeholder: "NETWORKS",
    help: "Reverse proxies that are believed when they say where a request comes from",
    default: None,
    allowed: "addresses or networks such as 127.0.0.1 or 10.0.0.0/8, with commas between them",
    kind: Kind::List,
};

/// What the server may be called.
pub static ALLOWED_HOSTS: Key = Key {
    name: "allowed_hosts",
    flag: Some("allowed-hosts"),
    variable: "PAWPORT_ALLOWED_HOSTS",
    in_file: true,
    placeholder: "HOSTS",
    help: "Further names under which the server may be called (the Host header)",
    default: None,
    allowed: "host names or addresses such as paw.example.org, without scheme and port, with commas between them",
    kind: Kind::List,
};

/// Which pages of others may use the API.
pub static CORS_ORIGINS: Key = Key {
    name: "cors_origins",
    flag: Some("cors-origins"),
    variable: "PAWPORT_CORS_ORIGINS",
    in_file: true,
    placeholder: "ORIGINS",
    help: "Further origins whose pages may use the API",
    default: None,
    allowed: "origins such as https://paw.example.org or tauri://localhost, without a slash at the end, with commas between them",
    kind: Kind::List,
};

/// What each of the limits below allows.
const RATE_LIMIT: &str =
    "a number from 0.01 to 100000, a slash and a burst from 1 to 100000, such as 10/30; or 0 for no limit";

/// How much one client may ask.
pub static RATE_LIMIT_API: Key = Key {
    name: "rate_limit_api",
    flag: Some("rate-limit-api"),
    variable: "PAWPORT_RATE_LIMIT_API",
    in_file: true,
    placeholder: "RATE/BURST",
    help: "Requests a second and burst, per credential",
    default: Some("10/30"),
    allowed: RATE_LIMIT,
    kind: Kind::Plain,
};

/// How often one address may try to get in.
pub static RATE_LIMIT_AUTH: Key = Key {
    name: "rate_limit_auth",
    flag: Some("rate-limit-auth"),
    variable: "PAWPORT_RATE_LIMIT_AUTH",
    in_file: true,
    placeholder: "RATE/BURST",
    help: "Sign-ins, pairing codes and failed proofs, per address",
    default: Some("1/5"),
    allowed: RATE_LIMIT,
    kind: Kind::Plain,
};

/// How often one client may open what stays open.
pub static RATE_LIMIT_WS: Key = Key {
    name: "rate_limit_ws",
    flag: Some("rate-limit-ws"),
    variable: "PAWPORT_RATE_LIMIT_WS",
    in_file: true,
    placeholder: "RATE/BURST",
    help: "New event streams and WebSockets, per credential",
    default: Some("2/5"),
    allowed: RATE_LIMIT,
    kind: Kind::Plain,
};

/// How much one API key may ask.
pub static RATE_LIMIT_KEY: Key = Key {
    name: "rate_limit_key",
    flag: Some("rate-limit-key"),
    variable: "PAWPORT_RATE_LIMIT_KEY",
    in_file: true,
    placeholder: "RATE/BURST",
    help: "Requests of one API key",
    default: Some("1/60"),
    allowed: RATE_LIMIT,
    kind: Kind::Plain,
};

/// How much is answered at once.
pub static MAX_CONCURRENT: Key = Key {
    name: "max_concurrent",
    flag: Some("max-concurrent"),
    variable: "PAWPORT_MAX_CONCURRENT",
    in_file: true,
    placeholder: "NUMBER",
    help: "Sessions that are answered at the same time",
    default: Some("5"),
    allowed: "a number from 1 to 100",
    kind: Kind::Plain,
};

/// How much may wait.
pub static QUEUE_CAPACITY: Key = Key {
    name: "queue_capacity",
    flag: Some("queue-capacity"),
    variable: "PAWPORT_QUEUE_CAPACITY",
    in_file: true,
    placeholder: "NUMBER",
    help: "Messages that may wait for an answer; beyond that, deliveries are refused with status 503",
    default: Some("10000"),
    allowed: "a number from 1 to 1000000",
    kind: Kind::Plain,
};

/// How long the program of an MCP server may be silent.
pub static MCP_START_TIMEOUT: Key = Key {
    name: "mcp_start_timeout",
    flag: Some("mcp-start-timeout"),
    variable: "PAWPORT_MCP_START_TIMEOUT",
    in_file: true,
    placeholder: "SECONDS",
    help: "Seconds that an MCP server gets until its first answer; npx and uvx download what they start",
    default: Some("300"),
    allowed: "a number of seconds from 1 to 3600",
    kind: Kind::Plain,
};

/// The same, if it is only tested.
pub static MCP_TEST_TIMEOUT: Key = Key {
    name: "mcp_test_timeout",
    flag: Some("mcp-test-timeout"),
    variable: "PAWPORT_MCP_TEST_TIMEOUT",
    in_file: true,
    placeholder: "SECONDS",
    help: "The same for an MCP server that is only tested",
    default: Some("60"),
    allowed: "a number of seconds from 1 to 600",
    kind: Kind::Plain,
};

/// How long the end may take.
pub static SHUTDOWN_TIMEOUT: Key = Key {
    name: "shutdown_timeout",
    flag: Some("shutdown-timeout"),
    variable: "PAWPORT_SHUTDOWN_TIMEOUT",
    in_file: true,
    placeholder: "SECONDS",
    help: "Seconds that running work gets to finish when the server is told to stop",
    default: Some("10"),
    allowed: "a number of seconds from 1 to 300",
    kind: Kind::Plain,
};

/// What is logged.
pub static LOG: Key = Key {
    name: "log",
    flag: Some("log"),
    variable: "PAWPORT_LOG",
    in_file: true,
    placeholder: "DIRECTIVES",
    help: "What is logged: a level, or levels by module such as warn,pawport=debug",
    default: Some("info"),
    allowed: "error, warn, info, debug, trace or off, or a list by module such as warn,pawport=debug",
    kind: Kind::Plain,
};

/// How the log looks.
pub static LOG_FORMAT: Key = Key {
    name: "log_format",
    flag: Some("log-format"),
    variable: "PAWPORT_LOG_FORMAT",
    in_file: true,
    placeholder: "FORMAT",
    help: "How log lines look: text or json",
    default: Some("text"),
    allowed: "text or json",
    kind: Kind::Plain,
};

/// The file that holds all the others.
pub static CONFIG: Key = Key {
    name: "config",
    flag: Some("config"),
    variable: "PAWPORT_CONFIG",
    // A file that names another one would need rules for which of the two wins.
    in_file: false,
    placeholder: "FILE",
    help: "TOML file to read the configuration from; without this, none is read",
    default: None,
    allowed: "a file (a leading ~ is the shell's and means nothing here)",
    kind: Kind::Plain,
};

/// The end of a message about the unknown name `unknown`: the known name that looks most like it, and all of them.
#[must_use]
pub fn suggestion(unknown: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    // What all variables begin with says nothing about which one was meant.
    let bare = |name| str::trim_start_matches(name, VARIABLE_PREFIX);
    known
        .iter()
        .map(|name| (strsim::levenshtein(bare(unknown), bare(name)), name))
        .min()
        // Farther than this, it is not a slip of the finger.
        .filter(|(distance, name)| *distance <= bare(name).len().div_ceil(3))
        .map_or_else(|| format!("known are {list}"), |(_, name)| format!("did you mean {name}? (known are {list})"))
}
