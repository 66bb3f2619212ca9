//! Memories as clients read them.

use crate::domain::memory::service::MemoryStats;
use crate::domain::memory::{Memory, MemoryId};
use crate::http::time::rfc3339;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// A memory.
#[derive(Serialize, ToSchema)]
pub struct MemoryView {
    /// Its name, for ever.
    #[schema(example = "01997c8e-3b4a-7c1d-9f2e-0d6a5b4c3d2e")]
    id: String,
    /// What it says, without its tags.
    content: String,
    /// When it was put down.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Its tags, each once.
    tags: Vec<String>,
    /// When it was changed last.
    #[schema(format = DateTime)]
    changed: String,
    /// Whose it is; `default` is the one who runs the server.
    owner: String,
    /// `long_term` or `daily`.
    kind: &'static str,
    /// Who put it down: `user`, `agent`, `learned` or `import`.
    author: &'static str,
    /// The session in which it was said, if it was said in one.
    session: Option<String>,
    /// The message in which it was said.
    message: Option<String>,
}

impl From<Memory> for MemoryView {
    fn from(memory: Memory) -> Self {
        Self {
            id: MemoryId::as_str(&memory.id).to_owned(),
            content: memory.text.as_str().to_owned(),
            timestamp: rfc3339(memory.created),
            tags: memory.tags.as_slice().to_vec(),
            changed: rfc3339(memory.changed),
            owner: memory.owner.as_str().to_owned(),
            kind: memory.kind.as_str(),
            author: memory.source.author.as_str(),
            session: memory.source.session,
            message: memory.source.message,
        }
    }
}

/// That something was done.
#[derive(Serialize, ToSchema)]
pub struct DoneView {
    /// Always true.
    ok: bool,
}

impl DoneView {
    /// That it was done.
    pub const OK: Json<Self> = Json(Self { ok: true });
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub struct DeletedView {
    /// Always true.
    pub ok: bool,
    /// How many memories.
    pub deleted: u64,
}

/// What was pruned.
#[derive(Serialize, ToSchema)]
pub struct PrunedView {
    /// Always true.
    pub ok: bool,
    /// The age that counted, in days.
    pub older_than_days: u32,
    /// How many daily notes were removed.
    pub deleted_daily_memories: u64,
}

/// How many there are, by kind.
#[derive(Serialize, ToSchema)]
struct ByKind {
    long_term: u64,
    daily: u64,
    /// Always 0: what was said in sessions is no memory here.
    session: u64,
}

/// How far making vectors has come.
#[derive(Serialize, ToSchema)]
struct EmbeddingView {
    /// The model that makes them; null if memories are found by their words only.
    model: Option<String>,
    /// How many memories have a vector of it.
    done: u64,
    /// How many there are.
    total: u64,
    /// Whether memories are found by meaning now, if need be with the vectors of the model before.
    usable: bool,
    /// Why it does not go on, if it does not.
    problem: Option<String>,
}

/// What there is to say about all memories.
#[derive(Serialize, ToSchema)]
pub struct StatsView {
    /// `file` or `mem0`.
    #[schema(example = "file")]
    backend: String,
    total_memories: u64,
    by_type: ByKind,
    /// The same as `by_type`.
    memories_by_type: ByKind,
    /// What was named as the store of vectors, or `disabled`; they are in the database of this server, whatever it is.
    #[schema(example = "disabled")]
    vector_backend: String,
    vector_enabled: bool,
    vector_entries: u64,
    /// Whether there are tags, which are what the graph is made of.
    graph_enabled: bool,
    /// How many tags there are, at most 1000.
    graph_entities: u64,
    /// How many pairs of them stand together, at most 1000.
    graph_relationships: u64,
    embedding: EmbeddingView,
}

impl From<MemoryStats> for StatsView {
    fn from(stats: MemoryStats) -> Self {
        let MemoryStats { settings, counts, embedding, graph } = stats;
        let by_kind = || ByKind { long_term: counts.long_term, daily: counts.daily, session: 0 };
        let vector_enabled = settings.embedder.is_some();
        Self {
            backend: settings.backend.clone(),
            total_memories: counts.long_term + counts.daily,
            by_type: by_kind(),
            memories_by_type: by_kind(),
            vector_backend: if vector_enabled { settings.vector_store.clone() } else { "disabled".to_owned() },
            vector_enabled,
            vector_entries: embedding.done,
            graph_enabled: !graph.tags.is_empty(),
            graph_entities: graph.tags.len() as u64,
            graph_relationships: graph.pairs.len() as u64,
            embedding: EmbeddingView {
                model: embedding.model,
                done: embedding.done,
                total: embedding.total,
                usable: embedding.is_usable,
                problem: embedding.problem.or_else(|| settings.problem.clone()),
            },
        }
    }
}
