//! The table of keys: everything that can be configured, once.
//!
//! The command line, the environment, the file, `config show`, the help and the messages all read this table. A key has
//! one name everywhere: `data_dir` in the file, `--data-dir` as a flag, `PAWPORT_DATA_DIR` in the environment.

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
    /// Whether the value must not be shown.
    pub secret: bool,
}

/// Every key, in the order in which they are shown.
pub const ALL: [&Key; 13] = [
    &HOST,
    &PORT,
    &PUBLIC_URL,
    &DATA_DIR,
    &DATABASE_URL,
    &ACCESS_TOKEN,
    &ACCESS_TOKEN_FILE,
    &MAX_CONCURRENT,
    &QUEUE_CAPACITY,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
    secret: false,
};

/// Which storage to use.
pub static DATABASE_URL: Key = Key {
    name: "database_url",
    flag: Some("database-url"),
    variable: "PAWPORT_DATABASE_URL",
    in_file: true,
    placeholder: "URL",
    help: "Where sessions and webhooks are stored: sqlite://PATH, or memory: to forget them at the end",
    default: Some("sqlite://<data-dir>/pawport.db"),
    allowed: "sqlite://PATH or memory: (this build does not have postgres://)",
    secret: false,
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
    secret: true,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
    secret: false,
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
