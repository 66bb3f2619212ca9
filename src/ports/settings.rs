//! Keeping settings.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::settings::{SettingChange, StoredSetting};
use async_trait::async_trait;

/// The settings that somebody set. Those that nobody set are not in it.
#[async_trait]
pub trait SettingsStore: Send + Sync {
    /// All settings that can be read, by name. Of the others the program's log says which they are: one that is damaged
    /// keeps no other from being used.
    ///
    /// **Contract:** every value comes back as it was given, secrets included.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn all(&self) -> Result<Vec<StoredSetting>, StoreError>;

    /// Makes changes, in the place of what there was, whether that can be read or not, and leaves all other settings as they
    /// are. Removing what is not there changes nothing.
    ///
    /// **Contract:** all changes are made, and `entry` is stored, or nothing is.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn merge(&self, changes: &[SettingChange], entry: &AuditEntry) -> Result<(), StoreError>;
}
