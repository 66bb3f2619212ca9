use super::{ICON, PAGE, file};
use crate::http::extract::ApiPath;
use axum::http::StatusCode;

const SCRIPT: &str = include_str!("pawport.js");
const STYLE: &str = include_str!("pawport.css");

/// What stands between `before` and the next `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

/// The tags of the page, without its comments and texts.
fn tags() -> Vec<&'static str> {
    between(PAGE, "<", ">").filter(|tag| !tag.starts_with(['!', '/'])).collect()
}

#[tokio::test]
async fn the_page_needs_only_files_that_are_served() {
    let named = |name| between(PAGE, name, "\"");
    let needed: Vec<&str> = named(" src=\"").chain(named(" href=\"")).filter(|it| !it.starts_with("/api/")).collect();
    assert!(needed.len() >= 3, "{needed:?}");
    for address in needed {
        let name = address.strip_prefix("/static/").unwrap_or_else(|| panic!("{address} is not one of our files"));
        assert_eq!(file(ApiPath(name.to_owned())).await.status(), StatusCode::OK, "{address}");
    }
}

/// The Content-Security-Policy forbids it, so it would do nothing but fail.
#[test]
fn nothing_is_inline() {
    for tag in tags() {
        let name = tag.split_whitespace().next().unwrap_or_default();
        assert_ne!(name, "style");
        assert!(name != "script" || tag.contains(" src=\""), "<{tag}>");
        assert!(!tag.contains(" style="), "<{tag}>");
        assert!(!tag.split_whitespace().any(|part| part.starts_with("on") && part.contains('=')), "<{tag}>");
    }
    assert!(!ICON.contains("<style") && !ICON.contains(" style="));
}

#[test]
fn nothing_is_from_elsewhere() {
    let icon = ICON.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for text in [PAGE, SCRIPT, STYLE, &icon] {
        assert!(!text.contains("//www.") && !text.contains("http:") && !text.contains("https:"));
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

/// What comes from clients, such as the names of devices, is text and never markup.
#[test]
fn the_script_writes_text_only() {
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!SCRIPT.contains(way), "{way}");
    }
}

#[test]
fn the_script_finds_what_it_looks_for() {
    let ids: Vec<&str> = between(SCRIPT, "at(\"", "\")").collect();
    assert!(ids.len() > 20);
    for id in ids {
        assert!(tags().iter().any(|tag| tag.contains(&format!(" id=\"{id}\""))), "{id}");
    }
}

/// Whatever is asked for before the code is out of the address could tell it to somebody.
#[test]
fn the_code_leaves_the_address_first() {
    let place = |what: &str| PAGE.find(what).unwrap_or_else(|| panic!("{what} is not there"));
    let script = place("<script src=\"/static/pawport.js\"></script>");
    assert!(place("content=\"no-referrer\"") < script);
    assert!(script < place("<link"));
    assert!(script < place("<body"));
}
