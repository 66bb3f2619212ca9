//! MCP servers and what signing in to them gave. Whatever may hold a secret is sealed before it gets here and opened after
//! it leaves.

mod moving;

pub(super) use moving::move_kept;

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::{mcp_servers, mcp_sign_ins};
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::import::Outcome;
use crate::domain::mcp::parts::{PartRejected, Parts};
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{CallTimeout, McpServer, McpServerName, RemoteUrl};
use crate::domain::time::Timestamp;
use crate::ports::mcp::McpServerStore;
use crate::ports::store::{Cause, StoreError};
use crate::ports::vault::Vault;
use async_trait::async_trait;
use diesel::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is no secret.
#[derive(Serialize, Deserialize)]
struct Body {
    transport: String,
    #[serde(default)]
    command: String,
    timeout: i64,
    preset: Option<String>,
    allowed_tools: Option<Vec<String>>,
    #[serde(default)]
    denied_tools: Vec<String>,
}

/// What may hold secrets.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Secret {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    url: String,
    headers: BTreeMap<String, String>,
}

impl Secret {
    fn with(self, transport: String, command: String) -> Parts {
        let Self { args: arguments, env: environment, url, headers } = self;
        Parts { transport, command, arguments, environment, url, headers }
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = mcp_servers)]
struct Row {
    name: String,
    enabled: bool,
    created: i64,
    body: String,
    sealed_secret: Vec<u8>,
}

impl Row {
    fn of(server: &McpServer, vault: &dyn Vault) -> Result<Self, StoreError> {
        let Parts { transport, command, arguments: args, environment: env, url, headers } =
            Parts::of(&server.transport);
        let body = Body {
            transport,
            command,
            timeout: server.call_timeout.as_secs().into(),
            preset: server.preset.clone(),
            allowed_tools: server.tools.allowed.as_ref().map(|allowed| allowed.iter().cloned().collect()),
            denied_tools: server.tools.denied.iter().cloned().collect(),
        };
        let failed = |error| StoreError::Failed(Box::new(error));
        let secret = serde_json::to_vec(&Secret { args, env, url, headers }).map_err(failed)?;
        Ok(Self {
            name: server.name.as_str().to_owned(),
            enabled: server.enabled,
            created: server.created.0,
            body: serde_json::to_string(&body).map_err(failed)?,
            sealed_secret: vault.seal(&secret),
        })
    }

    fn open(self, vault: &dyn Vault) -> Result<McpServer, StoreError> {
        let refused = |column, why: Cause| corrupt("mcp_servers", column, &self.name, why);
        let body: Body = serde_json::from_str(&self.body).map_err(|error| refused("body", error.into()))?;
        let secret = vault.open(&self.sealed_secret).map_err(|error| refused("sealed_secret", error.into()))?;
        // What serde_json says could hold a part of it.
        let secret = serde_json::from_slice::<Secret>(&secret);
        let secret = secret.map_err(|_| refused("sealed_secret", "not the JSON that it should be".into()))?;
        let transport = secret.with(body.transport, body.command).check().map_err(|error| {
            let is_plain = matches!(error, PartRejected::Transport | PartRejected::Command(_));
            refused(if is_plain { "body" } else { "sealed_secret" }, error.nameless().into())
        })?;
        let names = |names| ToolFilter::names(names).map_err(|error| refused("body", error.into()));
        Ok(McpServer {
            name: McpServerName::parse(&self.name).map_err(|error| refused("name", error.into()))?,
            transport,
            enabled: self.enabled,
            call_timeout: CallTimeout::from_secs(body.timeout).map_err(|error| refused("body", error.into()))?,
            tools: ToolFilter {
                allowed: body.allowed_tools.map(names).transpose()?,
                denied: names(body.denied_tools)?,
            },
            preset: body.preset,
            created: Timestamp(self.created),
        })
    }
}

fn row_of(connection: &mut AnyConnection, name: &McpServerName) -> QueryResult<Option<Row>> {
    mcp_servers::table.find(name.as_str()).first(connection).optional()
}

/// Whether there is a server of that name at that address.
fn is_at(
    connection: &mut AnyConnection,
    vault: &dyn Vault,
    name: &McpServerName,
    url: &RemoteUrl,
) -> Result<bool, Failure> {
    let server = row_of(connection, name)?.map(|row| row.open(vault)).transpose()?;
    Ok(server.is_some_and(|server| server.transport.url() == Some(url)))
}

/// Removes a sign-in. False if there is none.
fn remove_sign_in(connection: &mut AnyConnection, server: &str) -> QueryResult<bool> {
    Ok(diesel::delete(mcp_sign_ins::table.find(server)).execute(connection)? > 0)
}

fn insert_sign_in(connection: &mut AnyConnection, vault: &dyn Vault, signed_in: &SignedIn) -> QueryResult<usize> {
    let sealed = vault.seal(signed_in.grant.expose_secret().as_bytes());
    let row = (mcp_sign_ins::server.eq(signed_in.server.as_str()), mcp_sign_ins::sealed_secret.eq(sealed));
    diesel::insert_into(mcp_sign_ins::table).values(row).execute(connection)
}

pub(super) fn import_server(
    connection: &mut AnyConnection,
    vault: &dyn Vault,
    server: &McpServer,
) -> Result<Outcome, Failure> {
    if let Some(existing) = row_of(connection, &server.name)? {
        let is_the_same = existing.open(vault)?.transport == server.transport;
        return Ok(if is_the_same { Outcome::AlreadyThere } else { Outcome::Conflict });
    }
    let row = Row { enabled: false, ..Row::of(server, vault)? };
    diesel::insert_into(mcp_servers::table).values(&row).execute(connection)?;
    Ok(Outcome::Imported)
}

pub(super) fn import_sign_in(
    connection: &mut AnyConnection,
    vault: &dyn Vault,
    sign_in: &SignedIn,
) -> Result<Outcome, Failure> {
    if !is_at(connection, vault, &sign_in.server, &sign_in.url)? {
        return Ok(Outcome::Conflict);
    }
    let existing = mcp_sign_ins::table.find(sign_in.server.as_str()).select(mcp_sign_ins::server);
    if existing.first::<String>(connection).optional()?.is_some() {
        return Ok(Outcome::AlreadyThere);
    }
    insert_sign_in(connection, vault, sign_in)?;
    Ok(Outcome::Imported)
}

#[async_trait]
impl McpServerStore for SqlStorage {
    async fn put(&self, server: &McpServer, entry: &AuditEntry) -> Result<(), StoreError> {
        let (server, vault, entry) = (server.clone(), Arc::clone(&self.vault), entry.clone());
        let put = self.write("mcp_servers.put", move |connection| {
            let existing = row_of(connection, &server.name)?;
            let row = Row::of(&server, &*vault)?;
            if let Some(existing) = existing {
                // One that cannot be read is replaced like one at another address.
                let existing = existing.open(&*vault);
                let keeps_sign_in = existing.is_ok_and(|it| it.transport.is_same_remote(&server.transport));
                if !keeps_sign_in {
                    remove_sign_in(connection, &row.name)?;
                }
                let changes = (
                    mcp_servers::enabled.eq(row.enabled),
                    mcp_servers::created.eq(row.created),
                    mcp_servers::body.eq(row.body),
                    mcp_servers::sealed_secret.eq(row.sealed_secret),
                );
                diesel::update(mcp_servers::table.find(row.name)).set(changes).execute(connection)?;
            } else {
                diesel::insert_into(mcp_servers::table).values(&row).execute(connection)?;
            }
            audit::insert(connection, &entry)
        });
        put.await
    }

    async fn find(&self, name: &McpServerName) -> Result<Option<McpServer>, StoreError> {
        let name = name.clone();
        let row = self.read("mcp_servers.find", move |connection| Ok(row_of(connection, &name)?));
        row.await?.map(|row| row.open(&*self.vault)).transpose()
    }

    async fn list(&self) -> Result<Vec<McpServer>, StoreError> {
        let rows = self.read("mcp_servers.list", |connection| {
            Ok(mcp_servers::table.order((mcp_servers::created, mcp_servers::name)).load::<Row>(connection)?)
        });
        let servers = rows.await?.into_iter().filter_map(|row| {
            let server = row.open(&*self.vault);
            server
                .inspect_err(|error| tracing::error!(%error, "an MCP server cannot be read; replace or remove it"))
                .ok()
        });
        Ok(servers.collect())
    }

    async fn set_enabled(&self, name: &McpServerName, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        let changed = self.write("mcp_servers.set_enabled", move |connection| {
            let row = mcp_servers::table.find(name);
            let changed = diesel::update(row).set(mcp_servers::enabled.eq(enabled)).execute(connection)? > 0;
            if changed {
                audit::insert(connection, &entry)?;
            }
            Ok(changed)
        });
        changed.await
    }

    async fn remove(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        let removed = self.write("mcp_servers.remove", move |connection| {
            remove_sign_in(connection, &name)?;
            let removed = diesel::delete(mcp_servers::table.find(name)).execute(connection)? > 0;
            if removed {
                audit::insert(connection, &entry)?;
            }
            Ok(removed)
        });
        removed.await
    }

    async fn sign_in(&self, name: &McpServerName) -> Result<Option<SecretString>, StoreError> {
        let server = name.as_str().to_owned();
        let sealed = self.read("mcp_servers.sign_in", move |connection| {
            let row = mcp_sign_ins::table.find(server).select(mcp_sign_ins::sealed_secret);
            Ok(row.first::<Vec<u8>>(connection).optional()?)
        });
        let Some(sealed) = sealed.await? else { return Ok(None) };
        let refused = |why: Cause| corrupt("mcp_sign_ins", "sealed_secret", name.as_str(), why);
        let grant = self.vault.open(&sealed).map_err(|error| refused(error.into()))?;
        let grant = String::from_utf8(grant).map_err(|_| refused("not text".into()))?;
        Ok(Some(SecretString::from(grant)))
    }

    async fn set_sign_in(&self, signed_in: &SignedIn, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        let (signed_in, vault, entry) = (signed_in.clone(), Arc::clone(&self.vault), entry.cloned());
        let stored = self.write("mcp_servers.set_sign_in", move |connection| {
            let is_there = is_at(connection, &*vault, &signed_in.server, &signed_in.url)?;
            if is_there {
                remove_sign_in(connection, signed_in.server.as_str())?;
                insert_sign_in(connection, &*vault, &signed_in)?;
                entry.map(|entry| audit::insert(connection, &entry)).transpose()?;
            }
            Ok(is_there)
        });
        stored.await
    }

    async fn remove_sign_in(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (server, entry) = (name.as_str().to_owned(), entry.clone());
        let removed = self.write("mcp_servers.remove_sign_in", move |connection| {
            let removed = remove_sign_in(connection, &server)?;
            if removed {
                audit::insert(connection, &entry)?;
            }
            Ok(removed)
        });
        removed.await
    }
}

#[cfg(test)]
mod tests;
