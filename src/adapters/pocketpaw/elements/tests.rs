use super::*;
use std::io::BufReader;

/// The elements of a list, read so many bytes at a time; those that are too long as `None`.
fn elements(list: &str, at_once: usize, drops_media: bool) -> Vec<Option<String>> {
    check(list.as_bytes()).unwrap();
    let mut found = Vec::new();
    let split = split(BufReader::with_capacity(at_once, list.as_bytes()), drops_media, &mut |number, element| {
        found.push(element.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()));
        assert_eq!(number, found.len());
        Ok(())
    });
    assert!(split.is_ok());
    found
}

#[track_caller]
fn assert_elements(list: &str, drops_media: bool, expected: &[&str]) {
    for at_once in [1, 2, 3, 7, 4096] {
        let found: Vec<String> = elements(list, at_once, drops_media).into_iter().flatten().collect();
        assert_eq!(found, expected, "{at_once} at once");
    }
}

#[test]
fn elements_are_handed_on_to_the_letter() {
    assert_elements(" [ ] ", true, &[]);
    assert_elements("[1]", true, &["1"]);
    assert_elements(
        r#" [ 1 , "a,]\"\\" ,[2,[3]], {"a": {"b" : "}"}, "c":[]},null ] "#,
        true,
        &["1", r#""a,]\"\\""#, "[2,[3]]", r#"{"a": {"b" : "}"}, "c":[]}"#, "null"],
    );
}

#[test]
fn only_the_data_of_media_is_emptied() {
    let element = r#"{"data":"a","metadata":{"data":"b","media":[{"name":"data","data" : "QUJD\"x"},"data",{"data":"e","more":{"data":"f"}}],"other":[{"data":"g"}]},"media":[{"data":"h"}]}"#;
    let emptied = element.replace(r#""QUJD\"x""#, r#""""#).replace(r#""e""#, r#""""#);
    let list = format!("[{element},{element}]");
    assert_elements(&list, true, &[&emptied, &emptied]);
    assert_elements(&list, false, &[element, element]);
    let no_list = r#"{"metadata":{"media":{"x":{"data":"stays"}}}}"#;
    assert_elements(&format!("[{no_list}]"), true, &[no_list]);
}

#[test]
fn an_element_that_is_too_long_is_passed_over() {
    let (fits, long) = ("a".repeat(LONGEST - 2), "b".repeat(LONGEST - 1));
    let list = format!(r#"[1,"{fits}",{{"content":"{long}","x":[1,"]"]}},2]"#);
    let lengths: Vec<_> = elements(&list, 65_536, true).iter().map(|it| it.as_ref().map(String::len)).collect();
    assert_eq!(lengths, [Some(1), Some(LONGEST), None, Some(1)]);
}

#[test]
fn what_is_no_list_is_found_out() {
    for text in ["", "{}", "1", "[1,", "[1 2]", "[1] 2", "[\"a]"] {
        assert!(check(text.as_bytes()).is_err(), "{text}");
    }
    let cut = split(&b"[1, {"[..], false, &mut |_, _| Ok(()));
    assert!(matches!(cut, Err(Cut::Broken(_))));
}
