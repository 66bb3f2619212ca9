//! Keeping secrets of servers out of what people and logs see.

use super::{McpServer, McpTransport};
use serde_json::Value;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Texts shorter than this are no secrets, whatever they are called: `1`, `on` ….
const MIN_LEN: usize = 4;

/// Texts shorter than this are secrets only if their name says so: `warn`, `production` …, which may be in any result.
const MIN_LEN_UNNAMED: usize = 12;

/// Words in the name of an argument whose value is a secret.
const TELLING: [&str; 8] = ["token", "key", "secret", "password", "passwd", "auth", "credential", "header"];

/// Knows the secrets of a server, and removes them from texts.
#[derive(Clone, Default)]
pub struct Masks(Vec<String>);

impl Masks {
    /// The secrets of a server: values of its headers and of telling arguments; values of its environment and of its
    /// address's query that have a telling name, or are long enough not to be a word. Of a secret of several lines each long
    /// one is a secret, too.
    #[must_use]
    pub fn of(server: &McpServer) -> Self {
        let may_tell = |name: &str, value: &str| is_telling(name) || value.len() >= MIN_LEN_UNNAMED;
        let mut secrets: Vec<String> = match &server.transport {
            McpTransport::Stdio { arguments, environment, .. } => {
                let values = environment.iter().filter(|(name, value)| may_tell(name.as_str(), value.expose()));
                let values = values.map(|(_, value)| value.expose().to_owned());
                values.chain(secret_arguments(arguments.expose()).map(|(_, secret)| secret.to_owned())).collect()
            }
            McpTransport::Remote { url, headers, .. } => {
                let values = headers.values().map(|value| value.expose().to_owned());
                // The token of `Authorization: Bearer token`, which may be shown without its scheme.
                let bare = headers.values().filter_map(|value| value.expose().split_once(' '));
                let bare: Vec<String> = bare.map(|(_, token)| token.to_owned()).collect();
                let query = url.expose().split_once('?').map_or("", |(_, query)| query);
                let query = query.split('&').filter_map(|pair| pair.split_once('='));
                let query = query.filter(|(name, value)| may_tell(name, value)).map(|(_, value)| value.to_owned());
                values.chain(bare).chain(query).collect()
            }
        };
        let lines = secrets.iter().filter(|secret| secret.contains('\n')).flat_map(|secret| secret.lines());
        let lines: Vec<String> = lines.filter(|line| line.len() >= MIN_LEN_UNNAMED).map(str::to_owned).collect();
        secrets.extend(lines);
        secrets.retain(|secret| secret.len() >= MIN_LEN);
        // A secret that contains another is replaced as a whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// `text` without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }

    /// Removes secrets from every text in `value`. Names of members stay.
    pub fn value(&self, value: &mut Value) {
        match value {
            _ if self.0.is_empty() => {}
            Value::String(text) => self.in_place(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.value(element)),
            Value::Object(members) => members.values_mut().for_each(|member| self.value(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn knows(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    fn in_place(&self, text: &mut String) {
        if self.knows(text) {
            *text = self.text(text);
        }
    }
}

/// Arguments as they may be shown: without values of telling names, and without passwords in addresses.
#[must_use]
pub fn arguments(arguments: &[String]) -> Vec<String> {
    let mut shown = arguments.to_vec();
    for (index, secret) in secret_arguments(arguments) {
        shown[index] = shown[index].replacen(secret, MASK, 1);
    }
    shown
}

/// The secrets in arguments, each with the index of the argument that it is in.
fn secret_arguments(arguments: &[String]) -> impl Iterator<Item = (usize, &str)> {
    arguments.iter().enumerate().filter_map(|(index, argument)| {
        let before = index.checked_sub(1).map(|before| arguments[before].as_str());
        secret_of(argument, before).filter(|secret| !secret.is_empty()).map(|secret| (index, secret))
    })
}

fn secret_of<'a>(argument: &'a str, before: Option<&str>) -> Option<&'a str> {
    // https://host/path?token=…
    let query = argument.split_once("://").and_then(|(_, rest)| rest.split_once('?'));
    if let Some((_, query)) = query {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        if pairs.clone().any(|(name, _)| is_telling(name)) {
            return Some(query);
        }
    }
    // --token=…, API_KEY=…
    if let Some((name, value)) = argument.split_once('=')
        && is_telling(name)
    {
        return Some(value);
    }
    // --token …
    if !argument.starts_with('-')
        && before.is_some_and(|name| name.starts_with('-') && is_telling(name) && !name.contains('='))
    {
        return Some(argument);
    }
    // Authorization: …
    if let Some((name, value)) = argument.split_once(':')
        && !value.starts_with("//")
        && is_telling(name)
    {
        return Some(value.trim());
    }
    // postgres://user:password@host/…
    let (_, rest) = argument.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':').map_or(user, |(_, password)| password))
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}
