//! What [`pawport::ports::audit::AuditLog`] promises. That an entry is stored with its change and only then is held by the
//! suites of the changes.

use super::fixtures::{at, at_once, entry, everything, limit, logged};
use pawport::domain::audit::{AuditEntry, Severity};
use pawport::ports::store::Stores;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

pub async fn every_member_comes_back(stores: &Stores) {
    let context = |value: Value| value.as_object().unwrap().clone();
    let odd = "🐾 it's \"quoted\" \\ %_\n\t";
    let mut expected = vec![
        AuditEntry { severity: Severity::Info, ..entry("info") },
        AuditEntry { severity: Severity::Warning, ..entry("warning") },
        AuditEntry { severity: Severity::Critical, ..entry("critical") },
        AuditEntry { severity: Severity::Alert, ..entry("alert") },
        AuditEntry { at: at(i64::MIN), ..entry("the first moment") },
        AuditEntry { at: at(i64::MAX), ..entry("the last moment") },
        AuditEntry { actor: odd.to_owned(), target: odd.to_owned(), status: odd.to_owned(), ..entry(odd) },
        AuditEntry { actor: String::new(), target: String::new(), status: String::new(), ..entry("") },
        AuditEntry { target: "🐾".repeat(10_000), ..entry("long") },
        AuditEntry {
            context: context(json!({
                "credential": { "kind": "master_token", "id": "0123456789ab" },
                "list": [1, -2.5, null, true, "🐾"], "empty": {}, "ключ": odd, "big": u64::MAX, "": "",
            })),
            ..entry("context")
        },
    ];
    for given in &expected {
        stores.audit.record(given).await.unwrap();
    }
    expected.reverse();
    assert_eq!(stores.audit.recent(everything()).await.unwrap(), expected);
}

pub async fn recent_is_by_storing_newest_first(stores: &Stores) {
    assert_eq!(stores.audit.recent(everything()).await.unwrap(), []);
    // The times run any way they like, as those of a clock that is set do.
    let expected: Vec<AuditEntry> =
        [5, 9, 1, 5, 3].into_iter().map(|moment| AuditEntry { at: at(moment), ..entry("x") }).collect();
    for given in &expected {
        stores.audit.record(given).await.unwrap();
    }
    let entries = stores.audit.recent(everything()).await.unwrap();
    assert!(entries.iter().eq(expected.iter().rev()), "{entries:?}");
}

pub async fn recent_is_limited(stores: &Stores) {
    for number in 0..5 {
        stores.audit.record(&entry(&number.to_string())).await.unwrap();
    }
    for (size, expected) in [(1, &["4"][..]), (3, &["4", "3", "2"]), (1_000, &["4", "3", "2", "1", "0"])] {
        let entries = stores.audit.recent(limit(size)).await.unwrap();
        assert!(entries.iter().map(|entry| entry.action.as_str()).eq(expected.iter().copied()), "the last {size}");
    }
}

pub async fn fifty_entries_at_once_are_all_kept(stores: &Stores) {
    at_once(50, |task| {
        let audit = Arc::clone(&stores.audit);
        async move { audit.record(&entry(&task.to_string())).await.unwrap() }
    })
    .await;
    let kept: HashSet<String> = logged(stores).await.into_iter().collect();
    assert_eq!(kept, (0..50).map(|task| task.to_string()).collect());
}

pub async fn the_storage_can_serve(stores: &Stores) {
    stores.probe.check().await.unwrap();
}
