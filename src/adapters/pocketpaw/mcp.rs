//! MCP servers, and what lets into those that ask for it.

use super::files::stem;
use super::{Area, Reader, Step};
use crate::domain::import::{Item, Kept, mcp_server_names, nearest_call_timeout};
use crate::domain::mcp::parts::Parts;
use crate::domain::mcp::service::MAX_SERVERS;
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{HeaderName, McpServer, McpServerName, RemoteUrl, SecretText, TRANSPORTS};
use crate::domain::time::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const NAME: &str = "mcp_servers.json";

/// Members that say nothing about a server which counts here: who is to be signed in to says so itself.
const WITHOUT_USE: [&str; 4] = ["name", "enabled", "registry_ref", "oauth"];

/// Names, and what the file says of the servers.
type Entries = Vec<(String, Map<String, Value>)>;

/// The servers that are handed on, by the names that they have there.
type Taken = BTreeMap<String, (McpServerName, Option<RemoteUrl>)>;

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    let taken = read_servers(reader)?;
    for file in reader.names(Area::McpSignIns, "mcp_oauth", ".json")? {
        let Some(grant) = reader.json(Area::McpSignIns, &file)? else { continue };
        if !grant["tokens"]["access_token"].is_string() {
            reader.skipped(Area::McpSignIns, &file, "it holds no tokens")?;
            continue;
        }
        let Some((server, Some(url))) = taken.get(stem(&file, "mcp_oauth/", ".json")) else {
            reader.skipped(Area::McpSignIns, &file, "there is no server with an address that it belongs to")?;
            continue;
        };
        let grant = grant.to_string();
        if grant.len() > Kept::MAX_BODY {
            let why = format!("it is longer than {} MiB", Kept::MAX_BODY / 1024 / 1024);
            reader.skipped(Area::McpSignIns, &file, why)?;
            continue;
        }
        let grant = SecretString::from(grant);
        let sign_in = SignedIn { server: server.clone(), url: url.clone(), grant };
        reader.item(Area::McpSignIns, Item::McpSignIn(sign_in))?;
    }
    Ok(())
}

fn read_servers(reader: &mut Reader<'_>) -> Result<Taken, super::Stopped> {
    let mut taken = Taken::new();
    let Some(opened) = reader.open(Area::McpServers, NAME)? else { return Ok(taken) };
    let modified = opened.modified;
    let servers = match opened.json() {
        Ok(mut file) => file["servers"].take(),
        Err(why) => {
            reader.skipped(Area::McpServers, NAME, why)?;
            return Ok(taken);
        }
    };
    let Value::Array(servers) = servers else {
        reader.skipped(Area::McpServers, NAME, "it has no list of servers")?;
        return Ok(taken);
    };
    let by_name = by_name(reader, servers)?;
    let names: Vec<&str> = by_name.iter().map(|server| server.0.as_str()).collect();
    let names = mcp_server_names(&names);
    for ((there, server), here) in by_name.into_iter().zip(names) {
        let place = format!("{NAME}, {there:?}");
        let here = match here {
            Ok(here) if taken.len() < MAX_SERVERS => here,
            Ok(_) => {
                reader.skipped(Area::McpServers, &place, format!("there are {MAX_SERVERS} before it"))?;
                continue;
            }
            Err(why) => {
                reader.skipped(Area::McpServers, &place, why.to_string())?;
                continue;
            }
        };
        // In the order in which they stand there.
        let created = Timestamp(modified.saturating_add(i64::try_from(taken.len()).unwrap_or(0)));
        let mut changes = Vec::new();
        match server_of(server, here, created, &mut changes) {
            Ok(server) => {
                if server.name.as_str() != there {
                    changes.push(format!("here it is called {}", server.name.as_str()));
                }
                for change in changes {
                    reader.changed(Area::McpServers, &place, change)?;
                }
                taken.insert(there, (server.name.clone(), server.transport.url().cloned()));
                reader.item(Area::McpServers, Item::McpServer(server))?;
            }
            Err(why) => reader.skipped(Area::McpServers, &place, why)?,
        }
    }
    Ok(taken)
}

/// The servers that have a name, each once: the last of a name wins.
fn by_name(reader: &mut Reader<'_>, servers: Vec<Value>) -> Result<Entries, super::Stopped> {
    let mut by_name = Entries::new();
    for (number, server) in (1..).zip(servers) {
        let place = format!("{NAME}, element {number}");
        let Value::Object(server) = server else {
            reader.skipped(Area::McpServers, &place, "it is no object")?;
            continue;
        };
        let Some(name) = server.get("name").and_then(Value::as_str).map(str::to_owned) else {
            reader.skipped(Area::McpServers, &place, "it has no name")?;
            continue;
        };
        if let Some(before) = by_name.iter_mut().find(|before| before.0 == name) {
            reader.skipped(Area::McpServers, &place, "there is another of that name before it; this one counts")?;
            before.1 = server;
        } else {
            by_name.push((name, server));
        }
    }
    Ok(by_name)
}

/// A server, switched off. What is not taken as it stands there is added to `changes`.
fn server_of(
    mut server: Map<String, Value>,
    name: McpServerName,
    created: Timestamp,
    changes: &mut Vec<String>,
) -> Result<McpServer, String> {
    let defaults = json!({
        "transport": "stdio", "command": "", "args": [], "url": "", "env": {}, "enabled": true, "timeout": 30,
        "oauth": false,
    });
    for (member, default) in defaults.as_object().into_iter().flatten() {
        let value = server.entry(member.clone()).or_insert_with(|| default.clone());
        if std::mem::discriminant(value) != std::mem::discriminant(default) {
            return Err(format!("its {member} is of another type than expected"));
        }
    }
    let mut take = |member: &str| server.remove(member).unwrap_or_default();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut parts = Parts {
        transport: text(take("transport")),
        command: text(take("command")),
        arguments: serde_json::from_value(take("args")).map_err(|_| "its args are not all texts")?,
        environment: serde_json::from_value(take("env")).map_err(|_| "its env holds values that are no texts")?,
        url: text(take("url")),
        headers: BTreeMap::new(),
    };
    let timeout = take("timeout").as_f64().unwrap_or_default();
    let is_program = parts.transport == TRANSPORTS[0];
    match take("headers") {
        Value::Object(headers) => parts.headers = headers_of(headers, is_program, changes),
        Value::Null => {}
        _ => changes.push("its headers are of another type than expected, and were left out".to_owned()),
    }
    for (member, is_of_use, is_empty) in [
        ("command", is_program, parts.command.is_empty()),
        ("args", is_program, parts.arguments.is_empty()),
        ("env", is_program, parts.environment.is_empty()),
        ("url", !is_program, parts.url.is_empty()),
    ] {
        if !is_of_use && !is_empty {
            changes.push(format!("its {member} is of no use with its transport, and was left out"));
        }
    }
    for member in server.keys().filter(|member| !WITHOUT_USE.contains(&member.as_str())) {
        changes.push(format!("its {member:?} is not known, and was left out"));
    }
    let call_timeout = nearest_call_timeout(timeout);
    // Zero stands for none.
    let is_allowed = timeout == 0.0 || (timeout.fract() == 0.0 && (1.0..=600.0).contains(&timeout));
    if !is_allowed {
        let seconds = call_timeout.as_secs();
        changes.push(format!("its timeout is not from 1 to 600 whole seconds; it got {seconds}"));
    }
    parts.check_counts().map_err(|error| error.to_string())?;
    let transport = parts.check().map_err(|error| error.to_string())?;
    let tools = ToolFilter::default();
    Ok(McpServer { name, transport, enabled: false, call_timeout, tools, preset: None, created })
}

/// The headers that can be sent.
fn headers_of(given: Map<String, Value>, is_program: bool, changes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in given {
        let value = value
            .as_str()
            .filter(|value| !is_program && HeaderName::parse(&name).is_ok() && SecretText::header(value).is_ok());
        match value {
            Some(value) => drop(headers.insert(name, value.to_owned())),
            None => changes.push(format!("its header {name:?} cannot be sent, and was left out")),
        }
    }
    headers
}

#[cfg(test)]
mod tests;
