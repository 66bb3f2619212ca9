//! What [`pawport::ports::webhooks::WebhookStore`] promises.

use super::fixtures::{at, at_once, entry, logged};
use pawport::domain::webhook::{
    DESCRIPTION_CHARS, Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret,
};
use pawport::ports::store::{StoreError, Stores};
use secrecy::SecretString;
use std::sync::Arc;

#[track_caller]
fn name(text: &str) -> WebhookName {
    WebhookName::parse(text).unwrap()
}

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::from_stored(SecretString::from(text))
}

#[track_caller]
fn webhook(text: &str, created: i64) -> Webhook {
    Webhook {
        name: name(text),
        description: format!("what {text} is for"),
        secret: secret(&format!("secret of {text}")),
        scheme: Scheme::Any,
        session: SessionMode::Delivery,
        sync_timeout: SyncTimeout::default(),
        created: at(created),
    }
}

/// All members in a form that can be compared and printed; the secrets here are none.
fn members(webhook: &Webhook) -> String {
    format!("{webhook:?} with {:?}", webhook.secret.expose())
}

async fn listed(stores: &Stores) -> Vec<String> {
    stores.webhooks.list().await.unwrap().iter().map(|webhook| webhook.name.as_str().to_owned()).collect()
}

pub async fn every_member_comes_back(stores: &Stores) {
    let plain = webhook("plain", 0);
    let variants = [
        Webhook { name: name("empty"), description: String::new(), ..plain.clone() },
        Webhook { name: name("rich"), description: "🐾 it's \"quoted\" \\ %_\n".to_owned(), ..plain.clone() },
        Webhook { name: name("long"), description: "🐾".repeat(DESCRIPTION_CHARS), ..plain.clone() },
        Webhook { name: name("fast"), sync_timeout: SyncTimeout::from_secs(1).unwrap(), ..plain.clone() },
        Webhook { name: name("slow"), sync_timeout: SyncTimeout::from_secs(300).unwrap(), ..plain.clone() },
        Webhook { name: name("first"), created: at(i64::MIN), ..plain.clone() },
        Webhook { name: name("last"), created: at(i64::MAX), ..plain.clone() },
        Webhook { name: name("slot"), session: SessionMode::Slot, ..plain.clone() },
        Webhook { name: name("github"), scheme: Scheme::GitHub, ..plain.clone() },
        Webhook { name: name("standard"), scheme: Scheme::Standard, ..plain.clone() },
        Webhook { name: name("no-secret"), secret: secret(""), ..plain.clone() },
        Webhook { name: name("odd-secret"), secret: secret("ünï 🐾 \0 \""), ..plain.clone() },
        Webhook { name: name("long-secret"), secret: secret(&"s".repeat(10_000)), ..plain.clone() },
        Webhook { name: name(&"x".repeat(WebhookName::MAX_LEN)), ..plain },
    ];
    for given in &variants {
        stores.webhooks.insert(given, &entry("added")).await.unwrap();
        let found = stores.webhooks.find(&given.name).await.unwrap().unwrap();
        assert_eq!(members(&found), members(given));
    }
    let list = stores.webhooks.list().await.unwrap();
    assert_eq!(list.len(), variants.len());
    for given in &variants {
        assert!(list.iter().any(|listed| members(listed) == members(given)), "{given:?} in {list:?}");
    }
    assert_eq!(logged(stores).await, vec!["added"; variants.len()]);
}

pub async fn insert_refuses_a_name_that_is_taken(stores: &Stores) {
    let first = webhook("hook", 5);
    stores.webhooks.insert(&first, &entry("first")).await.unwrap();
    let second = Webhook { description: "another".to_owned(), secret: secret("another"), ..webhook("hook", 6) };
    let refused = stores.webhooks.insert(&second, &entry("second")).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    let list = stores.webhooks.list().await.unwrap();
    assert_eq!(list.iter().map(members).collect::<Vec<_>>(), [members(&first)]);
    assert_eq!(logged(stores).await, ["first"]);
}

pub async fn list_is_by_creation_then_by_name(stores: &Stores) {
    assert_eq!(listed(stores).await, [""; 0]);
    let slots = [("b", 10), ("z", 5), ("B", 10), ("a", 10), ("_", 10), ("-", 10), ("0", 10), ("y", 20), ("aa", 10)];
    for (text, created) in slots {
        stores.webhooks.insert(&webhook(text, created), &entry("added")).await.unwrap();
    }
    // Names are compared by their ASCII codes, not as a language would.
    assert_eq!(listed(stores).await, ["z", "-", "0", "B", "_", "a", "aa", "b", "y"]);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    assert!(stores.webhooks.find(&name("unknown")).await.unwrap().is_none());
    stores.webhooks.insert(&webhook("known", 5), &entry("added")).await.unwrap();
    assert!(stores.webhooks.find(&name("unknown")).await.unwrap().is_none());
}

pub async fn names_are_compared_exactly(stores: &Stores) {
    for text in ["hook_a", "Hook_a", "hookXa"] {
        stores.webhooks.insert(&webhook(text, 5), &entry("added")).await.unwrap();
    }
    assert!(stores.webhooks.remove(&name("hook_a"), &entry("removed")).await.unwrap());
    assert!(stores.webhooks.find(&name("hook_A")).await.unwrap().is_none());
    assert_eq!(listed(stores).await, ["Hook_a", "hookXa"]);
}

pub async fn another_secret_replaces_the_secret_and_nothing_else(stores: &Stores) {
    let (first, other) = (webhook("hook", 5), webhook("other", 6));
    for given in [&first, &other] {
        stores.webhooks.insert(given, &entry("added")).await.unwrap();
    }
    let changed = Webhook { secret: secret("another"), ..first };
    assert!(stores.webhooks.set_secret(&changed.name, &changed.secret, &entry("regenerated")).await.unwrap());
    let list = stores.webhooks.list().await.unwrap();
    assert_eq!(list.iter().map(members).collect::<Vec<_>>(), [members(&changed), members(&other)]);
    assert_eq!(logged(stores).await, ["added", "added", "regenerated"]);
}

pub async fn a_secret_for_nothing_leaves_no_entry(stores: &Stores) {
    assert!(!stores.webhooks.set_secret(&name("hook"), &secret("s"), &entry("regenerated")).await.unwrap());
    assert!(stores.webhooks.find(&name("hook")).await.unwrap().is_none());
    assert_eq!(logged(stores).await, [""; 0]);
}

pub async fn removal_leaves_the_others_and_an_entry(stores: &Stores) {
    for text in ["a", "b", "c"] {
        stores.webhooks.insert(&webhook(text, 5), &entry("added")).await.unwrap();
    }
    assert!(stores.webhooks.remove(&name("b"), &entry("removed")).await.unwrap());
    assert!(stores.webhooks.find(&name("b")).await.unwrap().is_none());
    assert_eq!(listed(stores).await, ["a", "c"]);
    assert_eq!(logged(stores).await, ["added", "added", "added", "removed"]);
}

pub async fn removal_of_nothing_leaves_no_entry(stores: &Stores) {
    assert!(!stores.webhooks.remove(&name("hook"), &entry("unknown")).await.unwrap());
    stores.webhooks.insert(&webhook("hook", 5), &entry("added")).await.unwrap();
    assert!(stores.webhooks.remove(&name("hook"), &entry("first")).await.unwrap());
    assert!(!stores.webhooks.remove(&name("hook"), &entry("second")).await.unwrap());
    assert_eq!(logged(stores).await, ["added", "first"]);
}

pub async fn a_removed_name_is_free(stores: &Stores) {
    stores.webhooks.insert(&webhook("hook", 5), &entry("added")).await.unwrap();
    assert!(stores.webhooks.remove(&name("hook"), &entry("removed")).await.unwrap());
    let again = Webhook { scheme: Scheme::GitHub, ..webhook("hook", 3) };
    stores.webhooks.insert(&again, &entry("added again")).await.unwrap();
    let found = stores.webhooks.find(&name("hook")).await.unwrap().unwrap();
    assert_eq!(members(&found), members(&again));
    assert_eq!(logged(stores).await, ["added", "removed", "added again"]);
}

pub async fn one_of_twenty_insertions_of_the_same_name_wins(stores: &Stores) {
    let inserted = at_once(20, |task| {
        let webhooks = Arc::clone(&stores.webhooks);
        async move {
            let given = Webhook { description: task.to_string(), ..webhook("hook", 5) };
            match webhooks.insert(&given, &entry(&given.description)).await {
                Ok(()) => Some(given.description),
                Err(StoreError::Conflict) => None,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let winners: Vec<String> = inserted.await.into_iter().flatten().collect();
    let found = stores.webhooks.find(&name("hook")).await.unwrap().unwrap();
    assert_eq!(winners, [found.description]);
    assert_eq!(logged(stores).await, winners);
}
