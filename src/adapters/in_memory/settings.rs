//! Settings as a vector.

use super::{InMemoryStorage, State};
use crate::domain::audit::AuditEntry;
use crate::domain::import::Outcome;
use crate::domain::settings::{SettingChange, StoredSetting};
use crate::ports::settings::SettingsStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;

impl State {
    pub(super) fn import_setting(&mut self, setting: StoredSetting) -> Outcome {
        match self.settings.iter().find(|existing| existing.name == setting.name) {
            Some(existing) if existing.value.says_the_same_as(&setting.value) => Outcome::AlreadyThere,
            Some(_) => Outcome::Conflict,
            None => {
                self.settings.push(setting);
                Outcome::Imported
            }
        }
    }
}

#[async_trait]
impl SettingsStore for InMemoryStorage {
    async fn all(&self) -> Result<Vec<StoredSetting>, StoreError> {
        let mut settings = self.state().settings.clone();
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(settings)
    }

    async fn merge(&self, changes: &[SettingChange], entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        for change in changes {
            state.settings.retain(|setting| setting.name != change.name);
            if let Some(value) = change.value.clone() {
                state.settings.push(StoredSetting { name: change.name.clone(), value });
            }
        }
        state.audit.push(entry.clone());
        Ok(())
    }
}
