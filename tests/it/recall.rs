//! How well memories are found: a public question set, a real database, a real model. `docs/memory.md` has the figures.
//!
//! `.ci/test --test it recall:: -- --nocapture` shows them.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::support::embedding_model;
use pawport::adapters::agents::http_client;
use pawport::adapters::embedding::AllEmbedders;
use pawport::adapters::fake::FixedVault;
use pawport::adapters::recall::lexical::Lexical;
use pawport::adapters::recall::semantic::Semantic;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::domain::audit::Happening;
use pawport::domain::import::Item;
use pawport::domain::memory::embedding::EmbedderChoice;
use pawport::domain::memory::ranking::{Found, fuse};
use pawport::domain::memory::{Author, Memory, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source, Tags};
use pawport::domain::time::Timestamp;
use pawport::ports::recall::{Recall, SemanticRecall};
use pawport::ports::store::Stores;
use serde::Deserialize;
use std::io::Write;
use std::sync::Arc;

#[derive(Deserialize)]
struct Fact {
    id: String,
    text: String,
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    answer: String,
}

/// The least that is asked of each way of finding: recall@1 and recall@5, a little below what was measured.
const LEXICAL: (f64, f64) = (0.33, 0.38);
const SEMANTIC: (f64, f64) = (0.70, 0.88);
const FUSED: (f64, f64) = (0.70, 0.88);

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn memory(fact: &Fact) -> Memory {
    Memory {
        id: MemoryId::parse(&fact.id).unwrap(),
        legacy_id: None,
        kind: MemoryKind::LongTerm,
        owner: Owner::me(),
        text: MemoryText::parse(&fact.text).unwrap(),
        tags: Tags::parse(fact.tags.iter().map(String::as_str)).unwrap(),
        created: Timestamp(0),
        changed: Timestamp(0),
        source: Source::by(Author::Import),
    }
}

/// Counts at which places the right facts were.
#[derive(Default)]
struct Score {
    asked: u32,
    first: u32,
    among_five: u32,
}

impl Score {
    fn count(&mut self, found: &[MemoryId], answer: &str) {
        let place = found.iter().position(|id| id.as_str() == answer);
        self.asked += 1;
        self.first += u32::from(place == Some(0));
        self.among_five += u32::from(place.is_some_and(|place| place < 5));
    }

    #[track_caller]
    fn hold(&self, name: &str, floor: (f64, f64)) {
        let share = |count: u32| f64::from(count) / f64::from(self.asked);
        let (first, among_five) = (share(self.first), share(self.among_five));
        let _ = writeln!(std::io::stderr(), "{name:<10} recall@1 {first:.3}   recall@5 {among_five:.3}");
        assert!(first >= floor.0 && among_five >= floor.1, "{name}: {first} {among_five}, not {floor:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paraphrased_questions_find_their_facts() {
    let Some(model) = embedding_model::folder() else { return };
    let facts: Vec<Fact> = lines(include_str!("../recall/facts.jsonl"));
    let questions: Vec<Question> = lines(include_str!("../recall/questions.jsonl"));
    assert!(facts.len() >= 200 && questions.len() >= 100, "{} {}", facts.len(), questions.len());

    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("pawport.db"));
    let stores = Stores::of(&SqlStorage::open(url, Arc::new(FixedVault::new())).await.unwrap());
    let entry = Happening::command("imported", "facts").into_entry("1".to_owned(), Timestamp(0));
    stores.imports.import(facts.iter().map(memory).map(Item::Memory).collect(), &entry).await.unwrap();
    let embedders = Arc::new(AllEmbedders::new(http_client().unwrap(), Some(model)));
    let lexical = Lexical::new(stores.memories.clone());
    let semantic = Semantic::new(stores.memories.clone(), stores.vectors.clone(), embedders);
    semantic.choose(Some(EmbedderChoice::Folder));
    semantic.catch_up().await.unwrap();

    let mut counted: [Score; 3] = std::array::from_fn(|_| Score::default());
    for Question { question, answer } in &questions {
        let by_words = lexical.recall(question, &Owners::All, 50).await.unwrap();
        let by_meaning = semantic.recall(question, &Owners::All, 50).await.unwrap();
        let fused = fuse(&[by_words.clone(), by_meaning.clone()], 10);
        let ids = |found: Vec<Found>| found.into_iter().map(|found| found.id).collect::<Vec<_>>();
        for (score, found) in counted.iter_mut().zip([ids(by_words), ids(by_meaning), fused]) {
            score.count(&found, answer);
        }
    }
    for (score, (name, floor)) in counted.iter().zip([("lexical", LEXICAL), ("semantic", SEMANTIC), ("fused", FUSED)]) {
        score.hold(name, floor);
    }
}
