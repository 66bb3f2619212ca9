use super::*;
use crate::adapters::fake::WordEmbedders;
use crate::adapters::in_memory::InMemoryStorage;
use crate::domain::agent::choice::BaseUrl;
use crate::domain::audit::Happening;
use crate::domain::memory::embedding::EmbeddingApi;
use crate::domain::memory::tests::memory;
use crate::domain::memory::{Author, MemoryChange, MemoryText, Owner, Source};
use crate::domain::time::Timestamp;

struct Fixture {
    storage: Arc<InMemoryStorage>,
    embedders: Arc<WordEmbedders>,
    semantic: Semantic,
}

fn over(storage: Arc<InMemoryStorage>) -> Fixture {
    let embedders = Arc::new(WordEmbedders::default());
    let semantic = Semantic::new(storage.clone(), storage.clone(), embedders.clone());
    Fixture { storage, embedders, semantic }
}

fn model(name: &str) -> EmbedderChoice {
    let base_url = BaseUrl::parse("http://127.0.0.1:1").unwrap();
    EmbedderChoice::Remote { api: EmbeddingApi::Ollama, base_url, model: name.to_owned(), api_key: None }
}

fn entry() -> crate::domain::audit::AuditEntry {
    Happening::command("changed", "x").into_entry("1".to_owned(), Timestamp(0))
}

impl Fixture {
    async fn with(facts: &[(&str, &str)]) -> Self {
        let fixture = over(Arc::new(InMemoryStorage::new()));
        for (id, text) in facts {
            fixture.storage.insert(&memory(id, text), &entry()).await.unwrap();
        }
        fixture
    }

    async fn found(&self, question: &str) -> Vec<String> {
        let found = self.semantic.recall(question, &Owners::All, 2).await.unwrap();
        found.iter().map(|found| found.id.as_str().to_owned()).collect()
    }

    async fn counts(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for space in self.storage.spaces().await.unwrap() {
            counts.push(self.storage.vector_count(&space).await.unwrap());
        }
        counts
    }
}

const FACTS: [(&str, &str); 3] = [("a", "the cat sleeps"), ("b", "the car is red"), ("c", "bread and butter")];

#[tokio::test]
async fn nothing_is_made_and_nothing_found_until_a_model_is_chosen() {
    let fixture = Fixture::with(&FACTS).await;
    fixture.semantic.catch_up().await.unwrap();
    assert_eq!(fixture.embedders.made(), 0);
    let error = fixture.semantic.recall("kitten", &Owners::All, 2).await.unwrap_err();
    assert!(matches!(error, RecallError::NotNow(_)));
    assert_eq!(fixture.semantic.progress().await.unwrap().model, None);
}

#[tokio::test]
async fn vectors_are_made_once_and_again_for_what_changed() {
    let fixture = Fixture::with(&FACTS).await;
    fixture.semantic.choose(Some(model("m")));
    fixture.semantic.catch_up().await.unwrap();
    assert_eq!(fixture.found("kitten").await[0], "a");
    fixture.semantic.catch_up().await.unwrap();
    assert_eq!(fixture.embedders.made(), 3);
    let id = MemoryId::parse("a").unwrap();
    let text = MemoryText::parse("a physician").unwrap();
    let change = MemoryChange { text: Some((text, Source::by(Author::User))), tags: None, at: Timestamp(1) };
    fixture.storage.change(&id, &change, &entry()).await.unwrap();
    fixture.semantic.changed(&id);
    // By what it said before it is not found any more, by what it says not yet.
    assert!(!fixture.found("kitten").await.contains(&"a".to_owned()));
    fixture.semantic.catch_up().await.unwrap();
    assert_eq!((fixture.found("doctor").await[0].as_str(), fixture.embedders.made()), ("a", 4));
    fixture.storage.remove(&id, &entry()).await.unwrap();
    fixture.semantic.removed(Some(&id));
    assert!(!fixture.found("doctor").await.contains(&"a".to_owned()));
    assert_eq!(fixture.counts().await, [2]);
}

#[tokio::test]
async fn the_vectors_of_the_old_model_are_used_until_those_of_the_new_one_are_complete() {
    let fixture = Fixture::with(&FACTS).await;
    fixture.semantic.choose(Some(model("old")));
    fixture.semantic.catch_up().await.unwrap();
    fixture.semantic.choose(Some(model("new")));
    fixture.embedders.fail(Some("out of order"));
    assert!(fixture.semantic.catch_up().await.is_err());
    fixture.embedders.fail(None);
    assert_eq!(fixture.found("kitten").await[0], "a");
    let progress = fixture.semantic.progress().await.unwrap();
    assert_eq!((progress.done, progress.total, progress.is_usable), (0, 3, true));
    assert_eq!(fixture.counts().await, [3, 0]);
    fixture.semantic.catch_up().await.unwrap();
    assert_eq!(fixture.counts().await, [3]);
    assert_eq!(fixture.semantic.progress().await.unwrap().done, 3);
    assert_eq!(fixture.found("kitten").await[0], "a");
}

#[tokio::test]
async fn a_restart_goes_on_and_finds_with_the_old_model_meanwhile() {
    let fixture = Fixture::with(&FACTS).await;
    fixture.semantic.choose(Some(model("old")));
    fixture.semantic.catch_up().await.unwrap();
    let new = SpaceName(model("new").to_string());
    fixture.storage.open_space(&new).await.unwrap();
    let done = fixture.storage.without(&new, i64::MIN, PageLimit::clamped(1)).await.unwrap().remove(0);
    let vector = NewVector { id: done.id, revision: done.revision, vector: vec![1.0; 64] };
    assert_eq!(fixture.storage.put(&new, vec![vector]).await.unwrap(), 1);

    let fixture = over(fixture.storage);
    fixture.semantic.choose(Some(model("new")));
    fixture.semantic.catch_up().await.unwrap();
    // One was there, two were missing, none was made twice.
    assert_eq!((fixture.embedders.made(), fixture.counts().await), (2, vec![3]));
}

#[tokio::test]
async fn the_worker_tries_again_and_ends_when_it_is_told_to() {
    let fixture = Arc::new(Fixture::with(&FACTS).await);
    fixture.embedders.fail(Some("out of order"));
    fixture.semantic.choose(Some(model("m")));
    let (stop, tasks) = (CancellationToken::new(), tokio_util::task::TaskTracker::new());
    let (working, told) = (fixture.clone(), stop.clone());
    let worker = tasks.spawn(async move { working.semantic.keep_up(told).await });
    let until = async |is_so: &dyn Fn(&EmbeddingProgress) -> bool| {
        while !is_so(&fixture.semantic.progress().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(&|progress| progress.problem.as_deref() == Some("out of order")).await;
    fixture.embedders.fail(None);
    until(&|progress| progress.done == 3 && progress.problem.is_none()).await;
    let mut later = memory("d", "a kitten");
    later.owner = Owner::everybody();
    fixture.storage.insert(&later, &entry()).await.unwrap();
    fixture.semantic.changed(&later.id);
    until(&|progress| progress.done == 4).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), worker).await.unwrap().unwrap();
}
