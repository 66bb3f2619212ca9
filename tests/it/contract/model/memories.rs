//! The part of the histories that is about memories: deleting one changes no other, whatever happened before.

use super::{Step, moment, shown, size};
use crate::contract::fixtures::{at, everything, limit};
use crate::contract::memories::{id, memory, owner, says, tags};
use pawport::domain::import::Item;
use pawport::domain::memory::embedding::SpaceName;
use pawport::domain::memory::{Memory, MemoryChange, MemoryFilter, MemoryKind, Owners, words};
use pawport::ports::memory::NewVector;
use pawport::ports::store::Stores;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::fmt::Write;

const IDS: [&str; 5] = ["a", "A", "b", "c", "d"];
const WORDS: [&str; 6] = ["cat", "cats", "dog", "DOG bird", "Straße", "日本"];
const TAGS: [&str; 3] = ["x", "X", "y"];
const OWNERS: [&str; 3] = ["default", "shared", "bob"];
const SPACES: [&str; 2] = ["m", "n"];

type Name = &'static str;

#[derive(Debug, Clone)]
pub enum Operation {
    Insert { id: Name, legacy: Option<Name>, daily: bool, owner: Name, words: Vec<Name>, tags: Vec<Name>, created: i64 },
    Import { id: Name, words: Vec<Name>, created: i64 },
    Change { id: Name, words: Option<Vec<Name>>, tags: Option<Vec<Name>>, at: i64 },
    Remove { id: Name },
    RemoveSome { owner: Name, size: i64, before: i64 },
    Page { owner: Name, tag: Option<Name>, text: Option<Name>, size: i64, offset: u64 },
    Search { words: Vec<Name>, owner: Name, size: i64 },
    OpenSpace { space: Name },
    DropSpace { space: Name },
    Put { space: Name, id: Name, revision: i64 },
}

fn name() -> impl Strategy<Value = Name> {
    select(&IDS[..])
}

fn text() -> impl Strategy<Value = Vec<Name>> {
    proptest::collection::vec(select(&WORDS[..]), 1..5)
}

fn labels() -> impl Strategy<Value = Vec<Name>> {
    proptest::collection::vec(select(&TAGS[..]), 0..4)
}

fn of() -> impl Strategy<Value = Name> {
    select(&OWNERS[..])
}

fn space() -> impl Strategy<Value = Name> {
    select(&SPACES[..])
}

pub fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    use proptest::option::of as maybe;
    prop_oneof![
        8 => (name(), maybe(name()), any::<bool>(), of(), text(), labels(), moment()).prop_map(
            |(id, legacy, daily, owner, words, tags, created)| Insert { id, legacy, daily, owner, words, tags, created }),
        2 => (name(), text(), moment()).prop_map(|(id, words, created)| Import { id, words, created }),
        4 => (name(), maybe(text()), maybe(labels()), moment())
            .prop_map(|(id, words, tags, at)| Change { id, words, tags, at }),
        4 => name().prop_map(|id| Remove { id }),
        1 => (of(), size(), moment()).prop_map(|(owner, size, before)| RemoveSome { owner, size, before }),
        2 => (of(), maybe(select(&TAGS[..])), maybe(select(&["cat", "dog", "日"][..])), size(), 0..3_u64)
            .prop_map(|(owner, tag, text, size, offset)| Page { owner, tag, text, size, offset }),
        4 => (text(), of(), size()).prop_map(|(words, owner, size)| Search { words, owner, size }),
        2 => space().prop_map(|space| OpenSpace { space }),
        1 => space().prop_map(|space| DropSpace { space }),
        4 => (space(), name(), 0..2_i64).prop_map(|(space, id, revision)| Put { space, id, revision }),
    ]
}

pub(super) async fn perform(stores: &Stores, operation: &Operation, step: Step) -> String {
    let Stores { memories, vectors, .. } = stores;
    let entry = step.entry("memory", 0);
    match operation {
        Operation::Insert { id: name, legacy, daily, owner: of, words, tags: labels, created } => {
            let new = Memory {
                legacy_id: legacy.map(id),
                kind: if *daily { MemoryKind::Daily } else { MemoryKind::LongTerm },
                owner: owner(of),
                tags: tags(labels),
                ..memory(name, &words.join(" "), *created)
            };
            shown(&memories.insert(&new, &entry).await)
        }
        Operation::Import { id, words, created } => {
            let batch = vec![Item::Memory(memory(id, &words.join(" "), *created))];
            shown(&stores.imports.import(batch, &entry).await)
        }
        Operation::Change { id: name, words, tags: labels, at: moment } => {
            let text = words.as_ref().and_then(|words| says(&words.join(" "), 0).text);
            let change = MemoryChange { text, tags: labels.as_ref().map(|labels| tags(labels)), at: at(*moment) };
            shown(&memories.change(&id(name), &change, &entry).await)
        }
        Operation::Remove { id: name } => shown(&memories.remove(&id(name), &entry).await),
        Operation::RemoveSome { owner: of, size, before } => {
            let filter = MemoryFilter { created_before: Some(at(*before)), ..MemoryFilter::of(Owners::Of(owner(of))) };
            shown(&memories.remove_some(&filter, limit(*size), Some(&entry)).await)
        }
        Operation::Page { owner: of, tag, text, size, offset } => {
            let filter = MemoryFilter {
                tag: tag.map(str::to_owned),
                text: text.map(str::to_owned),
                ..MemoryFilter::of(Owners::SeenBy(owner(of)))
            };
            shown(&memories.page(&filter, limit(*size), *offset).await)
        }
        Operation::Search { words, owner: of, size } => {
            let words = words::of_question(&words.join(" "));
            shown(&memories.search(&words, &Owners::SeenBy(owner(of)), limit(*size)).await)
        }
        Operation::OpenSpace { space } => shown(&vectors.open_space(&SpaceName((*space).to_owned())).await),
        Operation::DropSpace { space } => shown(&vectors.drop_space(&SpaceName((*space).to_owned())).await),
        Operation::Put { space, id: name, revision } => {
            let new = NewVector { id: id(name), revision: *revision, vector: vec![0.5] };
            shown(&vectors.put(&SpaceName((*space).to_owned()), vec![new]).await)
        }
    }
}

/// All that can be asked.
pub async fn everything_in(stores: &Stores) -> Vec<String> {
    let all = MemoryFilter::of(Owners::All);
    let mut answers = vec![
        shown(&stores.memories.page(&all, everything(), 0).await),
        shown(&stores.memories.counts().await),
        shown(&stores.memories.graph(None, everything()).await),
        shown(&stores.vectors.spaces().await),
    ];
    for name in IDS {
        answers.push(shown(&stores.memories.find(&id(name)).await));
    }
    for word in WORDS {
        let words = words::of_question(word);
        answers.push(shown(&stores.memories.search(&words, &Owners::All, everything()).await));
    }
    for space in SPACES.map(|space| SpaceName(space.to_owned())) {
        let vectors = stores.vectors.vectors(&space, i64::MIN, everything()).await;
        let vectors = vectors.map(|vectors| vectors.into_iter().map(|it| (it.id, it.vector)).collect::<Vec<_>>());
        let without = stores.vectors.without(&space, i64::MIN, everything()).await;
        let without = without.map(|rows| rows.into_iter().map(|it| (it.id, it.revision)).collect::<Vec<_>>());
        answers.extend([shown(&vectors), shown(&without)]);
    }
    answers
}

/// What there is of every memory: itself, whether each of the words finds it, and its vectors.
async fn one_by_one(stores: &Stores) -> BTreeMap<String, String> {
    let all = stores.memories.page(&MemoryFilter::of(Owners::All), everything(), 0).await.unwrap();
    let mut shown: BTreeMap<String, String> =
        all.iter().map(|memory| (memory.id.as_str().to_owned(), format!("{memory:?}"))).collect();
    for word in WORDS {
        let words = words::of_question(word);
        for hit in stores.memories.search(&words, &Owners::All, everything()).await.unwrap() {
            shown.get_mut(hit.id.as_str()).unwrap().push_str(word);
        }
    }
    for space in SPACES.map(|space| SpaceName(space.to_owned())) {
        for stored in stores.vectors.vectors(&space, i64::MIN, everything()).await.unwrap() {
            write!(shown.get_mut(stored.id.as_str()).unwrap(), "{stored:?}").unwrap();
        }
    }
    shown
}

/// Whatever happened before, the others stay as they were, to the last word and vector.
pub async fn deleting_one_changes_no_other(stores: &Stores) {
    let mut runner = TestRunner::deterministic();
    let mut deleted = 0;
    for number in 0..40 {
        let operations = proptest::collection::vec(operation(), 1..=30).new_tree(&mut runner).unwrap().current();
        for operation in &operations {
            perform(stores, operation, Step { number, turns_offered: 0 }).await;
        }
        let mut before = one_by_one(stores).await;
        let Some(one) = before.keys().nth(number % before.len().max(1)).cloned() else { continue };
        assert!(stores.memories.remove(&id(&one), &Step { number, turns_offered: 0 }.entry("x", 0)).await.unwrap());
        before.remove(&one);
        assert_eq!(one_by_one(stores).await, before, "after {operations:?}, without {one}");
        deleted += 1;
    }
    assert!(deleted > 20, "too few were there to be deleted: {deleted}");
}
