//! How much there is of an item.

use crate::domain::import::Item;
use crate::domain::mcp::parts::Parts;
use crate::domain::settings::StoredValue;
use secrecy::ExposeSecret;
use serde_json::Value;

/// How many rows an item is, and about how many bytes it has.
pub(super) fn weight(item: &Item) -> (usize, usize) {
    match item {
        Item::Session(part) => {
            let bytes = part.messages.iter().map(|it| it.text.as_str().len() + it.metadata.as_json().len());
            (part.messages.len() + 1, bytes.sum())
        }
        Item::Kept(kept) => {
            let secret = kept.secret.as_ref().map_or(0, |secret| secret.expose_secret().len());
            (1, kept.body.len() + secret)
        }
        Item::Audit(entry) => {
            let texts = [&entry.actor, &entry.action, &entry.target, &entry.status].map(String::len);
            let context = entry.context.iter().map(|(name, value)| name.len() + bytes(value));
            (1, texts.iter().sum::<usize>() + context.sum::<usize>())
        }
        Item::McpServer(server) => {
            let Parts { command, arguments, environment, url, headers, .. } = Parts::of(&server.transport);
            let pairs = environment.iter().chain(&headers).flat_map(|(name, value)| [name, value]);
            let texts = pairs.chain(&arguments).chain([&command, &url]);
            (1, texts.map(String::len).sum())
        }
        Item::Memory(memory) => (1, memory.text.as_str().len()),
        Item::Setting(setting) => (1, setting_bytes(&setting.value)),
        Item::McpSignIn(sign_in) => (1, sign_in.grant.expose_secret().len()),
        Item::Webhook(_) | Item::ApiKey(_) => (1, 0),
    }
}

fn setting_bytes(value: &StoredValue) -> usize {
    match value {
        StoredValue::Plain(value) => bytes(value),
        StoredValue::Secret { text, .. } => text.expose_secret().len(),
    }
}

/// What a value needs in memory.
fn bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(bytes).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
