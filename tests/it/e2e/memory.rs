//! Memory with the real program: learned in chats, found by meaning, and nothing of it lost or doubled by a kill.

use super::binary::{Place, Program, Server};
use super::client::{Client, eventually, plain_slot};
use super::story::with_model;
use crate::support::embedding_model;
use crate::support::embedding_server::EmbeddingServer;
use crate::support::model_server::{Answer, ModelServer};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

async fn add(client: &Client, content: &str, owner: &str) -> String {
    let added = client.post("/api/v1/memory/long_term", &json!({ "content": content, "owner": owner })).await;
    assert_eq!(added.status, 200, "{added:?}");
    added.json()["id"].as_str().unwrap().to_owned()
}

async fn contents(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await.json();
    list.as_array().unwrap().iter().map(|it| it["content"].as_str().unwrap().to_owned()).collect()
}

async fn embedding(client: &Client) -> Value {
    client.get("/api/v1/memory/stats").await.json()["embedding"].clone()
}

/// Waits until every memory has a vector of that model.
async fn complete(client: &Client, model: &str) {
    eventually("all vectors are made", async || {
        let embedding = embedding(client).await;
        let is_right = embedding["model"].as_str().is_some_and(|name| name.ends_with(model));
        (is_right && embedding["done"] == embedding["total"] && embedding["problem"].is_null()).then_some(())
    })
    .await;
}

async fn choose(client: &Client, settings: &Value) {
    let answer = client.post("/api/v1/memory/settings", settings).await;
    assert_eq!((answer.status, answer.json()), (200.try_into().unwrap(), json!({ "status": "ok" })));
}

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = BigInt)]
    vectors: i64,
    #[diesel(sql_type = BigInt)]
    memories: i64,
    #[diesel(sql_type = BigInt)]
    spaces: i64,
}

/// How many vectors there are, of how many memories, in how many spaces.
fn counts(place: &Place) -> (i64, i64, i64) {
    let path = place.data_dir().join("pawport.db");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let counted = diesel::sql_query(
        "SELECT count(*) AS vectors, count(DISTINCT memory_key) AS memories, count(DISTINCT space_key) AS spaces
         FROM memory_vectors",
    );
    let Counts { vectors, memories, spaces } = counted.get_result(&mut connection).unwrap();
    (vectors, memories, spaces)
}

fn serve(place: &Place) -> Server {
    place.program_with_data(&["serve", "--port", "0"]).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_vectors_are_made_anew_loses_and_doubles_nothing() {
    const MEMORIES: u32 = 200;
    let models = EmbeddingServer::start().await;
    let place = Place::new();
    let server = serve(&place);
    let client = server.client(&place);
    let mut ids = BTreeSet::new();
    for number in 0..MEMORIES {
        ids.insert(add(&client, &format!("record number{number}"), "default").await);
    }
    add(&client, "The kitten is called Mia", "default").await;
    let settings = json!({
        "file_vector_enabled": true, "embedding_base_url": models.origin(), "embedding_model": "first",
    });
    choose(&client, &settings).await;
    complete(&client, "first").await;
    assert_eq!(contents(&client, "/api/v1/memory/search?q=cat&limit=1").await, ["The kitten is called Mia"]);

    models.delay(Duration::from_millis(300));
    choose(&client, &json!({ "embedding_model": "second" })).await;
    let done = eventually("some vectors are made anew", async || {
        let embedding = embedding(&client).await;
        let done = embedding["done"].as_u64().filter(|done| (32..150).contains(done))?;
        assert_eq!(embedding["usable"], true);
        Some(done)
    })
    .await;
    // Those of the model before are used meanwhile.
    assert_eq!(contents(&client, "/api/v1/memory/search?q=cat&limit=1").await, ["The kitten is called Mia"]);
    server.kill();

    let server = serve(&place);
    let client = server.client(&place);
    eventually("memories are found by meaning again", async || {
        (embedding(&client).await["usable"] == true).then_some(())
    })
    .await;
    assert_eq!(contents(&client, "/api/v1/memory/search?q=cat&limit=1").await, ["The kitten is called Mia"]);
    models.delay(Duration::ZERO);
    complete(&client, "second").await;
    let all = i64::from(MEMORIES) + 1;
    eventually("the vectors of the model before are gone", async || (counts(&place) == (all, all, 1)).then_some(()))
        .await;
    let asked = models.asked();
    let remade = asked.iter().filter(|asked| asked.model == "second").map(|asked| asked.texts.len());
    // What was stored is not made again: at most what was under way, and the question whether it works.
    assert!(remade.sum::<usize>() < MEMORIES as usize + 70, "{done} were there");
    let mut listed = BTreeSet::new();
    for offset in (0..=MEMORIES).step_by(100) {
        let page = client.get(&format!("/api/v1/memory/long_term?limit=100&offset={offset}")).await.json();
        listed.extend(page.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(listed.len(), MEMORIES as usize + 1);
    assert!(ids.is_subset(&listed));
    assert_eq!(contents(&client, "/api/v1/memory/search?q=number77&limit=1").await, ["record number77"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_in_a_folder_finds_by_meaning_without_network() {
    let Some(folder) = embedding_model::folder() else { return };
    let place = Place::new();
    let program = |place: &Place| -> Program {
        place.program_with_data(&["serve", "--port", "0"]).env("PAWPORT_EMBEDDING_MODEL_DIR", &folder)
    };
    let server = program(&place).start();
    let client = server.client(&place);
    add(&client, "Tomás must not eat peanuts", "default").await;
    add(&client, "The bakery is closed on Mondays", "default").await;
    choose(&client, &json!({ "file_vector_enabled": true, "embedding_provider": "local" })).await;
    complete(&client, "folder").await;
    let question = "/api/v1/memory/search?q=who+has+an+allergy+to+nuts&limit=1";
    assert_eq!(contents(&client, question).await, ["Tomás must not eat peanuts"]);
    server.stop();
    // Nothing is made again after a restart.
    let server = program(&place).start();
    let client = server.client(&place);
    complete(&client, "folder").await;
    assert_eq!(contents(&client, question).await, ["Tomás must not eat peanuts"]);
    server.stop();
}

fn says(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let data_dir = place.data_dir();
    let (command, rest) = arguments.split_first().unwrap();
    let ended = place.program(&[&["memory", command, "--data-dir", data_dir.to_str().unwrap()], rest].concat()).run();
    (ended.code(), ended.stdout + &ended.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_of_a_person_is_exported_and_deleted() {
    let place = Place::new();
    let (code, said) = says(&place, &["export"]);
    assert!(code == Some(1) && said.contains("no server runs"), "{said}");
    let server = serve(&place);
    let client = server.client(&place);
    for number in 0..501 {
        add(&client, &format!("fact {number}"), "bob").await;
    }
    add(&client, "mine", "default").await;
    let (code, said) = says(&place, &["export", "--owner", "bob"]);
    let exported: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!((code, exported.len(), &exported[0]["content"]), (Some(0), 501, &json!("fact 0")));
    let (code, said) = says(&place, &["delete", "--owner", "bob"]);
    assert!(code == Some(1) && said.contains("add --yes"), "{said}");
    assert_eq!(
        says(&place, &["delete", "--owner", "bob", "--yes"]),
        (Some(0), "Deleted 501 memories of bob.\n".to_owned())
    );
    assert_eq!(contents(&client, "/api/v1/memory/long_term").await, ["mine"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_learns_from_the_owner_and_not_from_webhooks() {
    let fact = r#"[{"fact": "The user lives in Lisbon", "tags": ["home"]}]"#;
    let models = ModelServer::start([
        Answer::says(&["Nice!"]),
        Answer::says(&[fact]),
        Answer::says(&["Noted."]),
        Answer::says(&["In Lisbon."]),
        Answer::says(&["[]"]),
    ])
    .await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    choose(&client, &json!({ "file_auto_learn": true })).await;
    let say = async |content: &str| {
        let body = json!({ "content": content, "session_id": "websocket_learn" });
        client.post("/api/v1/chat", &body).await.json()
    };
    say("I live in Lisbon").await;
    let learned = eventually("a fact is learned", async || {
        client.get("/api/v1/memory/long_term").await.json().as_array()?.first().cloned()
    })
    .await;
    assert_eq!((&learned["content"], &learned["author"]), (&json!("The user lives in Lisbon"), &json!("learned")));
    assert_eq!(learned["session"], "websocket_learn");
    let asked = client.history("websocket_learn").await[0]["id"].clone();
    assert_eq!(learned["message"], asked);

    let slot = client.add_slot(&plain_slot("strangers")).await;
    let delivered = client.deliver(&slot, "?wait=true", &json!({ "content": "I live in Atlantis" })).await;
    assert_eq!(delivered.status, 200, "{delivered:?}");
    assert_eq!(say("Where do I live, in which city?").await["response"], "In Lisbon.");
    eventually("the model was asked for facts again", async || (models.bodies().len() == 5).then_some(())).await;
    let bodies = models.bodies();
    let system = |at: usize| bodies[at]["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(!system(2).contains("Lisbon"), "a webhook is not told what is remembered");
    assert!(system(3).contains("\n- The user lives in Lisbon"), "{}", system(3));
    // After the delivery the model was not asked for facts.
    assert!(bodies[3]["messages"].to_string().contains("in which city"));
    assert_eq!(contents(&client, "/api/v1/memory/long_term").await, ["The user lives in Lisbon"]);
    let deleted = client.request(Method::DELETE, "/api/v1/memory/long_term?owner=default");
    assert_eq!(Client::try_send(deleted).await.unwrap().json()["deleted"], 1);
    server.stop();
}
