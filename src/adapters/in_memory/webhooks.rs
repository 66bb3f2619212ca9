//! Webhook slots as a vector.

use super::InMemoryStorage;
use crate::domain::audit::AuditEntry;
use crate::domain::webhook::{Webhook, WebhookName, WebhookSecret};
use crate::ports::store::StoreError;
use crate::ports::webhooks::WebhookStore;
use async_trait::async_trait;

#[async_trait]
impl WebhookStore for InMemoryStorage {
    async fn insert(&self, webhook: &Webhook, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.webhooks.iter().any(|existing| existing.name == webhook.name) {
            return Err(StoreError::Conflict);
        }
        state.webhooks.push(webhook.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find(&self, name: &WebhookName) -> Result<Option<Webhook>, StoreError> {
        Ok(self.state().webhooks.iter().find(|webhook| webhook.name == *name).cloned())
    }

    async fn list(&self) -> Result<Vec<Webhook>, StoreError> {
        let mut webhooks = self.state().webhooks.clone();
        webhooks.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(webhooks)
    }

    async fn set_secret(
        &self,
        name: &WebhookName,
        secret: &WebhookSecret,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(webhook) = state.webhooks.iter_mut().find(|webhook| webhook.name == *name) else {
            return Ok(false);
        };
        webhook.secret = secret.clone();
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn remove(&self, name: &WebhookName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.webhooks.iter().position(|webhook| webhook.name == *name) else {
            return Ok(false);
        };
        state.webhooks.remove(index);
        state.audit.push(entry.clone());
        Ok(true)
    }
}
