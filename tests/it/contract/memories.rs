//! What [`pawport::ports::memory::MemoryStore`] promises.

pub use super::model::memories::deleting_one_changes_no_other;

use super::fixtures::{at, at_once, entry, everything, limit, logged};
use pawport::domain::import::{Item, Outcome};
use pawport::domain::memory::embedding::SpaceName;
use pawport::domain::memory::{
    Author, Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source,
    Tags, words,
};
use pawport::ports::memory::NewVector;
use pawport::ports::store::{StoreError, Stores};
use std::sync::Arc;

#[track_caller]
pub fn id(text: &str) -> MemoryId {
    MemoryId::parse(text).unwrap()
}

#[track_caller]
pub fn owner(name: &str) -> Owner {
    Owner::parse(name).unwrap()
}

#[track_caller]
pub fn tags(names: &[&str]) -> Tags {
    Tags::parse(names.iter().copied()).unwrap()
}

#[track_caller]
pub fn memory(name: &str, text: &str, created: i64) -> Memory {
    Memory {
        id: id(name),
        legacy_id: None,
        kind: MemoryKind::LongTerm,
        owner: Owner::me(),
        text: MemoryText::parse(text).unwrap(),
        tags: Tags::default(),
        created: at(created),
        changed: at(created),
        source: Source::by(Author::User),
    }
}

#[track_caller]
pub fn says(text: &str, moment: i64) -> MemoryChange {
    let text = MemoryText::parse(text).unwrap();
    MemoryChange { text: Some((text, Source::by(Author::Agent))), tags: None, at: at(moment) }
}

pub async fn insert(stores: &Stores, memories: &[Memory]) {
    for memory in memories {
        stores.memories.insert(memory, &entry("added")).await.unwrap();
    }
}

fn all() -> MemoryFilter {
    MemoryFilter::of(Owners::All)
}

fn names(memories: &[Memory]) -> Vec<&str> {
    memories.iter().map(|memory| memory.id.as_str()).collect()
}

async fn listed(stores: &Stores, filter: &MemoryFilter) -> Vec<String> {
    let page = stores.memories.page(filter, everything(), 0).await.unwrap();
    page.iter().map(|memory| memory.id.as_str().to_owned()).collect()
}

async fn found_by(stores: &Stores, question: &str, owners: &Owners) -> Vec<String> {
    let words = words::of_question(question);
    let found = stores.memories.search(&words, owners, everything()).await.unwrap();
    found.iter().map(|hit| hit.id.as_str().to_owned()).collect()
}

async fn found(stores: &Stores, question: &str) -> Vec<String> {
    found_by(stores, question, &Owners::All).await
}

pub async fn every_member_comes_back(stores: &Stores) {
    let plain = memory("plain", "x", 5);
    let many: Vec<String> = (0..Tags::MAX).map(|number| format!("tag {number} 🐾")).collect();
    let variants = [
        Memory { legacy_id: Some(id("old 🐾")), ..plain.clone() },
        Memory { id: id("daily"), kind: MemoryKind::Daily, owner: Owner::everybody(), ..plain.clone() },
        Memory { id: id("first"), created: at(i64::MIN), changed: at(i64::MAX), ..plain.clone() },
        Memory { id: id("tagged"), tags: Tags::parse(many.iter().map(String::as_str)).unwrap(), ..plain.clone() },
        Memory { id: id("quoted"), tags: tags(&["a\"b\\c", "[", "ß"]), ..plain.clone() },
        Memory { id: id("said"), source: Source::said(Author::Learned, "websocket_a", "m 1"), ..plain.clone() },
        Memory { id: id("imported"), source: Source::by(Author::Import), ..plain.clone() },
        Memory { id: id("long"), text: MemoryText::parse(&"🐾 it's\n".repeat(1_400)).unwrap(), ..plain.clone() },
        Memory { id: id("owned"), owner: owner("Ana 🐾 O'Neill"), ..plain.clone() },
        Memory { id: id(&"x".repeat(MemoryId::MAX_CHARS)), ..plain },
    ];
    insert(stores, &variants).await;
    for given in &variants {
        assert_eq!(stores.memories.find(&given.id).await.unwrap().as_ref(), Some(given));
    }
    assert_eq!(logged(stores).await.len(), variants.len());
}

pub async fn insert_refuses_an_id_that_is_taken(stores: &Stores) {
    insert(stores, &[memory("a", "one", 5)]).await;
    let refused = stores.memories.insert(&memory("a", "two", 6), &entry("added")).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(stores.memories.find(&id("a")).await.unwrap(), Some(memory("a", "one", 5)));
    assert_eq!((found(stores, "two").await.len(), logged(stores).await.len()), (0, 1));
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    insert(stores, &[memory("a", "one", 5)]).await;
    assert_eq!(stores.memories.find(&id("A")).await.unwrap(), None);
    assert!(!stores.memories.change(&id("b"), &says("x", 9), &entry("changed")).await.unwrap());
    assert!(!stores.memories.remove(&id("b"), &entry("removed")).await.unwrap());
    let owned = MemoryFilter::of(Owners::Of(owner("nobody")));
    assert_eq!(stores.memories.remove_some(&owned, everything(), Some(&entry("removed"))).await.unwrap(), 0);
    assert_eq!(logged(stores).await, ["added"]);
}

pub async fn a_legacy_id_names_a_memory_unless_another_has_it_as_its_id(stores: &Stores) {
    let old = Memory { legacy_id: Some(id("old")), ..memory("a", "one", 5) };
    let shadowed = Memory { legacy_id: Some(id("c")), ..memory("b", "two", 5) };
    insert(stores, &[old, shadowed, memory("c", "three", 5)]).await;
    let find = async |name: &str| stores.memories.find(&id(name)).await.unwrap().unwrap().id;
    assert_eq!((find("old").await, find("c").await), (id("a"), id("c")));
    assert!(stores.memories.change(&id("old"), &says("changed", 9), &entry("changed")).await.unwrap());
    assert_eq!(found(stores, "changed").await, ["a"]);
    assert!(stores.memories.remove(&id("old"), &entry("removed")).await.unwrap());
    assert_eq!(listed(stores, &all()).await, ["c", "b"]);
}

pub async fn get_keeps_the_order_and_leaves_out_what_is_not_meant(stores: &Stores) {
    let of_bob = Memory { owner: owner("bob"), ..memory("b", "two", 6) };
    insert(stores, &[memory("a", "one", 5), of_bob, memory("c", "three", 7)]).await;
    let ids = [id("c"), id("nothing"), id("b"), id("a")];
    assert_eq!(names(&stores.memories.get(&ids, &Owners::All).await.unwrap()), ["c", "b", "a"]);
    assert_eq!(names(&stores.memories.get(&ids, &Owners::Of(Owner::me())).await.unwrap()), ["c", "a"]);
    assert_eq!(stores.memories.get(&[], &Owners::All).await.unwrap(), []);
}

pub async fn pages_are_by_creation_newest_first(stores: &Stores) {
    insert(stores, &[memory("a", "x", 5), memory("b", "x", 9), memory("c", "x", 5), memory("d", "x", -1)]).await;
    assert_eq!(listed(stores, &all()).await, ["b", "c", "a", "d"]);
    let page = stores.memories.page(&all(), limit(2), 1).await.unwrap();
    assert_eq!(names(&page), ["c", "a"]);
    assert_eq!(stores.memories.page(&all(), limit(2), 4).await.unwrap(), []);
    assert_eq!(stores.memories.page(&all(), limit(2), u64::MAX).await.unwrap(), []);
}

pub async fn a_filter_takes_what_it_says(stores: &Stores) {
    let plain = memory("a", "Straße nach LISBOA 100%", 5);
    let daily = Memory { kind: MemoryKind::Daily, owner: Owner::everybody(), ..memory("b", "rain in lisboa", 6) };
    let of_bob = Memory { owner: owner("bob"), tags: tags(&["home", "Home"]), ..memory("c", "a_b", 7) };
    insert(stores, &[plain, daily, of_bob]).await;
    let by = async |change: &dyn Fn(&mut MemoryFilter)| {
        let mut filter = all();
        change(&mut filter);
        listed(stores, &filter).await
    };
    assert_eq!(by(&|filter| filter.kind = Some(MemoryKind::Daily)).await, ["b"]);
    assert_eq!(by(&|filter| filter.owners = Owners::Of(owner("bob"))).await, ["c"]);
    assert_eq!(by(&|filter| filter.owners = Owners::SeenBy(owner("bob"))).await, ["c", "b"]);
    assert_eq!(by(&|filter| filter.tag = Some("Home".to_owned())).await, ["c"]);
    assert_eq!(by(&|filter| filter.tag = Some("HOME".to_owned())).await, Vec::<String>::new());
    assert_eq!(by(&|filter| filter.text = Some("lisboa".to_owned())).await, ["b", "a"]);
    assert_eq!(by(&|filter| filter.text = Some("0%".to_owned())).await, ["a"]);
    assert_eq!(by(&|filter| filter.text = Some("a%b".to_owned())).await, Vec::<String>::new());
    assert_eq!(by(&|filter| filter.created_before = Some(at(6))).await, ["a"]);
    let both = |filter: &mut MemoryFilter| {
        filter.text = Some("lisboa".to_owned());
        filter.kind = Some(MemoryKind::LongTerm);
    };
    assert_eq!(by(&both).await, ["a"]);
}

pub async fn a_change_keeps_id_creation_and_the_others(stores: &Stores) {
    let before = Memory { tags: tags(&["x"]), ..memory("a", "cats sleep", 5) };
    insert(stores, &[before.clone(), memory("b", "dogs bark", 6)]).await;
    assert!(stores.memories.change(&id("a"), &says("birds sing", 9), &entry("changed")).await.unwrap());
    let text = MemoryText::parse("birds sing").unwrap();
    let expected = Memory { text, changed: at(9), source: Source::by(Author::Agent), ..before };
    assert_eq!(stores.memories.find(&id("a")).await.unwrap(), Some(expected.clone()));
    assert_eq!((found(stores, "cats").await.len(), found(stores, "bird").await), (0, vec!["a".to_owned()]));
    let retagged = MemoryChange { text: None, tags: Some(tags(&["y", "z"])), at: at(10) };
    assert!(stores.memories.change(&id("a"), &retagged, &entry("changed")).await.unwrap());
    let expected = Memory { tags: tags(&["y", "z"]), changed: at(10), ..expected };
    assert_eq!(stores.memories.find(&id("a")).await.unwrap(), Some(expected));
    assert_eq!((found(stores, "x").await.len(), found(stores, "y").await), (0, vec!["a".to_owned()]));
    assert_eq!(stores.memories.find(&id("b")).await.unwrap(), Some(memory("b", "dogs bark", 6)));
    assert_eq!(logged(stores).await, ["added", "added", "changed", "changed"]);
}

pub async fn removal_takes_what_was_made_of_a_memory_and_leaves_the_others(stores: &Stores) {
    let tagged = |name: &str| Memory { tags: tags(&["shared", name]), ..memory(name, "the same words", 5) };
    insert(stores, &[tagged("a"), tagged("b")]).await;
    let space = SpaceName("m".to_owned());
    stores.vectors.open_space(&space).await.unwrap();
    let vector = |name: &str| NewVector { id: id(name), revision: 0, vector: vec![1.0] };
    assert_eq!(stores.vectors.put(&space, vec![vector("a"), vector("b")]).await.unwrap(), 2);
    assert!(stores.memories.remove(&id("a"), &entry("removed")).await.unwrap());
    assert_eq!(stores.memories.find(&id("a")).await.unwrap(), None);
    assert_eq!(stores.memories.find(&id("b")).await.unwrap(), Some(tagged("b")));
    assert_eq!(found(stores, "same words").await, ["b"]);
    assert_eq!(stores.vectors.vector_count(&space).await.unwrap(), 1);
    let graph = stores.memories.graph(None, everything()).await.unwrap();
    assert_eq!(graph.tags, [("b".to_owned(), 1), ("shared".to_owned(), 1)]);
    assert_eq!(logged(stores).await, ["added", "added", "removed"]);
    // A memory of the same id begins anew.
    insert(stores, &[memory("a", "other words", 9)]).await;
    assert_eq!(
        (found(stores, "same").await, found(stores, "other").await),
        (vec!["b".to_owned()], vec!["a".to_owned()])
    );
    assert_eq!(stores.vectors.vector_count(&space).await.unwrap(), 1);
}

pub async fn some_are_removed_the_oldest_first(stores: &Stores) {
    let of_bob = |name: &str, created| Memory { owner: owner("bob"), ..memory(name, "fact", created) };
    insert(stores, &[of_bob("c", 9), memory("mine", "fact", 1), of_bob("a", 5), of_bob("b", 6)]).await;
    let bobs = MemoryFilter::of(Owners::Of(owner("bob")));
    let entry = entry("removed");
    assert_eq!(stores.memories.remove_some(&bobs, limit(2), Some(&entry)).await.unwrap(), 2);
    assert_eq!(found(stores, "fact").await, ["mine", "c"]);
    assert_eq!(stores.memories.remove_some(&bobs, limit(2), None).await.unwrap(), 1);
    assert_eq!(listed(stores, &all()).await, ["mine"]);
    assert_eq!(logged(stores).await.iter().filter(|action| *action == "removed").count(), 1);
}

pub async fn kinds_are_counted(stores: &Stores) {
    assert_eq!(stores.memories.counts().await.unwrap(), MemoryCounts::default());
    let daily = Memory { kind: MemoryKind::Daily, ..memory("c", "x", 5) };
    insert(stores, &[memory("a", "x", 5), memory("b", "x", 5), daily]).await;
    assert_eq!(stores.memories.counts().await.unwrap(), MemoryCounts { long_term: 2, daily: 1 });
}

pub async fn rare_words_and_short_memories_come_first(stores: &Stores) {
    insert(
        stores,
        &[
            memory("long", "the server in the cellar has a name and a fan and a disk and a lamp and it hums", 1),
            memory("short", "the server hums", 2),
            memory("other", "a server", 3),
            memory("rare", "the zebra server", 4),
            memory("none", "nothing to see", 5),
        ],
    )
    .await;
    assert_eq!(found(stores, "which server hums?").await, ["short", "long", "other", "rare"]);
    assert_eq!(found(stores, "zebra server").await[0], "rare");
    assert_eq!(found(stores, "").await, Vec::<String>::new());
    let hits = async |question, size| {
        stores.memories.search(&words::of_question(question), &Owners::All, limit(size)).await.unwrap()
    };
    assert_eq!(hits("server", 1).await.len(), 1);
    // All that was asked, a part of it, and less where what is missing is in no memory at all.
    let covers = async |question| hits(question, 1).await[0].coverage;
    assert!((covers("zebra server").await - 1.0).abs() < 1e-9);
    assert!(covers("zebra name").await < 0.6 && covers("server unicorn").await < 0.3);
}

pub async fn words_are_found_in_any_form_and_script(stores: &Stores) {
    let tagged = Memory { tags: tags(&["Grüße"]), ..memory("tagged", "x", 1) };
    let greek = memory("greek", "ΣΊΣΥΦΟΣ", 2);
    insert(stores, &[tagged, greek, memory("meeting", "Meetings at 10:00", 3), memory("日", "東京 に", 4)]).await;
    assert_eq!(found(stores, "grüße").await, ["tagged"]);
    assert_eq!(found(stores, "Σίσυφος").await, ["greek"]);
    assert_eq!(found(stores, "the meeting").await, ["meeting"]);
    assert_eq!(found(stores, "東京").await, ["日"]);
    assert_eq!(found(stores, "% _ ' \" \\ * NEAR( AND").await, Vec::<String>::new());
}

pub async fn nobody_finds_what_belongs_to_another(stores: &Stores) {
    let of = |name: &str, of: Owner| Memory { owner: of, ..memory(name, "the same fact", 5) };
    insert(stores, &[of("a", owner("ana")), of("b", owner("bob")), of("s", Owner::everybody())]).await;
    let seen = |name: &str| Owners::SeenBy(owner(name));
    assert_eq!(found_by(stores, "fact", &seen("ana")).await, ["s", "a"]);
    assert_eq!(found_by(stores, "fact", &Owners::Of(owner("bob"))).await, ["b"]);
    assert_eq!(found_by(stores, "fact", &seen("nobody")).await, ["s"]);
    assert_eq!(found(stores, "fact").await, ["s", "b", "a"]);
}

pub async fn a_common_word_finds_the_newest_of_an_owner_among_many_of_others(stores: &Stores) {
    let many: Vec<Item> = (0..700)
        .map(|number| Memory { owner: owner("bob"), ..memory(&format!("b{number}"), "the same fact", number) })
        .map(Item::Memory)
        .collect();
    insert(stores, &[memory("mine", "a fact of mine", 1)]).await;
    stores.imports.import(many, &entry("imported")).await.unwrap();
    assert_eq!(found_by(stores, "fact", &Owners::Of(Owner::me())).await, ["mine"]);
    assert!(found(stores, "fact").await.len() >= 500);
}

pub async fn tags_make_a_graph(stores: &Stores) {
    let tagged = |name: &str, names: &[&str]| Memory { tags: tags(names), ..memory(name, "x", 5) };
    insert(
        stores,
        &[tagged("a", &["work", "Home"]), tagged("b", &["work", "db", "Home"]), tagged("c", &["db"]), tagged("d", &[])],
    )
    .await;
    let graph = stores.memories.graph(None, everything()).await.unwrap();
    let pair = |one: &str, other: &str, count| (one.to_owned(), other.to_owned(), count);
    assert_eq!(graph.tags, [("Home".to_owned(), 2), ("db".to_owned(), 2), ("work".to_owned(), 2)]);
    assert_eq!(graph.pairs, [pair("Home", "work", 2), pair("Home", "db", 1), pair("db", "work", 1)]);
    let part = stores.memories.graph(Some("ho"), everything()).await.unwrap();
    assert_eq!((part.tags, part.pairs), (vec![("Home".to_owned(), 2)], vec![]));
    let two = stores.memories.graph(None, limit(2)).await.unwrap();
    assert_eq!((two.tags.len(), two.pairs), (2, vec![pair("Home", "db", 1)]));
}

pub async fn twenty_at_once_lose_nothing(stores: &Stores) {
    let shared = Arc::new(stores.clone());
    let inserted = at_once(20, move |number| {
        let stores = Arc::clone(&shared);
        async move {
            let memory = memory(&format!("m{number}"), &format!("fact number{number}"), 5);
            stores.memories.insert(&memory, &entry("added")).await.unwrap();
        }
    });
    inserted.await;
    for number in 0..20 {
        assert_eq!(found(stores, &format!("number{number}")).await, [format!("m{number}")]);
    }
}

pub async fn an_imported_memory_comes_once_and_replaces_nothing(stores: &Stores) {
    let first = Memory { legacy_id: Some(id("old")), ..memory("a", "first", 5) };
    let import = async |memory: &Memory| {
        stores.imports.import(vec![Item::Memory(memory.clone())], &entry("imported")).await.unwrap()
    };
    assert_eq!(import(&first).await, [Outcome::Imported]);
    assert_eq!(import(&memory("a", "second", 6)).await, [Outcome::AlreadyThere]);
    assert_eq!(stores.memories.find(&id("old")).await.unwrap(), Some(first));
    assert_eq!((found(stores, "first").await.len(), found(stores, "second").await.len()), (1, 0));
}
