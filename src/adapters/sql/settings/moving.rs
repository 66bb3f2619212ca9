//! Settings and secrets that were imported before there was a place for them, and kept.
//!
//! Not in a migration: what is in them is sealed, and a backup that is older than their place may be restored at any time.

use super::import_setting;
use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::errors::Failure;
use crate::adapters::sql::imports::KeptRow;
use crate::adapters::sql::schema::kept;
use crate::domain::import::{Kept, Outcome};
use crate::domain::settings::{members, rules};
use crate::ports::store::StoreError;
use crate::ports::vault::Vault;
use diesel::prelude::*;
use secrecy::ExposeSecret;
use serde_json::Value;

const SETTING: &str = "setting";
const SECRET: &str = "secret";

/// Moves what is kept to where it belongs now, all of it or nothing. What cannot be used, or is set already, stays where it
/// is.
pub(in crate::adapters::sql) fn move_kept(connection: &mut AnyConnection, vault: &dyn Vault) -> Result<(), StoreError> {
    Ok(connection.transaction(|connection| move_all(connection, vault))?)
}

fn move_all(connection: &mut AnyConnection, vault: &dyn Vault) -> Result<(), Failure> {
    let rows = kept::table.filter(kept::kind.eq(SETTING).or(kept::kind.eq(SECRET))).order(kept::key);
    let rows: Vec<KeptRow> = rows.load(connection)?;
    let rows = rows.into_iter().filter_map(|row| {
        let key = row.key;
        let kept = row.open(vault);
        // As what cannot be used stays where it is.
        let kept = kept.inspect_err(|error| tracing::warn!(%error, "what an import kept cannot be read")).ok()?;
        // Most of what stays is for configuration, and not worth a word at every start.
        members::importable(&kept.id).map(|_| (key, kept))
    });
    let rows: Vec<(i64, Kept)> = rows.collect();
    let address = rows.iter().find(|(_, kept)| kept.kind == SETTING && kept.id == "openai_compatible_base_url");
    let address = address.map(|(_, kept)| value_of(kept));
    for (key, kept) in &rows {
        let setting = rules::imported(&kept.id, &value_of(kept), address.as_ref().and_then(Value::as_str));
        let why = match setting {
            Ok(None) => continue,
            Ok(Some(setting)) => {
                if import_setting(connection, vault, &setting)? != Outcome::Conflict {
                    diesel::delete(kept::table.find(key)).execute(connection)?;
                    continue;
                }
                "it is set here to something else".to_owned()
            }
            Err(why) => why,
        };
        tracing::info!(kind = kept.kind, name = kept.id, why, "what an import kept stays in the table kept");
    }
    Ok(())
}

/// The value, which is in the body of a setting and sealed for a secret. Null if there is none.
fn value_of(kept: &Kept) -> Value {
    let text = if kept.kind == SECRET {
        kept.secret.as_ref().map_or("null", |secret| secret.expose_secret())
    } else {
        &kept.body
    };
    serde_json::from_str::<Value>(text).map_or(Value::Null, |mut kept| kept["value"].take())
}
