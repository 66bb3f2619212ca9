//! MCP servers and sign-ins as vectors.

use super::{InMemoryStorage, State};
use crate::domain::audit::AuditEntry;
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::{McpServer, McpServerName, RemoteUrl};
use crate::ports::mcp::McpServerStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use secrecy::SecretString;

impl State {
    /// Whether there is a server of that name at that address.
    pub(super) fn is_at(&self, name: &McpServerName, url: &RemoteUrl) -> bool {
        self.mcp_servers.iter().any(|server| server.name == *name && server.transport.url() == Some(url))
    }

    /// Removes a sign-in. False if there is none.
    fn remove_mcp_sign_in(&mut self, name: &McpServerName) -> bool {
        let before = self.mcp_sign_ins.len();
        self.mcp_sign_ins.retain(|sign_in| sign_in.0 != *name);
        self.mcp_sign_ins.len() < before
    }
}

#[async_trait]
impl McpServerStore for InMemoryStorage {
    async fn put(&self, server: &McpServer, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        match state.mcp_servers.iter().position(|existing| existing.name == server.name) {
            Some(index) => {
                if !state.mcp_servers[index].transport.is_same_remote(&server.transport) {
                    state.remove_mcp_sign_in(&server.name);
                }
                state.mcp_servers[index] = server.clone();
            }
            None => state.mcp_servers.push(server.clone()),
        }
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find(&self, name: &McpServerName) -> Result<Option<McpServer>, StoreError> {
        Ok(self.state().mcp_servers.iter().find(|server| server.name == *name).cloned())
    }

    async fn list(&self) -> Result<Vec<McpServer>, StoreError> {
        let mut servers = self.state().mcp_servers.clone();
        servers.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(servers)
    }

    async fn set_enabled(&self, name: &McpServerName, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(server) = state.mcp_servers.iter_mut().find(|server| server.name == *name) else {
            return Ok(false);
        };
        server.enabled = enabled;
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn remove(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.mcp_servers.iter().position(|server| server.name == *name) else {
            return Ok(false);
        };
        state.mcp_servers.remove(index);
        state.remove_mcp_sign_in(name);
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn sign_in(&self, name: &McpServerName) -> Result<Option<SecretString>, StoreError> {
        Ok(self.state().mcp_sign_ins.iter().find(|sign_in| sign_in.0 == *name).map(|sign_in| sign_in.1.clone()))
    }

    async fn set_sign_in(&self, signed_in: &SignedIn, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.is_at(&signed_in.server, &signed_in.url) {
            return Ok(false);
        }
        state.remove_mcp_sign_in(&signed_in.server);
        state.mcp_sign_ins.push((signed_in.server.clone(), signed_in.grant.clone()));
        state.audit.extend(entry.cloned());
        Ok(true)
    }

    async fn remove_sign_in(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let removed = state.remove_mcp_sign_in(name);
        if removed {
            state.audit.push(entry.clone());
        }
        Ok(removed)
    }
}
