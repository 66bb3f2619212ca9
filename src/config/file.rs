//! The configuration file: flat TOML, every key at most once, nothing that is not in the table.

use super::keys::Kind;
use super::show::Source;
use super::values::holds_password;
use super::{ConfigError, keys};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A configuration file that was read. Its keys are known; whether the values fit is seen later.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Clone)]
struct Entry {
    text: String,
    line: usize,
}

impl ConfigFile {
    /// Reads the file at `path`, which `source` named.
    ///
    /// # Errors
    /// If it cannot be read, or for the reasons of [`ConfigFile::parse`].
    pub fn read(path: &Path, source: &Source) -> Result<Self, ConfigError> {
        let read = || {
            let mut file = std::fs::File::open(path)?;
            // Asked of the open file, not of the name: another file may have that name a moment later.
            let readable_by_others = file.metadata()?.permissions().mode() & 0o077 != 0;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok((text, readable_by_others))
        };
        let (text, readable_by_others) = read().map_err(|error: std::io::Error| {
            ConfigError(format!("cannot read config file {} from {source}: {error}", path.display()))
        })?;
        Self::parse(path, &text, readable_by_others)
    }

    /// Takes `text` as what the file at `path` holds.
    ///
    /// # Errors
    /// If it is not TOML, if a key is unknown, if a value has a type that its key does not take, or if it
    /// holds a secret and is `readable_by_others`.
    pub fn parse(path: &Path, text: &str, readable_by_others: bool) -> Result<Self, ConfigError> {
        let line_at = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        // Only the message: the rest of such an error quotes the line, which may hold a secret.
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_at(error.span().map_or(0, |span| span.start));
            ConfigError(format!("config file {} line {line} is not TOML: {}", path.display(), error.message()))
        })?;
        let mut entries = BTreeMap::new();
        for (name, value) in table.get_ref() {
            let line = line_at(name.span().start);
            let source = Source::File { path: path.to_owned(), line };
            let key = keys::ALL.into_iter().find(|key| key.in_file && key.name == name.get_ref().as_ref());
            let Some(key) = key else {
                let known: Vec<_> = keys::ALL.iter().filter(|key| key.in_file).map(|key| key.name).collect();
                let name = name.get_ref().escape_debug();
                let suggestion = keys::suggestion(&name.to_string(), &known);
                return Err(ConfigError(format!("unknown key {name} in {source}: {suggestion}")));
            };
            let text = as_text(value.get_ref(), key.kind).ok_or_else(|| {
                let (name, kind, allowed) = (key.name, value.get_ref().type_str(), key.allowed);
                ConfigError(format!("invalid {name} ({kind}) from {source}: expected {allowed}"))
            })?;
            let remedy = match key.kind {
                Kind::Secret => format!("or use {}_file instead", key.name),
                _ if holds_password(&text) => format!("or use {} instead", key.variable),
                _ => String::new(),
            };
            if readable_by_others && !remedy.is_empty() {
                let (name, path) = (key.name, path.display());
                return Err(ConfigError(format!(
                    "{name} in {source} can be read by other users: run `chmod 600 {path}`, {remedy}"
                )));
            }
            entries.insert(key.name, Entry { text, line });
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The text of a key and where it stands.
    pub(super) fn find(&self, name: &str) -> Option<(&str, Source)> {
        let entry = self.entries.get(name)?;
        Some((&entry.text, Source::File { path: self.path.clone(), line: entry.line }))
    }
}

/// Values become what one would write in a flag. Every key takes strings and whole numbers, and what is of its kind.
fn as_text(value: &DeValue<'_>, kind: Kind) -> Option<String> {
    match (value, kind) {
        (DeValue::String(text), _) => Some(text.to_string()),
        (DeValue::Integer(number), _) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        (DeValue::Boolean(value), Kind::Switch) => Some(value.to_string()),
        (DeValue::Array(items), Kind::List) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}
