//! Models that make vectors: a real one in a folder, and providers that speak the protocols of Ollama and of `OpenAI`.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::support::embedding_model;
use crate::support::embedding_server::EmbeddingServer;
use pawport::adapters::agents::http_client;
use pawport::adapters::embedding::AllEmbedders;
use pawport::domain::agent::choice::BaseUrl;
use pawport::domain::memory::embedding::{EmbedderChoice, EmbeddingApi, Vector};
use pawport::ports::recall::{Embedder, Embedders, Purpose};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const KEY: &str = "sk-test-0123456789abcdef";

fn embedders(folder: Option<&Path>) -> AllEmbedders {
    AllEmbedders::new(http_client().unwrap(), folder.map(Path::to_path_buf))
}

fn remote(api: EmbeddingApi, url: &str, model: &str) -> EmbedderChoice {
    let api_key = Some(SecretString::from(KEY));
    EmbedderChoice::Remote { api, base_url: BaseUrl::parse(url).unwrap(), model: model.to_owned(), api_key }
}

async fn open(choice: &EmbedderChoice) -> Arc<dyn Embedder> {
    embedders(None).open(choice).await.unwrap()
}

/// Why there are no vectors.
async fn problem(choice: &EmbedderChoice) -> String {
    open(choice).await.embed(&["a text"], Purpose::Memory).await.unwrap_err().to_string()
}

fn likeness(one: &Vector, other: &Vector) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn both_forms_are_spoken_and_vectors_come_in_order() {
    let server = EmbeddingServer::start().await;
    for (api, url) in
        [(EmbeddingApi::Ollama, server.origin()), (EmbeddingApi::OpenAi, format!("{}/v1", server.origin()))]
    {
        let embedder = open(&remote(api, &url, "m")).await;
        let vectors = embedder.embed(&["the cat sleeps", "bread and butter"], Purpose::Memory).await.unwrap();
        let question = embedder.embed(&["a sleeping kitten"], Purpose::Question).await.unwrap().remove(0);
        assert!(likeness(&vectors[0], &question) > 0.9 && likeness(&vectors[1], &question) < 0.5);
        assert!((likeness(&question, &question) - 1.0).abs() < 1e-5, "of length 1");
    }
    let asked = server.asked();
    assert_eq!((asked[0].model.as_str(), asked[0].texts.len()), ("m", 2));
    assert_eq!(asked[2].authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));
}

#[tokio::test]
async fn a_model_that_wants_to_know_what_a_text_is_for_is_told() {
    let server = EmbeddingServer::start().await;
    let embedder = open(&remote(EmbeddingApi::Ollama, &server.origin(), "nomic-embed-text:v1.5")).await;
    embedder.embed(&["x"], Purpose::Memory).await.unwrap();
    embedder.embed(&["x"], Purpose::Question).await.unwrap();
    let texts: Vec<String> = server.asked().into_iter().flat_map(|asked| asked.texts).collect();
    assert_eq!(texts, ["search_document: x", "search_query: x"]);
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_the_key() {
    let server = EmbeddingServer::start().await;
    let ollama = remote(EmbeddingApi::Ollama, &server.origin(), "m");
    let openai = remote(EmbeddingApi::OpenAi, &format!("{}/v1", server.origin()), "m");
    let error = |message: &str| json!({ "error": { "message": message } });
    let huge = Value::from("x".repeat(2_000_000));
    for (choice, status, body, says) in [
        (
            &openai,
            401,
            error(&format!("Incorrect API key provided: {KEY}")),
            "refused the key for vectors: Incorrect API key provided: [key]",
        ),
        (&ollama, 404, json!({ "error": "model \"m\" not found" }), "fetch it with ollama pull m"),
        (&openai, 404, json!({}), "has no model m, or no embeddings"),
        (&openai, 429, error("slow down"), "the status 429: slow down"),
        (&openai, 307, json!({}), "the status 307"),
        (&openai, 200, json!({ "data": [] }), "not with a vector for each text"),
        (&ollama, 200, huge, "not with a vector for each text"),
    ] {
        server.answer(Some((status, body)));
        let said = problem(choice).await;
        assert!(said.contains(says) && !said.contains(KEY), "{said}");
    }
    let gone = server.origin();
    drop(server);
    let said = problem(&remote(EmbeddingApi::Ollama, &gone, "m")).await;
    assert!(said.contains("cannot be reached: nobody answers there"), "{said}");
}

#[tokio::test]
async fn a_folder_that_is_none_or_holds_no_model_is_said_to_be_so() {
    let Err(error) = embedders(None).open(&EmbedderChoice::Folder).await else { panic!("opened") };
    assert!(error.to_string().contains("PAWPORT_EMBEDDING_MODEL_DIR"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let opened = async || {
        let Err(error) = embedders(Some(folder.path())).open(&EmbedderChoice::Folder).await else { panic!("opened") };
        error.to_string()
    };
    assert!(opened().await.contains("config.json cannot be read"));
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(folder.path().join(name), "{}").unwrap();
    }
    assert!(opened().await.contains("config.json in"));
    if let Some(model) = embedding_model::folder() {
        for (name, is_broken) in [("config.json", "tokenizer.json in"), ("tokenizer.json", "model.safetensors in")] {
            std::fs::copy(model.join(name), folder.path().join(name)).unwrap();
            assert!(opened().await.contains(is_broken));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_model_in_a_folder_knows_what_means_the_same() {
    let Some(folder) = embedding_model::folder() else { return };
    let embedder = embedders(Some(&folder)).open(&EmbedderChoice::Folder).await.unwrap();
    let texts = ["The cat sleeps on the sofa.", "A kitten is napping on the couch.", "The invoice is due in May.", ""];
    let vectors = embedder.embed(&texts, Purpose::Memory).await.unwrap();
    assert!(vectors.iter().all(|vector| vector.len() == 384));
    let (alike, unlike) = (likeness(&vectors[0], &vectors[1]), likeness(&vectors[0], &vectors[2]));
    // What the library that the model comes from gives for these texts, to two places.
    assert!((alike - 0.60).abs() < 0.15 && unlike < 0.2, "{alike} {unlike}");
    // The same alone as among others, however long these are: padding does not count.
    let long = "word ".repeat(5_000);
    let among = embedder.embed(&[&long, texts[0]], Purpose::Question).await.unwrap();
    assert!(likeness(&among[1], &vectors[0]) > 0.9999);
    let again = embedders(Some(&folder)).open(&EmbedderChoice::Folder).await.unwrap();
    assert_eq!(again.space(), embedder.space());
}
