//! What [`pawport::ports::memory::VectorStore`] promises.

use super::fixtures::{entry, everything, limit};
use super::memories::{id, insert, memory, says};
use pawport::domain::memory::embedding::SpaceName;
use pawport::domain::memory::{Memory, Owner};
use pawport::ports::memory::{NewVector, StoredVector};
use pawport::ports::store::Stores;

fn space(name: &str) -> SpaceName {
    SpaceName(name.to_owned())
}

fn new(name: &str, vector: &[f32]) -> NewVector {
    NewVector { id: id(name), revision: 0, vector: vector.to_vec() }
}

async fn all(stores: &Stores, name: &str) -> Vec<StoredVector> {
    stores.vectors.vectors(&space(name), i64::MIN, everything()).await.unwrap()
}

async fn with_vectors(stores: &Stores, name: &str) -> Vec<String> {
    all(stores, name).await.iter().map(|vector| vector.id.as_str().to_owned()).collect()
}

async fn without(stores: &Stores, name: &str) -> Vec<String> {
    let without = stores.vectors.without(&space(name), i64::MIN, everything()).await.unwrap();
    without.iter().map(|it| it.id.as_str().to_owned()).collect()
}

pub async fn spaces_are_in_the_order_of_opening(stores: &Stores) {
    assert_eq!(stores.vectors.spaces().await.unwrap(), []);
    for name in ["b", "a", "b", "A"] {
        stores.vectors.open_space(&space(name)).await.unwrap();
    }
    assert_eq!(stores.vectors.spaces().await.unwrap(), [space("b"), space("a"), space("A")]);
    stores.vectors.drop_space(&space("b")).await.unwrap();
    stores.vectors.drop_space(&space("nothing")).await.unwrap();
    stores.vectors.open_space(&space("b")).await.unwrap();
    assert_eq!(stores.vectors.spaces().await.unwrap(), [space("a"), space("A"), space("b")]);
}

pub async fn every_value_comes_back(stores: &Stores) {
    let of_all = Memory { owner: Owner::everybody(), ..memory("b", "x", 5) };
    insert(stores, &[memory("a", "x", 5), of_all]).await;
    stores.vectors.open_space(&space("m")).await.unwrap();
    let values = [0.1, -1.0, f32::MIN_POSITIVE, f32::MAX, 0.0];
    let vectors = vec![new("b", &values), new("a", &[])];
    assert_eq!(stores.vectors.put(&space("m"), vectors).await.unwrap(), 2);
    let kept = all(stores, "m").await;
    assert_eq!((&kept[0].id, &kept[0].owner, &kept[0].vector[..]), (&id("b"), &Owner::everybody(), &values[..]));
    assert_eq!((&kept[1].id, &kept[1].owner, &kept[1].vector[..]), (&id("a"), &Owner::me(), &[][..]));
    assert!(kept[0].place < kept[1].place);
    let later = stores.vectors.vectors(&space("m"), kept[0].place, limit(5)).await.unwrap();
    assert_eq!(later, kept[1..]);
    assert_eq!(stores.vectors.vectors(&space("m"), i64::MIN, limit(1)).await.unwrap(), kept[..1]);
}

pub async fn what_has_no_vector_is_known(stores: &Stores) {
    insert(stores, &[memory("a", "one", 9), memory("b", "two", 5), memory("c", "three", 7)]).await;
    assert_eq!(without(stores, "m").await, Vec::<String>::new());
    stores.vectors.open_space(&space("m")).await.unwrap();
    assert_eq!(without(stores, "m").await, ["a", "b", "c"]);
    stores.vectors.put(&space("m"), vec![new("b", &[1.0])]).await.unwrap();
    assert_eq!(without(stores, "m").await, ["a", "c"]);
    let first = stores.vectors.without(&space("m"), i64::MIN, limit(1)).await.unwrap().remove(0);
    assert_eq!((first.id.as_str(), first.text.as_str(), first.revision), ("a", "one", 0));
    let rest = stores.vectors.without(&space("m"), first.place, everything()).await.unwrap();
    assert_eq!(rest.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["c"]);
    // Of another model they have none.
    stores.vectors.open_space(&space("n")).await.unwrap();
    assert_eq!(without(stores, "n").await, ["a", "b", "c"]);
}

pub async fn a_vector_takes_the_place_of_the_one_before_and_comes_later(stores: &Stores) {
    insert(stores, &[memory("a", "x", 5), memory("b", "x", 5)]).await;
    stores.vectors.open_space(&space("m")).await.unwrap();
    stores.vectors.put(&space("m"), vec![new("a", &[1.0]), new("b", &[2.0])]).await.unwrap();
    let last = all(stores, "m").await[1].place;
    stores.vectors.put(&space("m"), vec![new("a", &[3.0])]).await.unwrap();
    let kept = all(stores, "m").await;
    assert_eq!(kept.iter().map(|it| it.vector[0]).collect::<Vec<_>>(), [2.0, 3.0]);
    assert!(kept[1].place > last);
    assert_eq!(stores.vectors.vector_count(&space("m")).await.unwrap(), 2);
}

pub async fn a_vector_of_a_text_that_is_gone_is_not_stored(stores: &Stores) {
    insert(stores, &[memory("a", "before", 5)]).await;
    stores.vectors.open_space(&space("m")).await.unwrap();
    stores.vectors.put(&space("m"), vec![new("a", &[1.0])]).await.unwrap();
    assert!(stores.memories.change(&id("a"), &says("before", 8), &entry("changed")).await.unwrap());
    assert_eq!(with_vectors(stores, "m").await, ["a"], "the text is the same");
    assert!(stores.memories.change(&id("a"), &says("after", 9), &entry("changed")).await.unwrap());
    assert_eq!(with_vectors(stores, "m").await, Vec::<String>::new());
    let late = vec![new("a", &[1.0]), new("nothing", &[1.0])];
    assert_eq!(stores.vectors.put(&space("m"), late).await.unwrap(), 0);
    let waiting = stores.vectors.without(&space("m"), i64::MIN, everything()).await.unwrap().remove(0);
    let current = NewVector { revision: waiting.revision, ..new("a", &[2.0]) };
    assert_eq!(stores.vectors.put(&space("m"), vec![current]).await.unwrap(), 1);
}

pub async fn a_space_goes_with_its_vectors_and_leaves_the_others(stores: &Stores) {
    insert(stores, &[memory("a", "x", 5)]).await;
    for name in ["m", "n"] {
        stores.vectors.open_space(&space(name)).await.unwrap();
        stores.vectors.put(&space(name), vec![new("a", &[1.0])]).await.unwrap();
    }
    stores.vectors.drop_space(&space("m")).await.unwrap();
    assert_eq!((with_vectors(stores, "m").await.len(), with_vectors(stores, "n").await.len()), (0, 1));
    assert_eq!(stores.vectors.put(&space("m"), vec![new("a", &[1.0])]).await.unwrap(), 0);
    stores.vectors.open_space(&space("m")).await.unwrap();
    assert_eq!(without(stores, "m").await, ["a"]);
}
