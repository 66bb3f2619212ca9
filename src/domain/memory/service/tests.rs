//! Memories over an in-memory storage, with vectors that are made of words.

use super::*;
use crate::adapters::fake::{ManualClock, SeededEntropy, WordEmbedders};
use crate::adapters::host::SystemTimer;
use crate::adapters::in_memory::InMemoryStorage;
use crate::adapters::recall::lexical::Lexical;
use crate::adapters::recall::semantic::Semantic;
use crate::domain::agent::choice::AgentSettings;
use crate::domain::auth::Principal;
use crate::domain::memory::embedding::EmbedderChoice;
use crate::domain::time::Timestamp;
use crate::ports::audit::AuditLog;

/// Memories in that storage, found by their words, and by their meaning once a model is chosen.
pub fn over(storage: &Arc<InMemoryStorage>, settings: Arc<Settings>) -> (Arc<Memories>, Arc<Semantic>) {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000_000)));
    let entropy = Arc::new(SeededEntropy::new(7));
    let embedders = Arc::new(WordEmbedders::default());
    let semantic = Arc::new(Semantic::new(storage.clone(), storage.clone(), embedders.clone()));
    let memories = Memories::new(MemoriesParts {
        store: storage.clone(),
        lexical: Arc::new(Lexical::new(storage.clone())),
        semantic: semantic.clone(),
        embedders,
        settings,
        audit: Arc::new(Audit::new(storage.clone(), clock.clone(), entropy.clone())),
        clock,
        timer: Arc::new(SystemTimer),
        entropy,
    });
    (Arc::new(memories), semantic)
}

fn fresh() -> (Arc<InMemoryStorage>, Arc<Memories>, Arc<Semantic>) {
    let storage = Arc::new(InMemoryStorage::new());
    let (memories, semantic) = over(&storage, Arc::new(Settings::new(AgentSettings::builtin())));
    (storage, memories, semantic)
}

fn me() -> Principal {
    Principal::on_this_machine()
}

fn new(text: &str) -> NewMemory {
    let text = MemoryText::parse(text).unwrap();
    NewMemory { owner: Owner::me(), text, tags: Tags::default(), source: Source::by(Author::User) }
}

async fn recalled(memories: &Memories, question: &str) -> Vec<String> {
    let found = memories.recall(question, &Owners::SeenBy(Owner::me()), 10).await.unwrap();
    found.into_iter().map(|memory| memory.text.as_str().to_owned()).collect()
}

async fn logged(storage: &InMemoryStorage) -> Vec<String> {
    let entries = storage.recent(PageLimit::clamped(100)).await.unwrap();
    entries.into_iter().rev().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn what_is_remembered_is_found_by_words_at_once_and_noted() {
    let (storage, memories, _) = fresh();
    let memory = memories.remember(&me(), new("Works from Lisbon")).await.unwrap();
    assert_eq!(recalled(&memories, "who is working in Lisbon?").await, ["Works from Lisbon"]);
    assert_eq!(memory.created, Timestamp(1_000_000_000_000));
    assert!(memories.remove(&me(), &memory.id).await.unwrap());
    assert!(!memories.remove(&me(), &memory.id).await.unwrap());
    assert_eq!(recalled(&memories, "Lisbon").await, Vec::<String>::new());
    assert_eq!(logged(&storage).await, ["memory_added", "memory_removed"]);
}

#[tokio::test]
async fn what_looks_like_a_credential_is_never_stored() {
    let (storage, memories, _) = fresh();
    let secret = format!("The token is ghp_{}", "a1B2".repeat(10));
    let refused = memories.remember(&me(), new(&secret)).await.unwrap_err();
    assert!(refused.to_string().contains("a GitHub token") && !refused.to_string().contains("ghp_"));
    let tagged = NewMemory { tags: Tags::parse([secret.as_str()]).unwrap(), ..new("x") };
    assert!(memories.remember_once(&me(), tagged, None).await.is_err());
    let memory = memories.remember(&me(), new("harmless")).await.unwrap();
    let text = MemoryText::parse(&secret).unwrap();
    assert!(memories.edit(&me(), &memory.id, Some(text), None).await.is_err());
    assert_eq!(recalled(&memories, "token harmless").await, ["harmless"]);
    assert_eq!(logged(&storage).await, ["memory_added"]);
}

#[tokio::test]
async fn a_fact_is_remembered_once_and_brought_up_to_date() {
    let (_, memories, _) = fresh();
    let first = memories.remember_once(&me(), new("Ana has her birthday on 3 May"), None).await.unwrap();
    assert!(matches!(first, Remembered::New(_)));
    let id = first.memory().id.clone();
    let again = memories.remember_once(&me(), new("Ana has her birthday on 3 May"), None).await.unwrap();
    assert_eq!(again, Remembered::Known(first.memory().clone()));
    let tagged =
        NewMemory { tags: Tags::parse(["family"]).unwrap(), ..new("Ana's birthday is on 3 May, she has said") };
    let updated = memories.remember_once(&me(), tagged, None).await.unwrap();
    let Remembered::Updated(updated) = updated else { panic!("{updated:?}") };
    assert_eq!((&updated.id, updated.tags.as_slice()), (&id, &["family".to_owned()][..]));
    let other = memories.remember_once(&me(), new("Bruno has his birthday on 9 June"), None).await.unwrap();
    assert!(matches!(other, Remembered::New(_)));
    let moved = memories.remember_once(&me(), new("The party is in Porto"), Some(&id)).await.unwrap();
    assert_eq!(moved.memory().id, id);
    assert_eq!(recalled(&memories, "birthday").await, ["Bruno has his birthday on 9 June"]);
}

#[tokio::test]
async fn a_fact_of_another_is_never_brought_up_to_date() {
    let (_, memories, _) = fresh();
    let of_bob = NewMemory { owner: Owner::parse("bob").unwrap(), ..new("Lives in Porto") };
    let bob = memories.remember(&me(), of_bob).await.unwrap();
    let mine = memories.remember_once(&me(), new("Lives in Porto"), Some(&bob.id)).await.unwrap();
    assert!(matches!(&mine, Remembered::New(memory) if memory.id != bob.id));
    assert_eq!(recalled(&memories, "Porto").await.len(), 1);
}

#[tokio::test]
async fn meaning_finds_what_words_do_not() {
    let (_, memories, semantic) = fresh();
    memories.remember(&me(), new("The kitten is called Mia")).await.unwrap();
    memories.remember(&me(), new("The bakery opens at seven")).await.unwrap();
    assert_eq!(recalled(&memories, "cat").await, Vec::<String>::new());
    semantic.choose(Some(EmbedderChoice::Folder));
    semantic.catch_up().await.unwrap();
    assert_eq!(recalled(&memories, "cat").await[0], "The kitten is called Mia");
    let stats = memories.stats().await.unwrap();
    assert_eq!((stats.embedding.done, stats.embedding.total, stats.embedding.is_usable), (2, 2, true));
}

#[tokio::test]
async fn everything_of_somebody_is_forgotten_and_nothing_of_others() {
    let (storage, memories, semantic) = fresh();
    semantic.choose(Some(EmbedderChoice::Folder));
    let bob = Owner::parse("bob").unwrap();
    for number in 0..450 {
        let of_bob = NewMemory { owner: bob.clone(), ..new(&format!("fact {number} of bob")) };
        memories.remember(&me(), of_bob).await.unwrap();
    }
    memories.remember(&me(), new("my fact")).await.unwrap();
    semantic.catch_up().await.unwrap();
    assert_eq!(memories.remove_all_of(&me(), bob.clone()).await.unwrap(), 450);
    assert_eq!(memories.recall("fact", &Owners::All, 10).await.unwrap().len(), 1);
    assert_eq!(memories.remove_all_of(&me(), bob).await.unwrap(), 0);
    assert_eq!(logged(&storage).await.iter().filter(|action| *action == "memories_removed").count(), 1);
}
