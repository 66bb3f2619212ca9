//! A provider of this machine that makes vectors, in the forms of Ollama and of `OpenAI`: two texts are as like as they have
//! words in common, and a kitten is a cat.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use pawport::domain::memory::words::words;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const DIMENSIONS: usize = 64;

/// What it was asked: model, texts, and what the header `Authorization` said.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub model: String,
    pub texts: Vec<String>,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Told {
    asked: Vec<Asked>,
    delay: Duration,
    answer: Option<(u16, Value)>,
}

/// The provider. Ends when it is dropped.
pub struct EmbeddingServer {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
    _task: JoinSet<()>,
}

impl EmbeddingServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Told>> = Arc::default();
        let router = Router::new()
            .route("/api/embed", post(ollama))
            .route("/v1/embeddings", post(openai))
            .with_state(Arc::clone(&told));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, told, _task: task }
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked until now.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.told).asked.clone()
    }

    /// Takes so long for each answer from now on.
    pub fn delay(&self, delay: Duration) {
        lock(&self.told).delay = delay;
    }

    /// Answers this from now on, whatever it is asked; with `None`, vectors again.
    pub fn answer(&self, answer: Option<(u16, Value)>) {
        lock(&self.told).answer = answer;
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn vector(text: &str) -> Vec<f64> {
    let mut vector = vec![0.001; DIMENSIONS];
    for word in words(text) {
        match word.as_str() {
            // No other word is like these.
            "cat" | "kitten" => vector[0] += 1.0,
            word => {
                let place = word.bytes().fold(7_usize, |place, byte| (place * 31 + usize::from(byte)) % 1_000_003);
                vector[1 + place % (DIMENSIONS - 1)] += 1.0;
            }
        }
    }
    vector
}

async fn take(
    told: &Mutex<Told>,
    headers: &HeaderMap,
    body: &Value,
) -> Result<Vec<Vec<f64>>, (StatusCode, Json<Value>)> {
    let texts: Vec<String> =
        body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let model = body["model"].as_str().unwrap().to_owned();
    let (delay, answer) = {
        let mut told = lock(told);
        told.asked.push(Asked { model, texts: texts.clone(), authorization });
        (told.delay, told.answer.clone())
    };
    tokio::time::sleep(delay).await;
    match answer {
        Some((status, body)) => Err((StatusCode::from_u16(status).unwrap(), Json(body))),
        None => Ok(texts.iter().map(|text| vector(text)).collect()),
    }
}

type Answered = Result<Json<Value>, (StatusCode, Json<Value>)>;

/// <https://docs.ollama.com/api/embed>
async fn ollama(State(told): State<Arc<Mutex<Told>>>, headers: HeaderMap, Json(body): Json<Value>) -> Answered {
    let vectors = take(&told, &headers, &body).await?;
    Ok(Json(json!({ "model": body["model"], "embeddings": vectors, "total_duration": 1 })))
}

/// <https://platform.openai.com/docs/api-reference/embeddings>
async fn openai(State(told): State<Arc<Mutex<Told>>>, headers: HeaderMap, Json(body): Json<Value>) -> Answered {
    let vectors = take(&told, &headers, &body).await?;
    let one = |(index, embedding)| json!({ "object": "embedding", "index": index, "embedding": embedding });
    // Nothing says that they come in order.
    let data: Vec<Value> = vectors.into_iter().enumerate().map(one).rev().collect();
    Ok(Json(json!({ "object": "list", "model": body["model"], "data": data, "usage": { "prompt_tokens": 1 } })))
}
