//! What lets in: the master token, API keys, the tokens of apps, and the tokens for other services.

use super::files::{element, stem};
use super::times::exact;
use super::{Area, Found, Reader, Step, kept};
use crate::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName, NAME_CHARS, SHOWN_CHARS};
use crate::domain::auth::scope::{Scope, Scopes};
use crate::domain::auth::token::{AccessToken, TokenHash};
use crate::domain::import::{Item, Kept};
use crate::domain::text;
use crate::domain::time::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    read_access_token(reader)?;
    let name = "api_keys.json";
    reader.list(Area::ApiKeys, name, &mut |reader, number, raw| {
        let place = element(name, number);
        match serde_json::from_str(raw.get()) {
            Ok(Value::Object(key)) => read_api_key(reader, &place, &key),
            _ => reader.skipped(Area::ApiKeys, &place, "it is no object"),
        }
    })?;
    let name = "oauth_tokens.json";
    reader.list(Area::AppTokens, name, &mut |reader, number, _| {
        reader.skipped(Area::AppTokens, &element(name, number), "apps sign in again, with a page that asks")
    })?;
    for name in reader.names(Area::ServiceTokens, "oauth", ".json")? {
        let Some(token) = reader.json(Area::ServiceTokens, &name)? else { continue };
        let Value::Object(token) = token else {
            reader.skipped(Area::ServiceTokens, &name, "it holds no object")?;
            continue;
        };
        let service = stem(&name, "oauth/", ".json");
        let plain =
            ["token_type", "expires_at", "scopes"].map(|member| (member.to_owned(), token.get(member).cloned()));
        let mut body: Map<String, Value> =
            plain.into_iter().filter_map(|(member, value)| Some((member, value?))).collect();
        body.insert("service".to_owned(), json!(service));
        let secret = Some(SecretString::from(Value::Object(token).to_string()));
        let token = Kept { secret, ..kept("service_token", service, &Value::Object(body)) };
        reader.keep(Area::ServiceTokens, &name, token)?;
    }
    Ok(())
}

fn read_access_token(reader: &mut Reader<'_>) -> Step {
    let name = "access_token";
    let Some(opened) = reader.open(Area::AccessToken, name)? else { return Ok(()) };
    let parsed = opened.text().and_then(|text| {
        AccessToken::parse(&SecretString::from(text)).map_err(|_| "it holds no access token".to_owned())
    });
    match parsed {
        Ok(token) => reader.hand_on(Found::AccessToken(token)),
        Err(why) => reader.skipped(Area::AccessToken, name, why),
    }
}

fn read_api_key(reader: &mut Reader<'_>, place: &str, key: &Map<String, Value>) -> Step {
    let area = Area::ApiKeys;
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    let time = |member: &str| text(member).and_then(exact);
    let Some(id) = text("id").and_then(ApiKeyId::parse) else { return reader.skipped(area, place, "it has no id") };
    let mut hash = [0; 32];
    if text("key_hash").is_none_or(|hex| hex::decode_to_slice(hex, &mut hash).is_err()) {
        return reader.skipped(area, place, "it has no hash");
    }
    let name = text::head(text("name").unwrap_or_default().trim(), NAME_CHARS);
    let name = ApiKeyName::parse(name).or_else(|_| ApiKeyName::parse(id.as_str()));
    let Ok(name) = name else { return reader.skipped(area, place, "it has no name") };
    let names = key.get("scopes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known: Vec<Scope> = names.iter().filter_map(|name| Scope::parse(name.as_str()?)).collect();
    if known.len() < names.len() {
        reader.changed(area, place, "it has scopes that are not known; they were left out")?;
    }
    let last_used = time("last_used_at");
    let created = time("created_at").or(last_used).unwrap_or(Timestamp(0));
    let expires = time("expires_at");
    let has_no_sure_end = expires.is_none() && !key.get("expires_at").unwrap_or(&Value::Null).is_null();
    if has_no_sure_end {
        reader.changed(area, place, "nobody can say when it ends; it is revoked")?;
    }
    // What is no clear "no" must not open anything.
    let is_revoked = !matches!(key.get("revoked"), None | Some(Value::Bool(false)));
    let revoked = (is_revoked || has_no_sure_end).then(|| last_used.unwrap_or(created));
    let prefix = text::head(text("prefix").unwrap_or_default(), SHOWN_CHARS).replace('\0', "");
    let key = ApiKey {
        id,
        hash: TokenHash(hash),
        prefix,
        name,
        scopes: Scopes::of(&known),
        created,
        last_used,
        expires,
        revoked,
    };
    reader.item(area, Item::ApiKey(key))
}
