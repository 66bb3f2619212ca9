//! The part of the histories that is about MCP servers.

use super::{Step, moment, shown};
use crate::contract::fixtures::at;
use crate::contract::mcp_servers::{members, name, remote, signed_in, stdio};
use pawport::domain::import::Item;
use pawport::domain::mcp::McpServer;
use pawport::ports::store::Stores;
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::ExposeSecret;

const NAMES: [&str; 3] = ["a", "A", "b"];
const PATHS: [&str; 2] = ["", "mcp"];

type Name = &'static str;

#[derive(Debug, Clone)]
pub enum Operation {
    /// With no path it is a program.
    Put {
        server: Name,
        path: Option<Name>,
        created: i64,
    },
    Find {
        server: Name,
    },
    List,
    SetEnabled {
        server: Name,
        enabled: bool,
    },
    Remove {
        server: Name,
    },
    SignIn {
        server: Name,
    },
    SetSignIn {
        server: Name,
        path: Name,
        entry: bool,
    },
    RemoveSignIn {
        server: Name,
    },
    Import {
        server: Name,
        path: Name,
    },
}

fn server() -> impl Strategy<Value = Name> {
    select(&NAMES[..])
}

fn path() -> impl Strategy<Value = Name> {
    select(&PATHS[..])
}

pub fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        4 => (server(), proptest::option::weighted(0.8, path()), moment())
            .prop_map(|(server, path, created)| Put { server, path, created }),
        1 => server().prop_map(|server| Find { server }),
        1 => Just(List),
        1 => (server(), any::<bool>()).prop_map(|(server, enabled)| SetEnabled { server, enabled }),
        1 => server().prop_map(|server| Remove { server }),
        1 => server().prop_map(|server| SignIn { server }),
        3 => (server(), path(), any::<bool>()).prop_map(|(server, path, entry)| SetSignIn { server, path, entry }),
        1 => server().prop_map(|server| RemoveSignIn { server }),
        2 => (server(), path()).prop_map(|(server, path)| Import { server, path }),
    ]
}

pub async fn perform(stores: &Stores, operation: &Operation, step: Step) -> String {
    let servers = &stores.mcp_servers;
    let grant = format!("grant {}", step.number);
    match operation {
        Operation::Put { server, path, created } => {
            let server = path.map_or_else(|| stdio(server, &grant), |path| remote(server, path));
            let server = McpServer { created: at(*created), preset: Some(step.number.to_string()), ..server };
            shown(&servers.put(&server, &step.entry("put", 0)).await)
        }
        Operation::Find { server } => {
            shown(&servers.find(&name(server)).await.map(|found| found.as_ref().map(members)))
        }
        Operation::List => list(stores).await,
        Operation::SetEnabled { server, enabled } => {
            shown(&servers.set_enabled(&name(server), *enabled, &step.entry("set_enabled", 0)).await)
        }
        Operation::Remove { server } => shown(&servers.remove(&name(server), &step.entry("remove_server", 0)).await),
        Operation::SignIn { server } => sign_in(stores, server).await,
        Operation::SetSignIn { server, path, entry } => {
            let entry = entry.then(|| step.entry("set_sign_in", 0));
            shown(&servers.set_sign_in(&signed_in(server, path, &grant), entry.as_ref()).await)
        }
        Operation::RemoveSignIn { server } => {
            shown(&servers.remove_sign_in(&name(server), &step.entry("remove_sign_in", 0)).await)
        }
        Operation::Import { server, path } => {
            let batch = vec![Item::McpServer(remote(server, path)), Item::McpSignIn(signed_in(server, path, &grant))];
            shown(&stores.imports.import(batch, &step.entry("import", 0)).await)
        }
    }
}

async fn list(stores: &Stores) -> String {
    shown(&stores.mcp_servers.list().await.map(|list| list.iter().map(members).collect::<Vec<_>>()))
}

async fn sign_in(stores: &Stores, server: &str) -> String {
    let grant = stores.mcp_servers.sign_in(&name(server)).await;
    shown(&grant.map(|grant| grant.map(|grant| grant.expose_secret().to_owned())))
}

/// All that can be asked.
pub async fn everything_in(stores: &Stores) -> Vec<String> {
    let mut answers = vec![list(stores).await];
    for server in NAMES {
        answers.push(sign_in(stores, server).await);
    }
    answers
}
