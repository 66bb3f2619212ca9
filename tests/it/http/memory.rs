//! What is remembered, as clients read and change it.

use crate::support::{TestApp, User};
use axum::http::Method;
use pawport::domain::audit::Happening;
use pawport::domain::import::Item;
use pawport::domain::memory::{Author, Memory, MemoryId, MemoryKind, MemoryText, Owner, Source, Tags};
use pawport::domain::time::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const BOTH: [&str; 2] = ["/api/memory", "/api/v1/memory"];

/// The token of a key with these scopes.
async fn key(app: &TestApp, scopes: &[&str]) -> String {
    let body = json!({ "name": "k", "scopes": scopes });
    let key = app.token_user().post("/api/v1/auth/api-keys", body).await.json();
    key["key"].as_str().expect("a key").to_owned()
}

async fn add(user: &User, content: &str, tags: &[&str]) -> String {
    let added = user.post("/api/memory/long_term", json!({ "content": content, "tags": tags })).await;
    added.assert_status(200).json()["id"].as_str().expect("an id").to_owned()
}

async fn contents(user: &User, path: &str) -> Vec<String> {
    let list = user.get(path).await.assert_status(200).json();
    list.as_array().expect("a list").iter().map(|it| it["content"].as_str().expect("a text").to_owned()).collect()
}

/// A daily note, as an import brings it.
async fn note(app: &TestApp, id: &str, text: &str, created: Timestamp) {
    let memory = Memory {
        id: MemoryId::parse(id).expect("an id"),
        legacy_id: Some(MemoryId::parse(&format!("old-{id}")).expect("an id")),
        kind: MemoryKind::Daily,
        owner: Owner::everybody(),
        text: MemoryText::parse(text).expect("a text"),
        tags: Tags::default(),
        created,
        changed: created,
        source: Source::by(Author::Import),
    };
    let entry = Happening::command("imported", "x").into_entry(format!("entry of {id}"), created);
    app.stores.imports.import(vec![Item::Memory(memory)], &entry).await.expect("an import");
}

#[tokio::test]
async fn a_memory_is_added_listed_changed_and_deleted_under_both_prefixes() {
    for prefix in BOTH {
        let app = TestApp::new();
        let user = app.token_user();
        let list = format!("{prefix}/long_term");
        let added =
            user.post(&list, json!({ "content": " Works from Lisbon ", "tags": ["#work", "work"] })).await.json();
        let id = added["id"].as_str().expect("an id").to_owned();
        let expected = json!({
            "id": id, "content": "Works from Lisbon", "timestamp": "2026-11-23T04:40:21.000Z", "tags": ["work"],
            "changed": "2026-11-23T04:40:21.000Z", "owner": "default", "kind": "long_term", "author": "user", "session": null,
            "message": null,
        });
        assert_eq!(added, expected);
        user.get(&list).await.assert_json(200, &json!([expected]));
        app.pass(Duration::from_secs(60));
        let one = format!("{list}/{id}");
        let patch = async |body: Value| user.call(Method::PATCH, &one).json(&body).send().await;
        patch(json!({ "content": "Works from Porto", "tags": ["home"] }))
            .await
            .assert_json(200, &json!({ "ok": true }));
        let changed = user.get(&list).await.json()[0].clone();
        assert_eq!((&changed["content"], &changed["tags"]), (&json!("Works from Porto"), &json!(["home"])));
        assert_eq!(changed["timestamp"], expected["timestamp"], "the creation time is kept");
        assert_eq!(changed["changed"], "2026-11-23T04:41:21.000Z");
        patch(json!({})).await.assert_json(200, &json!({ "ok": true }));
        patch(json!({ "content": " " })).await.assert_invalid(
            "string_error",
            &["body", "content"],
            "content must not be blank",
        );
        user.delete(&one).await.assert_json(200, &json!({ "ok": true }));
        user.delete(&one).await.assert_error(404, "Memory entry not found");
        patch(json!({ "content": "x" })).await.assert_error(404, "Memory entry not found");
        user.get(&list).await.assert_json(200, &json!([]));
    }
}

#[tokio::test]
async fn the_list_is_cut_into_pages_and_filtered() {
    let app = TestApp::new();
    let user = app.token_user();
    for (content, tag) in [("first cat", "a"), ("second dog", "b"), ("third CAT", "b")] {
        add(&user, content, &[tag]).await;
        app.pass(Duration::from_secs(1));
    }
    user.post("/api/memory/long_term", json!({ "content": "of bob", "owner": "bob" })).await.assert_status(200);
    note(&app, "n", "a note", Timestamp(0)).await;
    let list = async |query: &str| contents(&user, &format!("/api/v1/memory/long_term{query}")).await;
    assert_eq!(list("").await, ["of bob", "third CAT", "second dog", "first cat"]);
    assert_eq!(list("?limit=2&offset=1").await, ["third CAT", "second dog"]);
    assert_eq!(list("?tag=b").await, ["third CAT", "second dog"]);
    assert_eq!(list("?q=cat").await, ["third CAT", "first cat"]);
    assert_eq!(list("?q=cat&tag=%23a").await, ["first cat"]);
    assert_eq!(list("?owner=bob").await, ["of bob"]);
    assert_eq!(list("?kind=daily").await, ["a note"]);
    assert_eq!(list("?kind=all").await.len(), 5);
    assert_eq!(contents(&user, "/api/memory/long_term?limit=0").await.len(), 1);
    for (query, place) in [("?limit=0", "limit"), ("?limit=501", "limit"), ("?kind=x", "kind"), ("?q=%00", "q")] {
        let refused = user.get(&format!("/api/v1/memory/long_term{query}")).await;
        let detail = refused.assert_status(422).json()["detail"][0]["loc"].clone();
        assert_eq!(detail, json!(["query", place]), "{query}");
    }
}

#[tokio::test]
async fn what_may_not_be_remembered_is_refused_with_the_reason() {
    let app = TestApp::new();
    let user = app.token_user();
    let many: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    for (body, member, why) in [
        (json!({}), "content", "must not be blank"),
        (json!({ "content": "x\u{0}" }), "content", "NUL"),
        (json!({ "content": "x".repeat(10_001) }), "content", "at most 10000 characters"),
        (json!({ "content": "x", "tags": many }), "tags", "at most 50 tags"),
        (json!({ "content": "x", "tags": ["#"] }), "tags", "a tag must not be blank"),
        (json!({ "content": "x", "owner": "" }), "owner", "owner must not be blank"),
        (json!({ "content": "my password is hunter2" }), "content", "it looks like a password"),
        (json!({ "content": "x", "tags": ["pin: 4711"] }), "content", "it looks like a password"),
    ] {
        let refused = user.post("/api/v1/memory/long_term", body).await;
        let detail = refused.assert_status(422).json()["detail"][0].clone();
        assert_eq!(detail["loc"], json!(["body", member]));
        let message = detail["msg"].as_str().expect("a text");
        assert!(message.contains(why) && !message.contains("hunter2"), "{message}");
    }
    assert_eq!(user.get("/api/memory/long_term").await.json(), json!([]));
}

#[tokio::test]
async fn an_id_from_before_the_import_still_names_its_memory() {
    let app = TestApp::new();
    let user = app.token_user();
    note(&app, "n", "a note", Timestamp(0)).await;
    let changed = user.call(Method::PATCH, "/api/memory/long_term/old-n").json(&json!({ "content": "changed" })).send();
    changed.await.assert_json(200, &json!({ "ok": true }));
    assert_eq!(contents(&user, "/api/memory/long_term?kind=all").await, ["changed"]);
    user.delete("/api/memory/long_term/old-n").await.assert_json(200, &json!({ "ok": true }));
    assert_eq!(contents(&user, "/api/memory/long_term?kind=all").await, Vec::<String>::new());
}

#[tokio::test]
async fn memories_are_searched_by_words_and_by_meaning_once_that_is_switched_on() {
    let app = TestApp::new();
    let user = app.token_user();
    add(&user, "The kitten is called Mia", &["pets"]).await;
    add(&user, "The bakery opens at seven", &[]).await;
    user.post("/api/memory/long_term", json!({ "content": "Bob has a kitten", "owner": "bob" }))
        .await
        .assert_status(200);
    let search = async |query: &str| contents(&user, &format!("/api/v1/memory/search?{query}")).await;
    assert_eq!(search("q=when+does+the+bakery+open").await, ["The bakery opens at seven"]);
    assert_eq!(search("q=cat").await, Vec::<String>::new());
    assert_eq!(search("q=").await, Vec::<String>::new());
    assert_eq!(search("q=kitten&owner=bob").await, ["Bob has a kitten"]);
    assert_eq!(search("q=kitten&limit=1").await.len(), 1);
    let on = json!({ "file_vector_enabled": true });
    user.post("/api/memory/settings", on).await.assert_json(200, &json!({ "status": "ok" }));
    app.make_vectors().await;
    assert!(search("q=cat").await[0].contains("kitten"));
    let stats = user.get("/api/v1/memory/stats").await.json();
    assert_eq!((&stats["vector_enabled"], &stats["vector_entries"]), (&json!(true), &json!(3)));
    assert_eq!(stats["vector_backend"], "sqlite-vec");
    let model = "ollama http://localhost:11434 nomic-embed-text";
    let embedding = json!({ "model": model, "done": 3, "total": 3, "usable": true, "problem": null });
    assert_eq!(stats["embedding"], embedding);
}

#[tokio::test]
async fn stats_count_every_kind() {
    let app = TestApp::new();
    let user = app.token_user();
    add(&user, "one", &["a", "b"]).await;
    add(&user, "two", &["b"]).await;
    note(&app, "n", "a note", Timestamp(0)).await;
    let by_type = json!({ "long_term": 2, "daily": 1, "session": 0 });
    let expected = json!({
        "backend": "file", "total_memories": 3, "by_type": by_type, "memories_by_type": by_type,
        "vector_backend": "disabled", "vector_enabled": false, "vector_entries": 0, "graph_enabled": true,
        "graph_entities": 2, "graph_relationships": 1,
        "embedding": { "model": null, "done": 0, "total": 3, "usable": false, "problem": null },
    });
    for prefix in BOTH {
        user.get(&format!("{prefix}/stats")).await.assert_json(200, &expected);
    }
}

#[tokio::test]
async fn everything_of_one_owner_is_deleted_and_nothing_by_mistake() {
    let app = TestApp::new();
    let user = app.token_user();
    add(&user, "mine", &[]).await;
    for content in ["one", "two"] {
        let body = json!({ "content": content, "owner": "bob" });
        user.post("/api/memory/long_term", body).await.assert_status(200);
    }
    for path in ["/api/v1/memory/long_term", "/api/v1/memory/long_term?owner="] {
        user.delete(path).await.assert_invalid("string_error", &["query", "owner"], "owner must not be blank");
    }
    user.delete("/api/v1/memory/long_term?owner=bob").await.assert_json(200, &json!({ "ok": true, "deleted": 2 }));
    user.delete("/api/memory/long_term?owner=bob").await.assert_json(200, &json!({ "ok": true, "deleted": 0 }));
    assert_eq!(contents(&user, "/api/memory/long_term").await, ["mine"]);
    let entries = user.get("/api/audit").await.json();
    let removed: Vec<&Value> =
        entries.as_array().expect("a list").iter().filter(|entry| entry["action"] == "memories_removed").collect();
    assert_eq!((removed.len(), &removed[0]["target"]), (1, &json!("bob")));
}

#[tokio::test]
async fn old_daily_notes_are_pruned_and_facts_stay() {
    let app = TestApp::new();
    let user = app.token_user();
    let days = |days: u64| crate::support::START.minus(Duration::from_secs(days * 24 * 60 * 60));
    note(&app, "old", "old", days(31)).await;
    note(&app, "new", "new", days(29)).await;
    add(&user, "fact", &[]).await;
    let pruned =
        |days: i64, deleted: u64| json!({ "ok": true, "older_than_days": days, "deleted_daily_memories": deleted });
    user.post("/api/memory/prune", json!({})).await.assert_json(200, &pruned(30, 1));
    user.post("/api/v1/memory/prune", json!({ "older_than_days": 9999 })).await.assert_json(200, &pruned(3650, 0));
    user.post("/api/memory/prune", json!({ "older_than_days": 0 })).await.assert_json(200, &pruned(1, 1));
    user.post("/api/memory/prune", json!({ "older_than_days": "x" })).await.assert_status(422);
    assert_eq!(contents(&user, "/api/memory/long_term?kind=all").await, ["fact"]);
}

#[tokio::test]
async fn tags_are_a_graph_and_a_picture() {
    let app = TestApp::new();
    let user = app.token_user();
    add(&user, "one", &["work", "<db>"]).await;
    add(&user, "two", &["work"]).await;
    let graph = user.get("/api/memory/graph").await.json();
    let nodes = json!([{ "id": "work", "name": "work", "count": 2 }, { "id": "<db>", "name": "<db>", "count": 1 }]);
    assert_eq!(graph["nodes"], nodes);
    let edge = &graph["edges"][0];
    assert_eq!((&edge["source_name"], &edge["target_name"]), (&json!("<db>"), &json!("work")));
    let part = user.get("/api/v1/memory/graph?q=WO&limit=1").await.json();
    assert_eq!((part["nodes"].as_array().expect("a list").len(), &part["edges"]), (1, &json!([])));
    let picture = user.get("/api/memory/graph.svg").await;
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert!(picture.text().starts_with("<svg") && picture.text().contains("&lt;db&gt;"));
    user.get("/api/v1/memory/graph?limit=501").await.assert_status(422);
}

#[tokio::test]
async fn settings_have_the_names_and_defaults_that_clients_know() {
    let app = TestApp::new();
    let expected = json!({
        "memory_backend": "file", "memory_use_inference": true, "mem0_llm_provider": "anthropic",
        "mem0_llm_model": "claude-haiku-4-5-20251001", "mem0_embedder_provider": "openai",
        "mem0_embedder_model": "text-embedding-3-small", "mem0_vector_store": "qdrant",
        "mem0_ollama_base_url": "http://localhost:11434", "mem0_auto_learn": true,
    });
    for prefix in BOTH {
        app.token_user().get(&format!("{prefix}/settings")).await.assert_json(200, &expected);
    }
}

#[tokio::test]
async fn settings_are_validated_and_warn_of_what_does_not_work_now() {
    let app = TestApp::new();
    let user = app.token_user();
    let post = async |body: Value| user.post("/api/v1/memory/settings", body).await;
    post(json!({ "memory_backend": "quantum" })).await.assert_invalid(
        "value_error",
        &["body", "memory_backend"],
        "Input should be one of: file, mem0",
    );
    let odd = post(json!({ "memory_backend": "file", "unknown": 1, "mem0_auto_learn": false })).await;
    odd.assert_json(200, &json!({ "status": "ok", "warnings": ["\"unknown\" is no setting of memory"] }));
    let lacking = post(json!({ "memory_backend": "mem0" })).await.assert_status(200).json();
    assert!(lacking["warnings"][0].as_str().expect("a text").contains("openai_api_key"), "{lacking}");
    assert_eq!(user.get("/api/memory/settings").await.json()["memory_backend"], "mem0");
    app.embedders.fail(Some("The model is away."));
    let away = post(json!({ "mem0_embedder_provider": "ollama" })).await.json();
    let warning = "Memories are found by their words only for now. The model is away.";
    assert_eq!(away, json!({ "status": "ok", "warnings": [warning] }));
    app.embedders.fail(None);
    post(json!({ "mem0_embedder_provider": "ollama" })).await.assert_json(200, &json!({ "status": "ok" }));
    for body in [json!("nope"), json!([])] {
        post(body).await.assert_status(422);
    }
}

#[tokio::test]
async fn only_the_owner_says_where_memories_are_sent() {
    let app = TestApp::new();
    let user = app.user_with(&key(&app, &["memory"]).await);
    user.post("/api/memory/settings", json!({ "mem0_auto_learn": false })).await.assert_status(200);
    let same = json!({ "mem0_ollama_base_url": "http://localhost:11434" });
    user.post("/api/memory/settings", same).await.assert_status(200);
    for name in ["mem0_ollama_base_url", "embedding_base_url"] {
        let refused = user.post("/api/memory/settings", json!({ name: "http://elsewhere.example" })).await;
        refused.assert_error(403, &format!("Field(s) {name} can only be modified with the scope admin"));
    }
    let other = app.user_with(&key(&app, &["chat", "sessions"]).await);
    other.get("/api/memory/long_term").await.assert_status(403);
}
