//! Settings as clients of a socket ask for them and change them: by the same checks as over REST.

use super::health;
use super::socket::Socket;
use crate::domain::auth::scope::Scope;
use crate::http::settings::{camel_case_view, change, change_of_key, change_of_message};
use serde_json::{Map, Value, json};

impl Socket<'_> {
    pub(super) fn show_settings(&mut self) {
        if self.may(Scope::SettingsWrite) || self.is_allowed(Scope::SettingsRead) {
            let content = camel_case_view(&self.state.settings);
            self.push(&json!({ "type": "settings", "content": content }));
        }
    }

    /// The page waits for both answers.
    pub(super) async fn change_settings(&mut self, message: &Map<String, Value>) {
        if !self.is_allowed(Scope::SettingsWrite) {
            return;
        }
        let (wanted, mut warnings) = change_of_message(&self.state.settings, message);
        let principal = self.proven.principal.clone();
        match change(&self.state.settings, &self.state.tasks, principal, wanted).await {
            Ok(more) => {
                warnings.extend(more);
                let data = health::report(&self.state).await;
                self.push(&json!({ "type": "health_update", "data": data }));
                self.push(&json!({ "type": "settings_saved", "content": "Settings updated", "warnings": warnings }));
            }
            Err(error) => self.error(&format!("Nothing was changed. {}", error.text())),
        }
    }

    pub(super) async fn save_api_key(&mut self, message: &Map<String, Value>) {
        if !self.is_allowed(Scope::SettingsWrite) {
            return;
        }
        let wanted = match change_of_key(message) {
            Ok(wanted) => wanted,
            Err(why) => return self.error(&why),
        };
        let principal = self.proven.principal.clone();
        match change(&self.state.settings, &self.state.tasks, principal, wanted).await {
            Ok(warnings) => {
                self.push(&json!({ "type": "api_key_saved", "content": "The key is saved.", "warnings": warnings }));
            }
            Err(error) => self.error(&error.text()),
        }
    }
}
