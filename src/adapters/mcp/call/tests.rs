use super::*;
use serde_json::{from_value, json};

fn page(value: Value) -> (Vec<String>, Option<String>) {
    let mut listed = Listed::default();
    let next = take_page(from_value(value).unwrap(), &mut listed).unwrap();
    (listed.into_tools().into_iter().map(|tool| tool.name).collect(), next)
}

#[test]
fn a_page_with_odd_tools_is_one() {
    let good = json!({"name": "a", "inputSchema": {"type": "object"}});
    assert_eq!(page(json!({"tools": [good], "nextCursor": "2"})), (vec!["a".to_owned()], Some("2".to_owned())));
    let odd = json!({"tools": [good, {"name": 5}, {"name": "b"}, null], "nextCursor": ""});
    assert_eq!(page(odd), (vec!["a".to_owned(), "b".to_owned()], None));
    let none = from_value(json!({"nothing": 1})).unwrap();
    assert!(take_page(none, &mut Listed::default()).is_err());
}

#[test]
fn results_of_all_forms() {
    let result = |value: Value| result_of(from_value(value).unwrap()).unwrap();
    let text = json!({"type": "text", "text": "x"});
    let plain = result(json!({"content": [text], "isError": true}));
    assert_eq!((plain.content, plain.structured, plain.is_error), (vec![text], None, true));
    let future = json!({"type": "hologram", "x": 1});
    let odd = result(json!({"content": [future], "structuredContent": {"a": 1}}));
    assert_eq!((odd.content, odd.structured, odd.is_error), (vec![future], Some(json!({"a": 1})), false));
    assert_eq!(result(json!({})).content, [json!(null); 0]);
    assert!(result_of(from_value(json!({"content": "text"})).unwrap()).is_err());
}

#[test]
fn sizes_are_those_of_json() {
    let value = json!({"text": "ä\n\"", "numbers": [1, 2.5, null]});
    assert_eq!(size_of(&value), value.to_string().len());
}
