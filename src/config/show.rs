//! What `pawport config show` shows: every key, its value and where that came from.

use super::{Config, keys};
use std::fmt::{self, Write};
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line; the flag without its dashes.
    Flag(&'static str),
    /// The environment.
    Variable(&'static str),
    /// The configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// Nobody gave it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(formatter, "--{flag}"),
            Self::Variable(variable) => write!(formatter, "environment variable {variable}"),
            Self::File { path, line } => write!(formatter, "config file {} line {line}", path.display()),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// One row: a key with the value that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name of the key.
    pub key: &'static str,
    /// The value as text; `[set]` for a secret, `[not set]` for what is optional and not given.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

impl Config {
    /// Every key with its value and where that came from, in the order of the table. No row holds a secret.
    #[must_use]
    pub fn effective(&self) -> Vec<Setting> {
        keys::ALL.iter().filter_map(|key| self.settings.get(key.name).cloned()).collect()
    }

    /// A command for a server with this configuration, to be pasted into a shell.
    #[must_use]
    pub fn command(&self, command: &str) -> String {
        let places = [&keys::CONFIG, &keys::DATA_DIR].into_iter().filter_map(|key| {
            let setting = self.settings.get(key.name).filter(|setting| setting.source != Source::Default)?;
            Some(format!(" --{} {}", key.flag?, for_a_shell(&setting.value)))
        });
        format!("pawport {command}{}", places.collect::<String>())
    }

    /// The same for people: one line a key, in columns.
    #[must_use]
    pub fn effective_table(&self) -> String {
        let rows = self.effective();
        let width =
            |column: fn(&Setting) -> &str| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
        let (key_width, value_width) = (width(|row| row.key), width(|row| &row.value));
        rows.iter().fold(String::new(), |mut table, Setting { key, value, source }| {
            // Writing into a String cannot fail.
            let _ = writeln!(table, "{key:key_width$}  {value:value_width$}  {source}");
            table
        })
    }
}

/// The text as a shell takes it for one word.
fn for_a_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
