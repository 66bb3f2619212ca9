//! What is there after the storage was closed and opened again: everything.

use super::backends::Persistent;
use super::fixtures::{
    answered, api_key, asked, at, entry, everything, got_with, hash, id, keyed, listed, logged, login, login_ids,
    logins, pairing, texts, turn,
};
use super::mcp_servers::{members, remote, signed_in, stdio};
use super::memories::memory;
use super::settings::{plain, secret, set};
use pawport::domain::agent::TurnState;
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::mcp::McpServerName;
use pawport::domain::memory::embedding::SpaceName;
use pawport::domain::memory::{MemoryFilter, Owners};
use pawport::domain::session::{SearchQuery, SessionTitle};
use pawport::domain::webhook::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use pawport::ports::memory::NewVector;
use pawport::ports::store::Stores;
use pawport::ports::turns::Enqueued;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

pub async fn sessions_and_messages_are_there_after_reopening(backend: impl Persistent) {
    let stores = backend.stores();
    for (session, moment) in [("websocket_a", 5), ("websocket_b", 9), ("websocket_c", 9)] {
        for text in ["🐾 it's \"one\"", "two"] {
            stores.sessions.append(&id(session), asked(text, moment)).await.unwrap();
        }
    }
    let title = SessionTitle::parse("Mine 🐾").unwrap();
    assert!(stores.sessions.set_title(&id("websocket_a"), &title, &entry("renamed")).await.unwrap());
    stores.sessions.create(&id("websocket_d"), at(i64::MIN), &entry("created")).await.unwrap();
    let page = stores.sessions.recent(everything(), 0).await.unwrap();
    let history = stores.sessions.history(&id("websocket_a"), everything()).await.unwrap();

    let backend = backend.reopen().await;
    let stores = backend.stores();
    assert_eq!(stores.sessions.recent(everything(), 0).await.unwrap(), page);
    assert_eq!(stores.sessions.history(&id("websocket_a"), everything()).await.unwrap(), history);
    stores.probe.check().await.unwrap();
}

pub async fn webhooks_are_there_after_reopening(backend: impl Persistent) {
    for name in ["b", "a"] {
        let webhook = Webhook {
            name: WebhookName::parse(name).unwrap(),
            description: "🐾".to_owned(),
            secret: WebhookSecret::from_stored(SecretString::from(format!("secret of {name}"))),
            scheme: Scheme::Standard,
            session: SessionMode::Slot,
            sync_timeout: SyncTimeout::from_secs(7).unwrap(),
            created: at(5),
        };
        backend.stores().webhooks.insert(&webhook, &entry("added")).await.unwrap();
    }
    let changed = WebhookSecret::from_stored(SecretString::from("changed"));
    let name = WebhookName::parse("b").unwrap();
    assert!(backend.stores().webhooks.set_secret(&name, &changed, &entry("regenerated")).await.unwrap());
    let list = async |stores: &Stores| -> Vec<String> {
        let list = stores.webhooks.list().await.unwrap();
        list.iter().map(|webhook| format!("{webhook:?} with {:?}", webhook.secret.expose())).collect()
    };
    let before = list(backend.stores()).await;
    assert_eq!(before.len(), 2);

    let backend = backend.reopen().await;
    assert_eq!(list(backend.stores()).await, before);
}

pub async fn mcp_servers_are_there_after_reopening(backend: impl Persistent) {
    let all = async |stores: &Stores| {
        let list = stores.mcp_servers.list().await.unwrap();
        let grant = stores.mcp_servers.sign_in(&list[0].name).await.unwrap();
        (list.iter().map(members).collect::<Vec<_>>(), grant.map(|grant| grant.expose_secret().to_owned()))
    };
    let stores = backend.stores();
    for server in [remote("a", "mcp?token=s3cret"), stdio("b", "🐾"), stdio("removed", "c")] {
        stores.mcp_servers.put(&server, &entry("put")).await.unwrap();
    }
    let sign_in = signed_in("a", "mcp?token=s3cret", "grant 🐾");
    assert!(stores.mcp_servers.set_sign_in(&sign_in, None).await.unwrap());
    let [b, removed] = ["b", "removed"].map(|name| McpServerName::parse(name).unwrap());
    assert!(stores.mcp_servers.set_enabled(&b, true, &entry("on")).await.unwrap());
    assert!(stores.mcp_servers.remove(&removed, &entry("removed")).await.unwrap());
    let before = all(stores).await;
    assert_eq!((before.0.len(), before.1.as_deref()), (2, Some("grant 🐾")));

    let backend = backend.reopen().await;
    assert_eq!(all(backend.stores()).await, before);
}

pub async fn the_audit_log_is_there_after_reopening(backend: impl Persistent) {
    for (action, moment) in [("first", 9), ("second", 5)] {
        let mut entry = entry(action);
        entry.at = at(moment);
        entry.context.insert("🐾".to_owned(), 1.into());
        backend.stores().audit.record(&entry).await.unwrap();
    }
    let before = backend.stores().audit.recent(everything()).await.unwrap();

    let backend = backend.reopen().await;
    assert_eq!(backend.stores().audit.recent(everything()).await.unwrap(), before);
    backend.stores().audit.record(&entry("third")).await.unwrap();
    assert_eq!(logged(backend.stores()).await, ["first", "second", "third"]);
}

pub async fn turns_are_there_after_reopening(backend: impl Persistent) {
    let stores = backend.stores();
    let answered_turn = keyed(turn("a", "answered", 5), "a");
    stores.turns.enqueue(answered_turn.clone()).await.unwrap();
    stores.turns.claim(10, at(0), at(100)).await.unwrap();
    assert!(stores.turns.finish(&answered_turn.turn.id, answered("the answer", 6)).await.unwrap());
    let claimed_turn = turn("b", "claimed", 5);
    stores.turns.enqueue(claimed_turn.clone()).await.unwrap();
    stores.turns.claim(10, at(0), at(100)).await.unwrap();
    for text in ["waiting", "waiting longer"] {
        stores.turns.enqueue(turn("c", text, 5)).await.unwrap();
    }

    let backend = backend.reopen().await;
    let stores = backend.stores();
    let kept = stores.turns.state(&answered_turn.turn.id).await.unwrap();
    assert_eq!(kept, Some(TurnState::Done("the answer".to_owned())));
    let again = stores.turns.enqueue(keyed(turn("a", "answered", 7), "a")).await.unwrap();
    assert_eq!(again, Enqueued::Repeated(answered_turn.turn.id));
    // The lease is not over, but whoever had it is gone.
    assert_eq!(stores.turns.release_all().await.unwrap(), 1);
    let claimed = stores.turns.claim(10, at(0), at(100)).await.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|claimed| (claimed.turn.message.text.as_str(), claimed.attempt)).collect();
    assert_eq!(claimed, [("claimed", 2), ("waiting", 1)]);
    assert!(stores.turns.finish(&claimed_turn.turn.id, answered("done", 6)).await.unwrap());
    assert_eq!(texts(stores, "b").await, ["claimed", "done"]);
}

pub async fn credentials_are_there_after_reopening(backend: impl Persistent) {
    let stores = backend.stores();
    for given in [api_key("used", 5), api_key("revoked", 6), api_key("rotated", 7)] {
        stores.api_keys.insert(&given, &entry("added")).await.unwrap();
    }
    for given in [login("a", 5), login("revoked", 6), login("b", 7)] {
        stores.auth_sessions.insert(&given, &entry("added")).await.unwrap();
    }
    let kept = Pairing { grant: got_with("used"), ..pairing("kept") };
    for given in [&kept, &pairing("redeemed")] {
        stores.auth_sessions.insert_pairing(given, &entry("added")).await.unwrap();
    }
    let used = api_key("used", 5);
    stores.api_keys.touch(&[(used.id, at(9))]).await.unwrap();
    assert!(stores.api_keys.revoke(&api_key("revoked", 6).id, at(8), &entry("revoked")).await.unwrap());
    let successor = api_key("successor", 8);
    assert!(stores.api_keys.rotate(&api_key("rotated", 7).id, at(8), &successor, &entry("rotated")).await.unwrap());
    stores.auth_sessions.touch(&[("a".to_owned(), at(9))]).await.unwrap();
    assert!(stores.auth_sessions.revoke("revoked", &entry("revoked")).await.unwrap());
    assert!(stores.auth_sessions.redeem(&hash("redeemed"), &login("c", 9), &entry("redeemed")).await.unwrap());
    let (keys, sessions) = (stores.api_keys.list().await.unwrap(), logins(stores).await);

    let backend = backend.reopen().await;
    let stores = backend.stores();
    assert_eq!(stores.api_keys.list().await.unwrap(), keys);
    assert_eq!(logins(stores).await, sessions);
    assert_eq!(login_ids(stores).await, ["c", "b", "a"]);
    assert_eq!(stores.auth_sessions.find_pairing(&kept.hash).await.unwrap(), Some(kept));
    assert!(!stores.auth_sessions.redeem(&hash("redeemed"), &login("d", 9), &entry("redeemed")).await.unwrap());
}

pub async fn removal_is_for_ever(backend: impl Persistent) {
    for session in ["websocket_a", "websocket_b"] {
        backend.stores().sessions.append(&id(session), asked("needle", 5)).await.unwrap();
    }
    backend.settle().await;
    assert!(backend.stores().sessions.remove(&id("websocket_b"), &entry("removed")).await.unwrap());

    let backend = backend.reopen().await;
    assert_eq!(listed(backend.stores()).await, ["websocket_a"]);
    assert_eq!(found(backend.stores(), "needle").await, ["websocket_a"]);
    assert!(!backend.stores().sessions.remove(&id("websocket_b"), &entry("removed")).await.unwrap());
}

pub async fn a_message_that_was_not_settled_is_found_after_reopening(backend: impl Persistent) {
    backend.stores().sessions.append(&id("websocket_a"), asked("a settled needle", 5)).await.unwrap();
    backend.settle().await;
    backend.stores().sessions.append(&id("websocket_b"), asked("an unsettled needle", 6)).await.unwrap();

    let backend = backend.reopen().await;
    for _ in 0..2 {
        assert_eq!(found(backend.stores(), "needle").await, ["websocket_b", "websocket_a"]);
        assert_eq!(found(backend.stores(), "unsettled").await, ["websocket_b"]);
        backend.settle().await;
    }
}

pub async fn numbers_go_on_after_reopening(backend: impl Persistent) {
    let mut backend = backend;
    for number in 1..=3 {
        let message = backend.stores().sessions.append(&id("websocket_a"), asked("x", 5)).await.unwrap();
        assert_eq!(message.number, number);
        backend = backend.reopen().await;
    }
    assert_eq!(texts(backend.stores(), "websocket_a").await, ["x"; 3]);
}

async fn found(stores: &Stores, text: &str) -> Vec<String> {
    let query = SearchQuery::parse(text).unwrap();
    let hits = stores.sessions.search(&query, everything()).await.unwrap();
    hits.into_iter().map(|hit| hit.session.id.to_string()).collect()
}

pub async fn settings_are_there_after_reopening(backend: impl Persistent) {
    let changes = [set("plan_mode", plain(json!(true))), set("openai_api_key", secret("sk-🐾", None))];
    backend.stores().settings.merge(&changes, &entry("changed")).await.unwrap();
    let before = backend.stores().settings.all().await.unwrap();
    assert_eq!(before.len(), 2);
    let backend = backend.reopen().await;
    assert_eq!(backend.stores().settings.all().await.unwrap(), before);
}

pub async fn memories_and_vectors_are_there_after_reopening(backend: impl Persistent) {
    let all = async |stores: &Stores| {
        let memories = stores.memories.page(&MemoryFilter::of(Owners::All), everything(), 0).await.unwrap();
        let vectors = stores.vectors.vectors(&SpaceName("m".to_owned()), i64::MIN, everything()).await.unwrap();
        let found = stores.memories.search(&["cat".to_owned()], &Owners::All, everything()).await.unwrap();
        (memories, vectors, found)
    };
    let stores = backend.stores();
    super::memories::insert(stores, &[memory("a", "the cat 🐾", 5), memory("b", "gone cat", 6)]).await;
    stores.vectors.open_space(&SpaceName("m".to_owned())).await.unwrap();
    let vector = NewVector { id: super::memories::id("a"), revision: 0, vector: vec![0.25, -1.0] };
    stores.vectors.put(&SpaceName("m".to_owned()), vec![vector]).await.unwrap();
    assert!(stores.memories.remove(&super::memories::id("b"), &entry("removed")).await.unwrap());
    let before = all(stores).await;
    assert_eq!((before.0.len(), before.1.len(), before.2.len()), (1, 1, 1));
    let backend = backend.reopen().await;
    assert_eq!(all(backend.stores()).await, before);
}
