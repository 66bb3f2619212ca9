//! What is imported, among everything else; kept records as a vector.

use super::{InMemoryStorage, State};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::ApiKey;
use crate::domain::import::{Item, Kept, Outcome, SessionPart};
use crate::domain::mcp::McpServer;
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::session::SessionId;
use crate::domain::webhook::Webhook;
use crate::ports::imports::ImportStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use std::collections::HashSet;

impl State {
    fn import(&mut self, item: Item) -> Outcome {
        match item {
            Item::Session(part) => self.import_session(part),
            Item::Webhook(webhook) => self.import_webhook(webhook),
            Item::McpServer(server) => self.import_mcp_server(server),
            Item::McpSignIn(sign_in) => self.import_mcp_sign_in(sign_in),
            Item::ApiKey(key) => self.import_api_key(key),
            Item::Audit(entry) => self.import_entry(entry),
            Item::Setting(setting) => self.import_setting(setting),
            Item::Memory(memory) => self.import_memory(memory),
            Item::Kept(kept) => self.import_kept(kept),
        }
    }

    fn import_session(&mut self, part: SessionPart) -> Outcome {
        let is_new = self.sessions.find(&part.id).is_none();
        if is_new {
            self.sessions.create(&part.id, part.created);
        }
        let Some(session) = self.sessions.find_mut(&part.id) else { return Outcome::Conflict };
        session.summary = part.summary((!is_new).then(|| session.summary.clone()));
        let added = part.messages.len() as u64;
        for message in part.messages {
            session.append(message);
        }
        Outcome::Session { is_new, added }
    }

    fn import_webhook(&mut self, webhook: Webhook) -> Outcome {
        match self.webhooks.iter().find(|existing| existing.name == webhook.name) {
            Some(existing) if existing.secret.expose() == webhook.secret.expose() => Outcome::AlreadyThere,
            Some(_) => Outcome::Conflict,
            None => {
                self.webhooks.push(webhook);
                Outcome::Imported
            }
        }
    }

    fn import_mcp_server(&mut self, server: McpServer) -> Outcome {
        match self.mcp_servers.iter().find(|existing| existing.name == server.name) {
            Some(existing) if existing.transport == server.transport => Outcome::AlreadyThere,
            Some(_) => Outcome::Conflict,
            None => {
                self.mcp_servers.push(McpServer { enabled: false, ..server });
                Outcome::Imported
            }
        }
    }

    fn import_mcp_sign_in(&mut self, sign_in: SignedIn) -> Outcome {
        if !self.is_at(&sign_in.server, &sign_in.url) {
            return Outcome::Conflict;
        }
        if self.mcp_sign_ins.iter().any(|existing| existing.0 == sign_in.server) {
            return Outcome::AlreadyThere;
        }
        self.mcp_sign_ins.push((sign_in.server, sign_in.grant));
        Outcome::Imported
    }

    fn import_api_key(&mut self, key: ApiKey) -> Outcome {
        let existing = self.api_keys.iter().position(|existing| existing.id == key.id && existing.hash == key.hash);
        if let Some(index) = existing {
            return match key.revoked {
                Some(at) if self.api_keys[index].revoked.is_none() => {
                    self.revoke(index, at);
                    Outcome::Imported
                }
                _ => Outcome::AlreadyThere,
            };
        }
        if self.is_taken(&key) {
            return Outcome::Conflict;
        }
        self.api_keys.push(key);
        Outcome::Imported
    }

    fn import_entry(&mut self, entry: AuditEntry) -> Outcome {
        if self.audit.iter().any(|existing| existing.id == entry.id) {
            return Outcome::AlreadyThere;
        }
        self.audit.insert(self.imported_entries, entry);
        self.imported_entries += 1;
        Outcome::Imported
    }

    fn import_kept(&mut self, kept: Kept) -> Outcome {
        let existing = self.kept.iter_mut().find(|existing| (&existing.kind, &existing.id) == (&kept.kind, &kept.id));
        match existing {
            Some(existing) if !kept.replaces || existing.says_the_same_as(&kept) => return Outcome::AlreadyThere,
            Some(existing) => *existing = kept,
            None => self.kept.push(kept),
        }
        Outcome::Imported
    }
}

#[async_trait]
impl ImportStore for InMemoryStorage {
    async fn import(&self, batch: Vec<Item>, entry: &AuditEntry) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        let outcomes: Vec<Outcome> = batch.into_iter().map(|item| state.import(item)).collect();
        let is_known = state.audit.iter().any(|existing| existing.id == entry.id);
        if outcomes.iter().any(|outcome| outcome.changed_something()) && !is_known {
            state.audit.push(entry.clone());
        }
        Ok(outcomes)
    }

    async fn preview(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state().clone();
        Ok(batch.into_iter().map(|item| state.import(item)).collect())
    }

    async fn message_ids(&self, session: &SessionId) -> Result<HashSet<String>, StoreError> {
        let state = self.state();
        let messages = state.sessions.find(session).into_iter().flat_map(|session| &session.messages);
        Ok(messages.map(|message| message.content.id.clone()).collect())
    }

    async fn kept(&self, kind: &str) -> Result<Vec<Kept>, StoreError> {
        Ok(self.state().kept.iter().filter(|kept| kept.kind == kind).cloned().collect())
    }
}
