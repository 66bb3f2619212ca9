use super::*;

pub fn memory(id: &str, text: &str) -> Memory {
    Memory {
        id: MemoryId::parse(id).unwrap(),
        legacy_id: None,
        kind: MemoryKind::LongTerm,
        owner: Owner::me(),
        text: MemoryText::parse(text).unwrap(),
        tags: Tags::default(),
        created: Timestamp(0),
        changed: Timestamp(0),
        source: Source::by(Author::User),
    }
}

#[test]
fn tags_come_once_and_without_their_mark() {
    assert_eq!(Tags::parse([" #home ", "home", "Home", "##a b"]).unwrap().as_slice(), ["home", "Home", "a b"]);
    assert_eq!(Tags::parse(["#"]).unwrap_err(), "a tag must not be blank");
    let many: Vec<String> = (0..=Tags::MAX).map(|number| number.to_string()).collect();
    assert_eq!(Tags::parse(many.iter().map(String::as_str)).unwrap_err(), "there may be at most 50 tags");
    assert!(Tags::parse(["x".repeat(101).as_str()]).is_err());
}

#[test]
fn nobody_sees_what_belongs_to_another() {
    let (ana, bob) = (Owner::parse("ana").unwrap(), Owner::parse("bob").unwrap());
    let seen = Owners::SeenBy(ana.clone());
    assert!(seen.include(&ana) && seen.include(&Owner::everybody()) && !seen.include(&bob));
    assert!(Owners::Of(ana.clone()).include(&ana) && !Owners::Of(ana).include(&Owner::everybody()));
    assert!(Owners::All.include(&bob));
}

#[test]
fn every_name_is_read_back() {
    for kind in MemoryKind::ALL {
        assert_eq!(MemoryKind::parse(kind.as_str()), Some(kind));
    }
    for author in Author::ALL {
        assert_eq!(Author::parse(author.as_str()), Some(author));
    }
}
