//! What [`pawport::ports::settings::SettingsStore`] promises.

use super::fixtures::{at_once, entry, logged};
use pawport::domain::import::{Item, Outcome};
use pawport::domain::settings::{SettingChange, StoredSetting, StoredValue};
use pawport::ports::store::Stores;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn plain(value: Value) -> StoredValue {
    StoredValue::Plain(value)
}

pub fn secret(text: &str, address: Option<&str>) -> StoredValue {
    StoredValue::Secret { text: SecretString::from(text), address: address.map(str::to_owned) }
}

pub fn set(name: &str, value: StoredValue) -> SettingChange {
    SettingChange { name: name.to_owned(), value: Some(value) }
}

fn removal(name: &str) -> SettingChange {
    SettingChange { name: name.to_owned(), value: None }
}

async fn merge(stores: &Stores, changes: &[SettingChange]) {
    stores.settings.merge(changes, &entry("changed")).await.unwrap();
}

async fn all(stores: &Stores) -> Vec<(String, StoredValue)> {
    let all = stores.settings.all().await.unwrap();
    all.into_iter().map(|StoredSetting { name, value }| (name, value)).collect()
}

async fn names(stores: &Stores) -> Vec<String> {
    all(stores).await.into_iter().map(|(name, _)| name).collect()
}

pub async fn nothing_is_set_in_the_beginning(stores: &Stores) {
    assert_eq!(all(stores).await, []);
}

pub async fn every_value_comes_back(stores: &Stores) {
    let large = "🐾\u{1}\"\\".repeat(10_000);
    let values = [
        ("a", plain(json!(true))),
        ("b", plain(json!(-0.25))),
        ("c", plain(json!(i64::MIN))),
        ("d", plain(json!(large))),
        ("e", plain(json!(["x", 5, ""]))),
        ("f", plain(json!({ "я": { "x": [null, {}] } }))),
        ("g", plain(json!(""))),
        ("h", secret("sk-🐾 \n\"", None)),
        ("i", secret(&large, Some("https://host.example/v1"))),
        ("j", secret("", Some(""))),
    ];
    let changes: Vec<SettingChange> = values.iter().map(|(name, value)| set(name, value.clone())).collect();
    merge(stores, &changes).await;
    let expected: Vec<_> = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(all(stores).await, expected);
    assert_eq!(logged(stores).await, ["changed"]);
}

pub async fn changes_leave_the_others_as_they_are(stores: &Stores) {
    merge(stores, &[set("b", plain(json!(1))), set("a", secret("x", None))]).await;
    merge(stores, &[set("b", secret("y", Some("z"))), set("c", plain(json!(2)))]).await;
    merge(stores, &[set("a", plain(json!("x")))]).await;
    let expected = [("a", plain(json!("x"))), ("b", secret("y", Some("z"))), ("c", plain(json!(2)))];
    assert_eq!(all(stores).await, expected.map(|(name, value)| (name.to_owned(), value)));
}

pub async fn a_removed_setting_is_gone(stores: &Stores) {
    merge(stores, &[set("a", plain(json!(1))), set("b", secret("x", None)), set("c", plain(json!(3)))]).await;
    merge(stores, &[removal("a"), removal("b"), removal("nothing"), set("d", plain(json!(4)))]).await;
    assert_eq!(names(stores).await, ["c", "d"]);
}

pub async fn names_are_compared_exactly(stores: &Stores) {
    merge(stores, &[set("a", plain(json!(1))), set("A", plain(json!(2))), set("a ", plain(json!(3)))]).await;
    assert_eq!(names(stores).await, ["A", "a", "a "]);
    merge(stores, &[removal("A")]).await;
    assert_eq!(names(stores).await, ["a", "a "]);
}

pub async fn twenty_who_change_something_lose_nothing(stores: &Stores) {
    let shared = Arc::new(stores.clone());
    at_once(20, |number| {
        let stores = Arc::clone(&shared);
        async move {
            let name = format!("n{number:02}");
            merge(&stores, &[set(&name, plain(json!(number))), set("shared", plain(json!(number)))]).await;
        }
    })
    .await;
    assert_eq!(names(stores).await.len(), 21);
    assert_eq!(logged(stores).await.len(), 20);
}

pub async fn an_imported_setting_comes_once_and_replaces_nothing(stores: &Stores) {
    merge(stores, &[set("here", plain(json!("mine"))), set("key", secret("k", Some("a")))]).await;
    let item = |name: &str, value: StoredValue| Item::Setting(StoredSetting { name: name.to_owned(), value });
    let batch = vec![
        item("here", plain(json!("other"))),
        item("new", plain(json!([1]))),
        item("new", plain(json!([1]))),
        item("key", secret("k", Some("b"))),
        item("key", secret("other", Some("a"))),
        item("another", secret("s", None)),
    ];
    let outcomes = stores.imports.import(batch, &entry("imported")).await.unwrap();
    let expected = [
        Outcome::Conflict,
        Outcome::Imported,
        Outcome::AlreadyThere,
        Outcome::AlreadyThere,
        Outcome::Conflict,
        Outcome::Imported,
    ];
    assert_eq!(outcomes, expected);
    let settings = all(stores).await;
    let expected = [
        ("another", secret("s", None)),
        ("here", plain(json!("mine"))),
        ("key", secret("k", Some("a"))),
        ("new", plain(json!([1]))),
    ];
    assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value)));
}
