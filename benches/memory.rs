//! What memory costs when there is much of it: 100,000 memories in SQLite, on as many threads as a small machine has.
//!
//! `cargo bench --bench memory` makes a folder of PocketPaw's with 100,000 memories, lets the program import it, and then calls
//! what handlers call: a page of the list, recall by words, recall by meaning over 384 dimensions, and adding. It prints the
//! median and the 99th percentile of each. A number after `--` is another count of memories.
//!
//! Vectors are made of random numbers: what a model takes for a question comes on top, wherever it is.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(clippy::disallowed_methods, reason = "the program under test is a child process")]
#![expect(clippy::print_stdout, reason = "the numbers go to whoever runs it")]

use async_trait::async_trait;
use pawport::adapters::data_dir::DataDir;
use pawport::adapters::fake::FixedVault;
use pawport::adapters::recall::lexical::Lexical;
use pawport::adapters::recall::semantic::Semantic;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::domain::audit::Happening;
use pawport::domain::memory::embedding::{EmbedderChoice, SpaceName, Vector, normalized};
use pawport::domain::memory::{
    Author, Memory, MemoryFilter, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source, Tags,
};
use pawport::domain::text::{PageLimit, fold};
use pawport::domain::time::Timestamp;
use pawport::ports::recall::{Embedder, Embedders, EmbeddingError, Purpose, Recall, SemanticRecall};
use pawport::ports::store::Stores;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DIMENSIONS: usize = 384;

/// How many words there are. The first are in most texts, the last in hardly any, as in life.
const WORDS: usize = 20_000;

/// How often each thing is done.
const TIMES: usize = 1_000;

/// How many memories are in one file of PocketPaw's.
const PER_FILE: usize = 10_000;

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    import(folder.path(), &data, count);
    runtime.block_on(measure(&data, count));
}

/// A text of 8 to 20 words, the rarer the less often.
fn text(random: &mut SmallRng) -> String {
    let mut text = String::new();
    for _ in 0..random.random_range(8..=20) {
        let _ = write!(text, "{} ", word(random));
    }
    text.trim_end().to_owned()
}

fn word(random: &mut SmallRng) -> String {
    // Every place of an order of magnitude is as likely as those of another: about what Zipf found.
    let exponent = random.random_range(0.0..f64::from(u32::try_from(WORDS).unwrap()).ln());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list of words")]
    let place = exponent.exp() as usize;
    format!("{}{place}", ["ka", "lo", "mi", "tu"][place % 4])
}

fn import(folder: &Path, data: &Path, count: usize) {
    let home = folder.join("pocketpaw");
    let mut random = SmallRng::seed_from_u64(1);
    for (number, first) in (0..count).step_by(PER_FILE).enumerate() {
        let user = home.join(format!("memory/users/user{number}"));
        std::fs::create_dir_all(&user).unwrap();
        let mut file = String::new();
        for _ in first..count.min(first + PER_FILE) {
            write!(
                file,
                "\n## Memory\n\n{}\n\n#tag{} #kind{}\n",
                text(&mut random),
                random.random_range(0..200),
                random.random_range(0..20)
            )
            .unwrap();
        }
        std::fs::write(user.join("MEMORY.md"), file).unwrap();
    }
    std::fs::write(home.join("config.json"), "{}").unwrap();
    let began = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_pawport"));
    let program = program.args(["import", "--although-running", "--data-dir"]).arg(data).arg(&home);
    assert!(program.stdout(Stdio::null()).status().unwrap().success());
    println!("import of {count} memories: {:.1?}", began.elapsed());
}

/// Vectors that mean nothing.
struct Random;

#[async_trait]
impl Embedders for Random {
    async fn open(&self, _choice: &EmbedderChoice) -> Result<Arc<dyn Embedder>, EmbeddingError> {
        Ok(Arc::new(Random))
    }
}

#[async_trait]
impl Embedder for Random {
    fn space(&self) -> SpaceName {
        SpaceName("random".to_owned())
    }

    async fn embed(&self, texts: &[&str], _purpose: Purpose) -> Result<Vec<Vector>, EmbeddingError> {
        let vector = |text: &&str| {
            let seed = text.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
            let mut random = SmallRng::seed_from_u64(seed);
            normalized((0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect()).unwrap()
        };
        Ok(texts.iter().map(vector).collect())
    }
}

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    println!("{what:<28} median {:>9.2?}   p99 {:>9.2?}   most {:>9.2?}", at(50), at(99), took[took.len() - 1]);
}

async fn measure(data: &Path, count: usize) {
    let _data_dir = DataDir::open(data).unwrap();
    let url = StorageUrl::Sqlite(data.join("pawport.db"));
    let stores = Stores::of(&SqlStorage::open(url, Arc::new(FixedVault::new())).await.unwrap());
    let mut random = SmallRng::seed_from_u64(2);

    let mut took = Vec::new();
    for number in 0..TIMES {
        let filter = MemoryFilter { kind: Some(MemoryKind::LongTerm), ..MemoryFilter::of(Owners::All) };
        let offset = if number % 2 == 0 { 0 } else { random.random_range(0..count as u64) };
        let began = Instant::now();
        stores.memories.page(&filter, PageLimit::clamped(50), offset).await.unwrap();
        took.push(began.elapsed());
    }
    show("list, a page of 50", took);

    let mut took = Vec::new();
    for _ in 0..20 {
        let owners = Owners::All;
        let filter = MemoryFilter { text: Some(fold(&word(&mut random))), ..MemoryFilter::of(owners) };
        let began = Instant::now();
        stores.memories.page(&filter, PageLimit::clamped(50), 0).await.unwrap();
        took.push(began.elapsed());
    }
    show("list, filtered by a text", took);

    let lexical = Lexical::new(Arc::clone(&stores.memories));
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let words: Vec<String> = (0..random.random_range(2..9)).map(|_| word(&mut random)).collect();
        let question = words.join(" ");
        let began = Instant::now();
        lexical.recall(&question, &Owners::All, 50).await.unwrap();
        took.push(began.elapsed());
    }
    show("recall by words", took);

    let semantic = Semantic::new(Arc::clone(&stores.memories), Arc::clone(&stores.vectors), Arc::new(Random));
    semantic.choose(Some(EmbedderChoice::Folder));
    let began = Instant::now();
    semantic.catch_up().await.unwrap();
    println!("storing {count} vectors: {:.1?}", began.elapsed());
    let began = Instant::now();
    semantic.recall("the first", &Owners::All, 50).await.unwrap();
    println!("reading them at the first question: {:.1?}", began.elapsed());
    let mut took = Vec::new();
    for number in 0..TIMES {
        let question = format!("question {number}");
        let began = Instant::now();
        semantic.recall(&question, &Owners::All, 50).await.unwrap();
        took.push(began.elapsed());
    }
    show("recall by meaning", took);

    let mut took = Vec::new();
    for number in 0..TIMES {
        let memory = Memory {
            id: MemoryId::parse(&format!("added {number}")).unwrap(),
            legacy_id: None,
            kind: MemoryKind::LongTerm,
            owner: Owner::me(),
            text: MemoryText::parse(&text(&mut random)).unwrap(),
            tags: Tags::parse(["added"]).unwrap(),
            created: Timestamp(0),
            changed: Timestamp(0),
            source: Source::by(Author::User),
        };
        let entry = Happening::command("memory_added", "x").into_entry(format!("entry {number}"), Timestamp(0));
        let began = Instant::now();
        stores.memories.insert(&memory, &entry).await.unwrap();
        took.push(began.elapsed());
    }
    show("adding one", took);

    let mut took = Vec::new();
    for number in 0..TIMES {
        let id = MemoryId::parse(&format!("added {number}")).unwrap();
        let entry = Happening::command("memory_removed", "x").into_entry(format!("removal {number}"), Timestamp(0));
        let began = Instant::now();
        assert!(stores.memories.remove(&id, &entry).await.unwrap());
        took.push(began.elapsed());
    }
    show("removing one", took);
}
