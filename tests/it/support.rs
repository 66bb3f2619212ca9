//! An app without sockets, and those who talk to it.
//!
//! A test reads: `let app = TestApp::new(); let user = app.token_user(); user.get("/api/sessions").await`. Clock and
//! randomness are the test's, so ids, times and secrets in an answer are the same in every run.
//!
//! Every answer is held against what all answers promise (see `promises.rs`), whatever the test is about.

#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]

mod app;
pub mod cloudflared;
pub mod embedding_model;
pub mod embedding_server;
mod failing;
pub mod mcp_servers;
pub mod model_server;
pub mod oauth_server;
pub mod postgres;
mod promises;
mod response;
pub mod scan;
mod user;

pub use app::{MASTER_TOKEN, START, Served, TestApp};
pub use failing::{FAULT, Failure};
pub use promises::{Operation, operations};
pub use response::{Response, Stream};
pub use user::{Call, HERE, User, connection};

use std::time::Duration;

/// The result of what must come about soon, whatever the machine. Fails instead of waiting for ever.
pub async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("something that did not come about")
}
