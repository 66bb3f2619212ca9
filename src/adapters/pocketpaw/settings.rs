//! `config.json`: settings, webhook slots, and the secrets that old folders have there.

use super::files::Files;
use super::{Area, Found, Reader, Step, kept, secrets};
use crate::domain::import::{Item, Kept};
use crate::domain::settings::members::{self, Member};
use crate::domain::settings::rules;
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{
    DESCRIPTION_CHARS, Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const NAME: &str = "config.json";

/// Settings that Pawport reads from its own configuration.
const OWN: [&str; 7] = [
    "web_host",
    "web_port",
    "session_token_ttl_hours",
    "localhost_auth_bypass",
    "api_cors_allowed_origins",
    "api_rate_limit_per_key",
    "max_concurrent_conversations",
];

/// Channels by how the names of their settings begin, and the secrets each needs.
const CHANNELS: [(&str, &str, &[&str]); 8] = [
    ("discord", "discord_", &["discord_bot_token"]),
    ("google_chat", "gchat_", &["gchat_service_account_key"]),
    ("matrix", "matrix_", &["matrix_access_token", "matrix_password"]),
    ("signal", "signal_", &[]),
    ("slack", "slack_", &["slack_bot_token", "slack_app_token"]),
    ("teams", "teams_", &["teams_app_id", "teams_app_password"]),
    ("telegram", "telegram_", &["telegram_bot_token"]),
    ("whatsapp", "whatsapp_", &["whatsapp_access_token", "whatsapp_verify_token"]),
];

/// Where the program listens, by its settings or their defaults.
pub(super) fn address(files: &Files) -> (String, u16) {
    let settings = files.open(NAME).ok().flatten().and_then(|opened| opened.json().ok()).unwrap_or_default();
    let host = settings["web_host"].as_str().unwrap_or("127.0.0.1").to_owned();
    let port = settings["web_port"].as_u64().and_then(|port| u16::try_from(port).ok());
    (host, port.unwrap_or(8888))
}

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    let mut modified = 0;
    let mut settings = Map::new();
    if let Some(opened) = reader.open(Area::Settings, NAME)? {
        modified = opened.modified;
        match opened.json() {
            Ok(Value::Object(object)) => settings = object,
            Ok(_) => reader.skipped(Area::Settings, NAME, "it holds no object")?,
            Err(why) => reader.skipped(Area::Settings, NAME, why)?,
        }
    }
    let mut plain = BTreeMap::new();
    for (name, value) in &settings {
        let place = format!("{NAME}, {name}");
        if name == "webhook_configs" {
            read_webhooks(reader, value, modified)?;
        } else if known(name).is_some_and(Member::is_secret) {
            match value {
                Value::Null => {}
                Value::String(secret) if secret.is_empty() => {}
                Value::String(secret) => drop(plain.insert(name.clone(), SecretString::from(secret.as_str()))),
                _ => reader.skipped(Area::Secrets, &place, "it is no text")?,
            }
        } else {
            read_setting(reader, &place, name, value)?;
        }
    }
    read_secrets(reader, &settings, plain)
}

fn read_setting(reader: &mut Reader<'_>, place: &str, name: &str, value: &Value) -> Step {
    let channel = CHANNELS.iter().find(|channel| name.starts_with(channel.1)).map(|channel| channel.0);
    let channel = if name == "allowed_user_id" { Some("telegram") } else { channel };
    let area = if channel.is_some() { Area::ChannelSettings } else { Area::Settings };
    match known(name).map(|member| member.check_type(value)) {
        None => return reader.keep(area, place, unknown(name, value)),
        Some(Err(why)) => return reader.skipped(area, place, why),
        Some(Ok(())) => {}
    }
    if let Some(own) = OWN.into_iter().find(|own| *own == name) {
        reader.hand_on(Found::OwnSetting(own, value.clone()))?;
    }
    if let ("channel_autostart", Some(channels)) = (name, value.as_object()) {
        for (channel, starts) in channels {
            let place = format!("{place}, {channel:?}");
            if starts.is_boolean() {
                let body = json!({ "channel": channel, "name": "autostart", "value": starts });
                reader.keep(
                    Area::ChannelSettings,
                    &place,
                    kept("channel_setting", format!("autostart:{channel}"), &body),
                )?;
            } else {
                reader.skipped(Area::ChannelSettings, &place, "it is not true or false")?;
            }
        }
        return Ok(());
    }
    if channel.is_none() && members::importable(name).is_some() {
        match rules::imported(name, value, None) {
            Ok(Some(setting)) => return reader.item(area, Item::Setting(setting)),
            // What is not said here must not stand in the way of what configuration says.
            Ok(None) => {}
            Err(why) => reader.changed(area, place, format!("it is kept, but not used: {why}"))?,
        }
    }
    let kept = match channel {
        Some(channel) => kept("channel_setting", name, &json!({ "channel": channel, "name": name, "value": value })),
        None => kept("setting", name, &json!({ "value": value })),
    };
    reader.keep(area, place, kept)
}

/// The setting of that name, if PocketPaw has it.
fn known(name: &str) -> Option<&'static Member> {
    members::find(name).filter(|member| !member.is_own)
}

/// A setting that nobody knows may be a secret, whatever it is called.
fn unknown(name: &str, value: &Value) -> Kept {
    let secret = Some(SecretString::from(json!({ "value": value }).to_string()));
    Kept { secret, ..kept("unknown_setting", name, &json!({})) }
}

fn read_webhooks(reader: &mut Reader<'_>, slots: &Value, modified: i64) -> Step {
    let Value::Array(slots) = slots else {
        return reader.skipped(Area::Webhooks, "config.json, webhook_configs", "it is no list");
    };
    for (number, slot) in (1..).zip(slots) {
        let place = format!("{NAME}, webhook_configs, element {number}");
        let Some(name) = slot["name"].as_str() else {
            reader.skipped(Area::Webhooks, &place, "it has no name")?;
            continue;
        };
        let name = match WebhookName::parse(name) {
            Ok(name) => name,
            Err(why) => {
                reader.skipped(Area::Webhooks, &place, why.to_string())?;
                continue;
            }
        };
        let Some(secret) = slot["secret"].as_str().filter(|secret| !secret.trim().is_empty()) else {
            reader.skipped(Area::Webhooks, &place, "it has no secret")?;
            continue;
        };
        let timeout = slot["sync_timeout"].as_i64().and_then(SyncTimeout::from_secs);
        if timeout.is_none() && !slot["sync_timeout"].is_null() {
            reader.changed(Area::Webhooks, &place, "its timeout is not from 1 to 300 seconds; it got 30")?;
        }
        let description = slot["description"].as_str().unwrap_or_default().replace('\0', "");
        let webhook = Webhook {
            name,
            description: text::head(&description, DESCRIPTION_CHARS).to_owned(),
            secret: WebhookSecret::from_stored(SecretString::from(secret)),
            scheme: Scheme::Any,
            session: SessionMode::Delivery,
            sync_timeout: timeout.unwrap_or_default(),
            created: Timestamp(modified),
        };
        reader.item(Area::Webhooks, Item::Webhook(webhook))?;
    }
    Ok(())
}

/// The secrets of the encrypted file, and those among the settings that it does not have.
fn read_secrets(
    reader: &mut Reader<'_>,
    settings: &Map<String, Value>,
    mut plain: BTreeMap<String, SecretString>,
) -> Step {
    match secrets::read(reader.files, &reader.options.keys) {
        Ok(Some(stored)) => {
            plain.extend(stored.texts);
            for name in stored.others {
                reader.skipped(Area::Secrets, &format!("{}, {name}", secrets::NAME), "it is no text")?;
            }
        }
        Ok(None) => {}
        Err(why) => {
            reader.skipped(Area::Secrets, secrets::NAME, why)?;
            for (channel, prefix, needs) in CHANNELS {
                let missing: Vec<&str> = needs.iter().filter(|name| !plain.contains_key(**name)).copied().collect();
                if is_configured(settings, channel, prefix) && !missing.is_empty() {
                    let why = format!("{channel} is configured and needs {} again", missing.join(", "));
                    reader.skipped(Area::Secrets, secrets::NAME, why)?;
                }
            }
        }
    }
    for (name, secret) in plain {
        if name == "status_api_key" {
            reader.hand_on(Found::OwnSetting("status_api_key", Value::Null))?;
        }
        let place = format!("{}, {name}", secrets::NAME);
        let address = settings.get("openai_compatible_base_url").and_then(Value::as_str);
        // Among them may be what is no secret of a setting.
        if let Ok(Some(setting)) = rules::imported(&name, &secret.expose_secret().into(), address) {
            reader.item(Area::Secrets, Item::Setting(setting))?;
            continue;
        }
        let body = json!({ "name": name });
        let secret = Kept { secret: Some(secrets::as_json(&secret)), ..kept("secret", name, &body) };
        reader.keep(Area::Secrets, &place, secret)?;
    }
    Ok(())
}

/// Whether somebody has set a channel up: it starts by itself or not by a decision, or knows whom it talks to.
fn is_configured(settings: &Map<String, Value>, channel: &str, prefix: &str) -> bool {
    let says_whom = |(name, value): (&String, &Value)| {
        let concerns = name.starts_with(prefix) || (channel == "telegram" && name == "allowed_user_id");
        let is_address = ["_ids", "_numbers", "_number", "_number_id", "_user_id", "_homeserver", "_project_id"];
        concerns
            && is_address.iter().any(|end| name.ends_with(end))
            && !(value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty))
    };
    settings.get("channel_autostart").is_some_and(|channels| !channels[channel].is_null())
        || settings.iter().any(says_whom)
}
