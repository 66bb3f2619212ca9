//! Keeping secrets of servers out of what people and logs see.

use super::{McpServer, McpTransport};
use crate::domain::output::{MASK, Masks};

/// Texts shorter than this are secrets only if their name says so: `warn`, `production` …, which may be in any result.
const MIN_LEN_UNNAMED: usize = 12;

/// Words in the name of an argument whose value is a secret.
const TELLING: [&str; 8] = ["token", "key", "secret", "password", "passwd", "auth", "credential", "header"];

impl Masks {
    /// The secrets of a server: values of its headers and of telling arguments; values of its environment and of its
    /// address's query that have a telling name, or are long enough not to be a word.
    #[must_use]
    pub fn of(server: &McpServer) -> Self {
        let may_tell = |name: &str, value: &str| is_telling(name) || value.len() >= MIN_LEN_UNNAMED;
        let secrets: Vec<String> = match &server.transport {
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
        Self::new(secrets)
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
