//! MCP servers, and what lets into those that ask for it.

use super::files::stem;
use super::{Area, Reader, Step, kept};
use crate::domain::import::Kept;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const NAME: &str = "mcp_servers.json";

/// Members of a server that are no secrets. Arguments and addresses often hold tokens.
const PLAIN: [&str; 7] = ["name", "transport", "command", "enabled", "timeout", "registry_ref", "oauth"];

pub(super) fn read(reader: &mut Reader<'_>) -> Step {
    let servers = reader.json(Area::McpServers, NAME)?.map(|mut file| file["servers"].take());
    match servers {
        Some(Value::Array(servers)) => {
            // The last of a name wins.
            let mut by_name: Vec<(String, Map<String, Value>)> = Vec::new();
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
                    reader.skipped(
                        Area::McpServers,
                        &place,
                        "there is another of that name before it; this one counts",
                    )?;
                    before.1 = server;
                } else {
                    by_name.push((name, server));
                }
            }
            for (name, server) in by_name {
                read_server(reader, &name, server)?;
            }
        }
        Some(_) => reader.skipped(Area::McpServers, NAME, "it has no list of servers")?,
        None => {}
    }
    for name in reader.names(Area::McpSignIns, "mcp_oauth", ".json")? {
        let Some(sign_in) = reader.json(Area::McpSignIns, &name)? else { continue };
        if !sign_in.is_object() {
            reader.skipped(Area::McpSignIns, &name, "it holds no object")?;
            continue;
        }
        let server = stem(&name, "mcp_oauth/", ".json");
        let body = json!({
            "server": server,
            "scope": sign_in["tokens"]["scope"],
            "client_id": sign_in["client_info"]["client_id"],
        });
        let secret = Some(SecretString::from(sign_in.to_string()));
        reader.keep(Area::McpSignIns, &name, Kept { secret, ..kept("mcp_sign_in", server, &body) })?;
    }
    Ok(())
}

/// A server, turned off; what secrets may be in, such as its environment, apart.
fn read_server(reader: &mut Reader<'_>, name: &str, mut server: Map<String, Value>) -> Step {
    let place = format!("{NAME}, {name:?}");
    let defaults = json!({
        "transport": "stdio", "command": "", "args": [], "url": "", "env": {}, "enabled": true, "timeout": 30,
        "oauth": false,
    });
    for (member, default) in defaults.as_object().into_iter().flatten() {
        let value = server.entry(member.clone()).or_insert_with(|| default.clone());
        if std::mem::discriminant(value) != std::mem::discriminant(default) {
            return reader.skipped(Area::McpServers, &place, format!("its {member} is of another type than expected"));
        }
    }
    // What is not known may be a header that lets in, so it is as secret as the environment.
    let (mut body, mut secret): (Map<String, Value>, Map<String, Value>) =
        server.into_iter().partition(|(member, _)| PLAIN.contains(&member.as_str()));
    secret.retain(|_, value| *value != json!({}) && *value != json!([]) && value != "");
    let was_enabled = body.insert("enabled".to_owned(), json!(false));
    body.insert("was_enabled".to_owned(), was_enabled.unwrap_or_default());
    let secret = (!secret.is_empty()).then(|| SecretString::from(Value::Object(secret).to_string()));
    reader.keep(Area::McpServers, &place, Kept { secret, ..kept("mcp_server", name, &Value::Object(body)) })
}
