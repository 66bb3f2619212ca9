//! The description of the API: complete, unambiguous, checked in, and the same everywhere.

use crate::support::{Operation, TestApp, operations};
use pawport::http::openapi::document_json;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> Value {
    serde_json::from_str(&document_json().unwrap()).unwrap()
}

#[test]
fn the_document_that_is_checked_in_is_the_one_of_this_program() {
    assert!(
        file("docs/openapi.json").trim_end() == document_json().unwrap().trim_end(),
        "docs/openapi.json is out of date; to update it: cargo run -- openapi > docs/openapi.json"
    );
}

#[tokio::test]
async fn the_server_hands_out_the_same_document() {
    let app = TestApp::new();
    app.token_user().get("/api/v1/openapi.json").await.assert_json(200, &document());
    app.token_user().get("/api/openapi.json").await.assert_error(404, "Not Found");
}

#[test]
fn it_is_openapi_3_1() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["components"]["securitySchemes"]["bearer"], json!({ "type": "http", "scheme": "bearer" }));
    assert_eq!(document["security"], json!([{ "bearer": [] }]), "closed unless an operation says otherwise");
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let ids: BTreeSet<_> = operations().iter().map(|operation| &operation.id).collect();
    assert_eq!(ids.len(), operations().len());
}

#[test]
fn every_operation_says_what_it_does_and_where_it_belongs() {
    for operation in operations() {
        let Operation { id, description, .. } = operation;
        assert!(description["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id} has no summary");
        assert_eq!(description["tags"].as_array().map(Vec::len), Some(1), "{id} belongs to one group");
    }
}

/// The open operations that check a proof of their own.
const PROVING: [&str; 2] = ["log_in", "exchange_credential"];

fn bare(id: &str) -> &str {
    id.trim_end_matches("_v1")
}

#[test]
fn every_operation_says_its_errors() {
    for operation in operations() {
        let Operation { id, statuses, description, .. } = operation;
        let has = |wanted: &[u16]| wanted.iter().all(|status| statuses.contains(status));
        assert!(statuses.contains(&200), "{id}");
        // Whoever wants a proof says so, and every address has a name, and so a wrong name.
        assert!(has(&[400, 403]), "{id}");
        assert_eq!(statuses.contains(&401), !operation.is_open() || PROVING.contains(&bare(id)), "{id}");
        let has_parameters =
            description["parameters"].as_array().is_some_and(|all| all.iter().any(|it| it["in"] == "query"));
        if has_parameters {
            assert!(has(&[422]), "{id} takes parameters");
        }
        if description.get("requestBody").is_some() {
            assert!(has(&[400, 408, 413, 422]), "{id} takes a body");
        }
        for (status, answer) in description["responses"].as_object().unwrap() {
            let schema = &answer["content"]["application/json"]["schema"]["$ref"];
            if answer["content"]["text/html"].is_object() {
                assert_eq!((bare(id), &**status), ("finish_mcp_sign_in", if status == "200" { "200" } else { "400" }));
                continue;
            }
            // These say it in two places.
            if schema == "#/components/schemas/BothView" {
                assert!(operation.path.contains("/mcp/") && status == "404", "{id} {status}");
                continue;
            }
            match status.as_str() {
                "200" => assert!(answer["content"].is_object(), "{id} says nothing about its answer"),
                "422" => assert_eq!(schema, "#/components/schemas/ValidationBody", "{id} {status}"),
                _ => assert_eq!(schema, "#/components/schemas/ErrorBody", "{id} {status}"),
            }
        }
    }
}

/// The specification requires it: <https://spec.openapis.org/oas/v3.1.0#response-object>.
#[test]
fn every_answer_has_a_description() {
    let mut without = Vec::new();
    for Operation { id, description, .. } in operations() {
        for (status, answer) in description["responses"].as_object().unwrap() {
            if !answer["description"].is_string() {
                without.push(format!("{id} {status}"));
            }
        }
    }
    assert!(without.is_empty(), "these have no description: {without:#?}");
}

#[test]
fn closed_operations_fail_as_the_gate_and_the_storage_do() {
    for operation in operations().iter().filter(|operation| !operation.is_open()) {
        for status in [401, 403, 429, 500, 503] {
            assert!(operation.statuses.contains(&status), "{} does not document {status}", operation.id);
        }
        // What changes something is looked at only if what comes with it is JSON.
        if operation.method != "GET" {
            assert!(operation.statuses.contains(&415), "{} does not document 415", operation.id);
        }
    }
}

/// Deliveries are what senders send.
#[test]
fn deliveries_are_not_said_to_need_a_type() {
    let deliver = operations().iter().find(|operation| operation.id == "deliver").expect("the operation");
    assert!(!deliver.statuses.contains(&415), "it never answers so");
}

#[test]
fn every_parameter_in_a_path_is_described() {
    for Operation { id, path, description, .. } in operations() {
        let in_path: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(str::to_owned).collect();
        let parameters = description["parameters"].as_array().into_iter().flatten();
        let described: BTreeSet<_> = parameters
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(in_path, described, "{id}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    let is_lost = |reference: &&str| reference.strip_prefix('#').and_then(|it| document.pointer(it)).is_none();
    let lost: Vec<_> = found.into_iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "these lead nowhere: {lost:#?}");
}

/// Method and path of every row of `docs/api.md` that begins with a method in one cell and a path in the next, both in
/// backticks.
fn rows() -> BTreeSet<(String, String)> {
    let ticked = |cell: &str| cell.trim().strip_prefix('`').and_then(|it| it.strip_suffix('`')).map(str::to_owned);
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|');
        let (method, path) = (ticked(cells.next()?)?, ticked(cells.next()?)?);
        let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
        (is_method && path.starts_with('/')).then_some((method, path))
    };
    file("docs/api.md").lines().filter_map(row).collect()
}

#[test]
fn the_list_for_people_and_the_document_name_the_same_operations() {
    let documented: BTreeSet<_> = operations().iter().map(|it| (it.method.clone(), it.path.clone())).collect();
    let listed = rows();
    let missing: Vec<_> = documented.difference(&listed).collect();
    assert!(missing.is_empty(), "not in a table of docs/api.md: {missing:#?}");
    let extra: Vec<_> = listed.difference(&documented).collect();
    assert!(extra.is_empty(), "in a table of docs/api.md, but no operation: {extra:#?}");
}
