use super::*;
use serde_json::json;

fn checked(schema: &Value, arguments: Value) -> Result<Map<String, Value>, CallError> {
    let mut listed = Listed::default();
    listed.add_raw(&mut json!({"name": "it", "inputSchema": schema}));
    let Value::Object(arguments) = arguments else { panic!() };
    Catalog::new(listed.into_tools()).check(0, arguments)
}

#[test]
fn wrong_arguments_are_named() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "array", "items": {"enum": ["x"]}}}});
    assert!(checked(&schema, json!({"a": ["x"], "b": 1})).is_ok());
    let Err(CallError::Arguments { place, message }) = checked(&schema, json!({"a": ["x", "y"]})) else { panic!() };
    assert_eq!((place, &*message), (vec!["a".to_owned(), "1".to_owned()], "\"y\" is not one of \"x\""));
    // What is long is not repeated.
    let long = "x".repeat(10_000);
    let Err(CallError::Arguments { message, .. }) =
        checked(&json!({"properties": {"a": {"type": "number"}}}), json!({"a": long}))
    else {
        panic!()
    };
    assert_eq!(message, "value is not of type \"number\"");
}

#[test]
fn schemas_that_cannot_be_used_are_not() {
    for schema in [
        json!({}),
        json!("text"),
        json!({"type": "nonsense"}),
        json!({"properties": {"a": {"$ref": "https://schemas.invalid/a.json"}}}),
        json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
        json!({"properties": {"a": {"$ref": "#/$defs/nowhere"}}}),
        json!({"properties": {"a": {"pattern": "("}}}),
        json!({"$schema": "https://schemas.invalid/mine"}),
    ] {
        assert!(checked(&schema, json!({"a": 1})).is_ok(), "{schema}");
    }
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"not": {"$ref": "#"}}),
        json!({"properties": {"a": {"$ref": "#"}}}),
    ] {
        // Whatever comes of it, something does.
        let _ = checked(&schema, json!({"a": {"a": {}}}));
    }
}

#[test]
fn lists_are_bounded_and_names_are_unique() {
    let mut listed = Listed::default();
    listed.add_raw(&mut json!({"name": "a", "description": "ä".repeat(5000), "inputSchema": 5}));
    listed.add_raw(&mut json!({"name": "a", "description": "second"}));
    listed.add_raw(&mut json!({"description": "no name"}));
    listed.add_raw(&mut json!("nothing"));
    for number in 0..2000 {
        listed.add(&number.to_string(), "", Map::new(), false);
    }
    assert!(listed.is_full());
    let tools = listed.into_tools();
    assert_eq!((tools.len(), tools[0].description.chars().count()), (MAX_TOOLS, MAX_DESCRIPTION));
    let catalog = Catalog::new(tools);
    assert_eq!((catalog.find("a"), catalog.find("998"), catalog.find("999")), (Some(0), Some(999), None));
}
