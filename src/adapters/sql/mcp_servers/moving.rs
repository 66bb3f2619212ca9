//! Servers and sign-ins that were imported before there was a place for them, and kept.
//!
//! Not in a migration: what is in them is sealed, and a backup that is older than their place may be restored at any time.

use super::{Secret, import_server, import_sign_in};
use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::errors::Failure;
use crate::adapters::sql::imports::KeptRow;
use crate::adapters::sql::schema::kept;
use crate::domain::import::{Kept, Outcome, mcp_server_names, nearest_call_timeout};
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{McpServer, McpServerName};
use crate::domain::time::Timestamp;
use crate::ports::store::StoreError;
use crate::ports::vault::Vault;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;

const SERVER: &str = "mcp_server";
const SIGN_IN: &str = "mcp_sign_in";

/// What the body of a kept server has that counts here.
#[derive(Deserialize)]
struct Body {
    transport: String,
    #[serde(default)]
    command: String,
    #[serde(default)]
    timeout: f64,
}

/// Moves what is kept to where it belongs now, all of it or nothing. What cannot be used, or has no name that is free, stays
/// where it is.
pub(in crate::adapters::sql) fn move_kept(connection: &mut AnyConnection, vault: &dyn Vault) -> Result<(), StoreError> {
    Ok(connection.transaction(|connection| move_all(connection, vault))?)
}

fn move_all(connection: &mut AnyConnection, vault: &dyn Vault) -> Result<(), Failure> {
    let rows = kept::table.filter(kept::kind.eq(SERVER).or(kept::kind.eq(SIGN_IN))).order(kept::key);
    let rows: Vec<KeptRow> = rows.load(connection)?;
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().filter_map(|row| {
        let key = row.key;
        let kept = row.open(vault);
        // As what cannot be used stays where it is.
        let kept = kept.inspect_err(|error| tracing::warn!(%error, "what an import kept cannot be read")).ok()?;
        Some((key, kept))
    });
    let rows: Vec<(i64, Kept)> = rows.collect();
    let (servers, sign_ins): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, kept)| kept.kind == SERVER);
    let names: Vec<&str> = servers.iter().map(|(_, kept)| kept.id.as_str()).collect();
    let names = mcp_server_names(&names);
    let now = now(connection)?;
    // By the names under which they are kept.
    let mut moved: HashMap<&str, McpServer> = HashMap::new();
    for (number, ((key, kept), name)) in (0..).zip(servers.iter().zip(names)) {
        let name = name.map_err(|error| error.to_string());
        let server = match name.and_then(|name| server_of(kept, name, Timestamp(now + number))) {
            Ok(server) => server,
            Err(why) => {
                stays(kept, &why);
                continue;
            }
        };
        if import_server(connection, vault, &server)? == Outcome::Conflict {
            stays(kept, "there is another server of that name");
            continue;
        }
        let left_out = unknown_members(kept);
        tracing::info!(server = server.name.as_str(), ?left_out, "an MCP server that was kept by an import was moved");
        diesel::delete(kept::table.find(key)).execute(connection)?;
        moved.insert(&kept.id, server);
    }
    for (key, kept) in &sign_ins {
        let server = moved.get(kept.id.as_str());
        let at = server.and_then(|server| Some((server.name.clone(), server.transport.url()?.clone())));
        let (Some((server, url)), Some(grant)) = (at, kept.secret.clone()) else {
            stays(kept, "no server that it is good for was moved with it");
            continue;
        };
        if import_sign_in(connection, vault, &SignedIn { server, url, grant })? == Outcome::Conflict {
            stays(kept, "its server is at another address");
            continue;
        }
        diesel::delete(kept::table.find(key)).execute(connection)?;
    }
    Ok(())
}

fn stays(kept: &Kept, why: &str) {
    let (kind, name) = (&kept.kind, &kept.id);
    tracing::warn!(kind, name, why, "what an import kept cannot be used, and stays in the table kept");
}

/// The server that is kept, switched off.
fn server_of(kept: &Kept, name: McpServerName, created: Timestamp) -> Result<McpServer, String> {
    // What serde_json says could hold a part of a secret.
    let odd = |_| "it is not the JSON that it should be".to_owned();
    let body: Body = serde_json::from_str(&kept.body).map_err(odd)?;
    let secret = kept.secret.as_ref().map_or("{}", |secret| secret.expose_secret());
    let parts = serde_json::from_str::<Secret>(secret).map_err(odd)?.with(body.transport, body.command);
    parts.check_counts().map_err(|error| error.to_string())?;
    Ok(McpServer {
        name,
        transport: parts.check().map_err(|error| error.to_string())?,
        enabled: false,
        call_timeout: nearest_call_timeout(body.timeout),
        tools: ToolFilter::default(),
        preset: None,
        created,
    })
}

/// The names of members that nobody knows. They are in the folder that was imported, and of no use here.
fn unknown_members(kept: &Kept) -> Vec<String> {
    let secret = kept.secret.as_ref().map_or("{}", |secret| secret.expose_secret());
    let members: Map<String, Value> = serde_json::from_str(secret).unwrap_or_default();
    members
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !matches!(name.as_str(), "args" | "env" | "url" | "headers"))
        .collect()
}

/// The moment, by the clock of the database.
fn now(connection: &mut AnyConnection) -> QueryResult<i64> {
    match connection {
        AnyConnection::Sqlite(inner) => {
            diesel::select(sql::<BigInt>("CAST(strftime('%s', 'now') AS INTEGER) * 1000")).get_result(inner)
        }
        AnyConnection::Postgres(inner) => {
            diesel::select(sql::<BigInt>("CAST(extract(epoch FROM now()) AS bigint) * 1000")).get_result(inner)
        }
    }
}
