//! The catalogue of MCP servers that can be added by name: one file, read when the program starts.

use crate::domain::mcp::preset::{Preset, PresetKey, PresetTransport};
use crate::domain::mcp::{Arguments, Command, EnvironmentName, McpServerName, RemoteFlavor, RemoteUrl};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;

const CATALOGUE: &str = include_str!("presets/presets.toml");

/// What presets are listed under.
const CATEGORIES: [&str; 14] = [
    "ai",
    "analytics",
    "cms",
    "communication",
    "data",
    "design",
    "dev",
    "devops",
    "finance",
    "marketing",
    "monitoring",
    "productivity",
    "search",
    "security",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    description: String,
    icon: String,
    category: String,
    docs_url: String,
    #[serde(default)]
    package: String,
    command: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
    extra_arguments: Option<String>,
    url: Option<String>,
    transport: Option<String>,
    #[serde(default)]
    oauth: bool,
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    label: String,
    placeholder: String,
    required: bool,
    secret: bool,
}

/// All presets, in the order of the file.
///
/// # Panics
/// If the file, which is part of the program, breaks one of its rules: a test reads it.
#[must_use]
#[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
pub fn all() -> Vec<Preset> {
    read(CATALOGUE).expect("the catalogue of presets")
}

fn read(text: &str) -> anyhow::Result<Vec<Preset>> {
    let File { preset } = toml::from_str(text)?;
    let mut presets: Vec<Preset> = Vec::with_capacity(preset.len());
    for entry in preset {
        let id = entry.id.clone();
        let preset = entry.check().with_context(|| format!("the preset {id:?}"))?;
        ensure!(presets.iter().all(|other| other.id != preset.id), "there are two presets {id:?}");
        presets.push(preset);
    }
    Ok(presets)
}

impl Entry {
    fn check(self) -> anyhow::Result<Preset> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(self.id.bytes().all(is_plain), "its id has other characters than a-z, 0-9 and -");
        for (member, text) in [("name", &self.name), ("description", &self.description), ("icon", &self.icon)] {
            ensure!(!text.trim().is_empty(), "its {member} is missing");
        }
        ensure!(CATEGORIES.contains(&&*self.category), "there is no category {:?}", self.category);
        ensure!(self.docs_url.starts_with("https://"), "its docs_url is no https address");
        let transport = match (self.command, self.url) {
            (Some(command), None) => {
                ensure!(!self.package.is_empty(), "a program comes from a package");
                ensure!(self.transport.is_none() && !self.oauth, "transport and oauth belong to an url");
                PresetTransport::Stdio {
                    command: Command::parse(&command)?,
                    arguments: Arguments::parse(self.arguments)?,
                    extra_arguments: self.extra_arguments,
                }
            }
            (None, Some(url)) => {
                ensure!(self.keys.is_empty(), "an url has no environment");
                ensure!(self.arguments.is_empty() && self.extra_arguments.is_none(), "an url takes no arguments");
                ensure!(url.starts_with("https://"), "its url is no https address");
                let flavor = self.transport.as_deref().unwrap_or("http");
                PresetTransport::Remote {
                    url: RemoteUrl::parse(&url)?,
                    flavor: RemoteFlavor::parse(flavor).context("there is no such transport")?,
                    oauth: self.oauth,
                }
            }
            (None, None) | (Some(_), Some(_)) => bail!("it needs either a command or an url"),
        };
        let keys = self.keys.into_iter().map(Key::check).collect::<anyhow::Result<_>>()?;
        Ok(Preset {
            id: McpServerName::parse(&self.id)?,
            name: self.name,
            description: self.description,
            icon: self.icon,
            category: self.category,
            docs_url: self.docs_url,
            package: self.package,
            transport,
            keys,
        })
    }
}

impl Key {
    fn check(self) -> anyhow::Result<PresetKey> {
        ensure!(!self.label.trim().is_empty(), "the key {:?} has no label", self.name);
        Ok(PresetKey {
            key: EnvironmentName::parse(&self.name)?,
            label: self.label,
            placeholder: self.placeholder,
            required: self.required,
            secret: self.secret,
        })
    }
}

#[cfg(test)]
mod tests;
