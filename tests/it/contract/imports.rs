//! What [`pawport::ports::imports::ImportStore`] promises.

use super::fixtures::{
    answered, api_key, asked, at, entry, everything, got_with, hash, id, key_id, limit, logged, login, login_ids, texts,
};
use super::mcp_servers::{remote, signed_in};
use pawport::domain::audit::AuditEntry;
use pawport::domain::auth::api_key::ApiKey;
use pawport::domain::auth::login::AuthSession;
use pawport::domain::import::{Item, Kept, Outcome, SessionPart};
use pawport::domain::session::{Message, NewMessage, SearchQuery, SessionSummary, SessionTitle};
use pawport::domain::webhook::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use pawport::ports::store::Stores;
use secrecy::{ExposeSecret, SecretString};

fn part(session: &str, messages: &[NewMessage]) -> SessionPart {
    SessionPart { id: id(session), user_title: None, created: at(1_000), messages: messages.to_vec() }
}

fn session(name: &str, messages: &[NewMessage]) -> Item {
    Item::Session(part(name, messages))
}

fn webhook(name: &str, secret: &str) -> Item {
    Item::Webhook(Webhook {
        name: WebhookName::parse(name).unwrap(),
        description: "from elsewhere".to_owned(),
        secret: WebhookSecret::from_stored(SecretString::from(secret)),
        scheme: Scheme::Any,
        session: SessionMode::Delivery,
        sync_timeout: SyncTimeout::from_secs(60).unwrap(),
        created: at(5),
    })
}

fn kept(kind: &str, name: &str, body: &str) -> Kept {
    Kept { kind: kind.to_owned(), id: name.to_owned(), body: body.to_owned(), secret: None, replaces: true }
}

fn secret(kept: Kept, secret: &str) -> Kept {
    Kept { secret: Some(SecretString::from(secret)), ..kept }
}

/// Kind, id, body and secret of the records of a kind.
async fn records(stores: &Stores, kind: &str) -> Vec<[String; 4]> {
    let kept = stores.imports.kept(kind).await.unwrap();
    let plain = |secret: SecretString| secret.expose_secret().to_owned();
    kept.into_iter().map(|it| [it.kind, it.id, it.body, it.secret.map_or_else(String::new, plain)]).collect()
}

async fn import(stores: &Stores, batch: &[Item]) -> Vec<Outcome> {
    stores.imports.import(batch.to_vec(), &entry("imported")).await.unwrap()
}

/// A session of which so many messages were stored.
fn added(is_new: bool, added: u64) -> Outcome {
    Outcome::Session { is_new, added }
}

async fn summary(stores: &Stores, session: &str) -> SessionSummary {
    stores.sessions.find(&id(session)).await.unwrap().unwrap()
}

pub async fn a_session_comes_with_its_messages(stores: &Stores) {
    let messages = [asked("one", 5), answered("two", 6), asked("three\n🐾", 4)];
    assert_eq!(import(stores, &[session("websocket_a", &messages)]).await, [added(true, 3)]);
    let history = stores.sessions.history(&id("websocket_a"), everything()).await.unwrap();
    let expected: Vec<Message> = (1..).zip(messages).map(|(number, content)| Message { content, number }).collect();
    assert_eq!(history, expected);
    assert_eq!(logged(stores).await, ["imported"]);
}

pub async fn the_summary_is_as_the_domain_says(stores: &Stores) {
    let messages = [answered(" hello ", 50), asked("what", 90), asked("more", 70)];
    let title = SessionTitle::parse("Mine").unwrap();
    let given = SessionPart { user_title: Some(title), ..part("websocket_a", &messages) };
    import(stores, &[Item::Session(given.clone())]).await;
    let expected = messages.iter().fold(given.summary(None), SessionSummary::with);
    assert_eq!(summary(stores, "websocket_a").await, expected);
    assert_eq!((expected.created, expected.title(), expected.message_count), (at(50), "Mine", 3));
}

pub async fn a_session_comes_in_parts(stores: &Stores) {
    let messages: Vec<NewMessage> = (0..9).map(|number| asked(&number.to_string(), number)).collect();
    let parts: Vec<Item> = messages.chunks(4).map(|messages| session("websocket_a", messages)).collect();
    assert_eq!(import(stores, &parts[..2]).await, [added(true, 4), added(false, 4)]);
    assert_eq!(import(stores, &parts[2..]).await, [added(false, 1)]);
    assert_eq!(texts(stores, "websocket_a").await, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    let history = stores.sessions.history(&id("websocket_a"), everything()).await.unwrap();
    assert!(history.iter().map(|message| message.number).eq(1..=9));
}

pub async fn the_ids_of_messages_are_those_of_the_session(stores: &Stores) {
    assert!(stores.imports.message_ids(&id("websocket_a")).await.unwrap().is_empty());
    let [one, two, three] = [asked("one", 5), asked("two", 6), asked("three", 7)];
    import(stores, &[session("websocket_a", std::slice::from_ref(&one)), session("websocket_b", &[three])]).await;
    stores.sessions.append(&id("websocket_a"), two.clone()).await.unwrap();
    let ids = stores.imports.message_ids(&id("websocket_a")).await.unwrap();
    assert_eq!(ids, [one.id, two.id].into());
}

pub async fn messages_come_after_those_that_were_said_here(stores: &Stores) {
    import(stores, &[session("websocket_a", &[asked("one", 5)])]).await;
    stores.sessions.append(&id("websocket_a"), asked("here", 8)).await.unwrap();
    assert_eq!(import(stores, &[session("websocket_a", &[asked("two", 6)])]).await, [added(false, 1)]);
    assert_eq!(texts(stores, "websocket_a").await, ["one", "here", "two"]);
    assert_eq!(summary(stores, "websocket_a").await.message_count, 3);
}

pub async fn a_session_gets_older_and_keeps_its_title(stores: &Stores) {
    let here = id("websocket_a");
    stores.sessions.append(&here, asked("here", 500)).await.unwrap();
    let titled = |title: &str, millis| {
        let user_title = Some(SessionTitle::parse(title).unwrap());
        [Item::Session(SessionPart { user_title, ..part("websocket_a", &[asked("x", millis)]) })]
    };
    import(stores, &titled("first", 400)).await;
    let older = summary(stores, "websocket_a").await;
    assert_eq!((older.created, older.last_activity, older.title()), (at(400), at(500), "first"));
    import(stores, &titled("second", 700)).await;
    let younger = summary(stores, "websocket_a").await;
    assert_eq!((younger.created, younger.last_activity, younger.title()), (at(400), at(700), "first"));
    assert_eq!(younger.first_words, "here");
}

pub async fn a_session_without_messages_is_there(stores: &Stores) {
    assert_eq!(import(stores, &[session("websocket_a", &[])]).await, [added(true, 0)]);
    assert_eq!(summary(stores, "websocket_a").await, SessionSummary::new(id("websocket_a"), at(1_000)));
    assert_eq!(import(stores, &[session("websocket_a", &[])]).await, [added(false, 0)]);
}

pub async fn more_messages_than_fit_a_statement_are_all_stored(stores: &Stores) {
    let messages: Vec<NewMessage> = (0..1_001).map(|number| asked(&format!("text {number}"), number)).collect();
    assert_eq!(import(stores, &[session("websocket_a", &messages)]).await, [added(true, 1_001)]);
    let first = stores.sessions.messages(&id("websocket_a"), 0, everything()).await.unwrap();
    let last = stores.sessions.messages(&id("websocket_a"), 1_000, everything()).await.unwrap();
    let all = first.into_iter().chain(last);
    assert!(all.map(|message| message.content).eq(messages));
}

pub async fn imported_messages_are_found(stores: &Stores) {
    import(stores, &[session("websocket_a", &[asked("the Quick brown fox", 5)])]).await;
    let hits = stores.sessions.search(&SearchQuery::parse("quick BROWN").unwrap(), limit(10)).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].session, summary(stores, "websocket_a").await);
}

pub async fn a_webhook_comes_with_its_secret_once(stores: &Stores) {
    assert_eq!(import(stores, &[webhook("ci", "s3cret")]).await, [Outcome::Imported]);
    let slot = stores.webhooks.find(&WebhookName::parse("ci").unwrap()).await.unwrap().unwrap();
    assert_eq!((slot.secret.expose(), slot.sync_timeout.as_secs(), slot.created), ("s3cret", 60, at(5)));
    assert_eq!((slot.description.as_str(), slot.scheme), ("from elsewhere", Scheme::Any));
    let again = [webhook("ci", "s3cret"), webhook("ci", "another"), webhook("CI", "s3cret")];
    let expected = [Outcome::AlreadyThere, Outcome::Conflict, Outcome::Imported];
    assert_eq!(import(stores, &again).await, expected);
    let slot = stores.webhooks.find(&WebhookName::parse("ci").unwrap()).await.unwrap().unwrap();
    assert_eq!(slot.secret.expose(), "s3cret");
}

pub async fn an_api_key_comes_once(stores: &Stores) {
    let key = ApiKey { last_used: Some(at(3)), expires: Some(at(9)), revoked: Some(at(4)), ..api_key("k", 2) };
    assert_eq!(import(stores, &[Item::ApiKey(key.clone())]).await, [Outcome::Imported]);
    assert_eq!(stores.api_keys.find_by_hash(&hash("k")).await.unwrap(), Some(key.clone()));
    let batch = [
        Item::ApiKey(ApiKey { revoked: None, ..key.clone() }),
        Item::ApiKey(ApiKey { hash: hash("other"), ..key.clone() }),
        Item::ApiKey(ApiKey { id: key_id("other"), ..key.clone() }),
    ];
    let expected = [Outcome::AlreadyThere, Outcome::Conflict, Outcome::Conflict];
    assert_eq!(import(stores, &batch).await, expected);
    assert_eq!(stores.api_keys.list().await.unwrap(), [key]);
}

pub async fn a_key_that_is_revoked_there_is_revoked_here_with_what_was_got_with_it(stores: &Stores) {
    let key = api_key("k", 2);
    import(stores, &[Item::ApiKey(key.clone()), Item::ApiKey(api_key("good", 2))]).await;
    let with_key = AuthSession { grant: got_with("k"), ..login("a", 5) };
    for session in [&with_key, &login("b", 5)] {
        stores.auth_sessions.insert(session, &entry("got")).await.unwrap();
    }
    let revoked = ApiKey { revoked: Some(at(7)), ..key };
    let batch = [Item::ApiKey(revoked.clone()), Item::ApiKey(api_key("good", 2))];
    assert_eq!(stores.imports.preview(batch.to_vec()).await.unwrap(), [Outcome::Imported, Outcome::AlreadyThere]);
    assert_eq!(import(stores, &batch).await, [Outcome::Imported, Outcome::AlreadyThere]);
    assert_eq!(stores.api_keys.find(&revoked.id).await.unwrap(), Some(revoked));
    assert_eq!(login_ids(stores).await, ["b"]);
    // Later ones do not move the moment.
    assert_eq!(import(stores, &batch).await, [Outcome::AlreadyThere, Outcome::AlreadyThere]);
}

pub async fn entries_stand_before_what_happened_here(stores: &Stores) {
    stores.audit.record(&entry("here")).await.unwrap();
    let odd = AuditEntry { target: "ключ \"'".to_owned(), at: at(i64::MIN), ..entry("one") };
    let batch = [Item::Audit(odd.clone()), Item::Audit(entry("two"))];
    assert_eq!(import(stores, &batch).await, [Outcome::Imported, Outcome::Imported]);
    assert_eq!(logged(stores).await, ["one", "two", "here", "imported"]);
    assert!(stores.audit.recent(everything()).await.unwrap().contains(&odd));
    assert_eq!(import(stores, &batch).await, [Outcome::AlreadyThere, Outcome::AlreadyThere]);
    assert_eq!(logged(stores).await, ["one", "two", "here", "imported"]);
}

pub async fn entries_of_a_later_import_follow_those_of_an_earlier(stores: &Stores) {
    import(stores, &[Item::Audit(entry("one"))]).await;
    stores.audit.record(&entry("here")).await.unwrap();
    import(stores, &[Item::Audit(entry("two"))]).await;
    assert_eq!(logged(stores).await, ["one", "two", "imported", "here", "imported"]);
}

pub async fn what_happens_after_an_import_into_nothing_stands_last(stores: &Stores) {
    import(stores, &[Item::Audit(entry("one")), Item::Audit(entry("two"))]).await;
    stores.audit.record(&entry("here")).await.unwrap();
    assert_eq!(logged(stores).await, ["one", "two", "imported", "here"]);
}

pub async fn kept_records_come_back_with_their_secrets(stores: &Stores) {
    let long = "я".repeat(Kept::MAX_NAME / 2);
    let body = r#"{"a":"'\" \u0000","я":[1,2.5]}"#;
    let batch = [
        Item::Kept(kept("memory", "b", body)),
        Item::Kept(secret(kept("memory", "a", "{}"), r#"{"env":{"T":"x"}}"#)),
        Item::Kept(kept("memory", &long, "[]")),
        Item::Kept(kept("other", "b", "1")),
    ];
    assert_eq!(import(stores, &batch).await, [Outcome::Imported; 4]);
    let expected =
        [["memory", "b", body, ""], ["memory", "a", "{}", r#"{"env":{"T":"x"}}"#], ["memory", &long, "[]", ""]];
    assert_eq!(records(stores, "memory").await, expected);
    assert_eq!(records(stores, "other").await, [["other", "b", "1", ""]]);
    assert!(records(stores, "nothing").await.is_empty());
}

pub async fn a_kept_record_is_replaced_if_it_says_so(stores: &Stores) {
    let first = secret(kept("k", "a", "1"), "s");
    import(stores, &[Item::Kept(first.clone()), Item::Kept(kept("k", "b", "1"))]).await;
    let stays = Kept { replaces: false, ..kept("k", "a", "2") };
    assert_eq!(import(stores, &[Item::Kept(stays)]).await, [Outcome::AlreadyThere]);
    assert_eq!(import(stores, &[Item::Kept(first)]).await, [Outcome::AlreadyThere]);
    let another_secret = secret(kept("k", "a", "1"), "t");
    assert_eq!(import(stores, &[Item::Kept(another_secret)]).await, [Outcome::Imported]);
    assert_eq!(records(stores, "k").await, [["k", "a", "1", "t"], ["k", "b", "1", ""]]);
    assert_eq!(import(stores, &[Item::Kept(kept("k", "a", "2"))]).await, [Outcome::Imported]);
    assert_eq!(records(stores, "k").await, [["k", "a", "2", ""], ["k", "b", "1", ""]]);
}

fn one_of_each() -> Vec<Item> {
    vec![
        session("websocket_a", &[]),
        webhook("ci", "s"),
        Item::McpServer(remote("a", "mcp")),
        Item::McpSignIn(signed_in("a", "mcp", "grant")),
        Item::ApiKey(api_key("k", 2)),
        Item::Audit(entry("one")),
        Item::Kept(kept("k", "a", "1")),
    ]
}

pub async fn an_import_that_changes_nothing_leaves_no_entry(stores: &Stores) {
    let batch = one_of_each();
    import(stores, &batch).await;
    let before = stores.audit.recent(everything()).await.unwrap();
    import(stores, &batch).await;
    import(stores, &[]).await;
    assert_eq!(stores.audit.recent(everything()).await.unwrap(), before);
}

pub async fn the_entry_of_an_import_is_stored_once(stores: &Stores) {
    let began = entry("began");
    for batch in one_of_each() {
        stores.imports.import(vec![batch], &began).await.unwrap();
    }
    assert_eq!(logged(stores).await, ["one", "began"]);
}

pub async fn a_preview_says_the_same_and_changes_nothing(stores: &Stores) {
    let batch = one_of_each();
    let preview = stores.imports.preview(batch.clone()).await.unwrap();
    assert_eq!(stores.sessions.recent(everything(), 0).await.unwrap().total, 0);
    assert!(stores.mcp_servers.list().await.unwrap().is_empty());
    assert!(records(stores, "k").await.is_empty() && stores.webhooks.list().await.unwrap().is_empty());
    assert!(stores.api_keys.list().await.unwrap().is_empty() && logged(stores).await.is_empty());
    assert_eq!(import(stores, &batch).await, preview);
    let again = stores.imports.preview(batch.clone()).await.unwrap();
    assert_eq!(again[0], added(false, 0));
    assert_eq!(again[1..], [Outcome::AlreadyThere; 6]);
}

pub async fn an_item_may_follow_its_equal_in_one_batch(stores: &Stores) {
    let batch: Vec<Item> = one_of_each().into_iter().flat_map(|item| [item.clone(), item]).collect();
    let outcomes = import(stores, &batch).await;
    assert_eq!(outcomes[..2], [added(true, 0), added(false, 0)]);
    for pair in outcomes[2..].chunks(2) {
        assert_eq!(pair, [Outcome::Imported, Outcome::AlreadyThere]);
    }
}
