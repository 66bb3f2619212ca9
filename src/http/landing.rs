//! The page at `/`: where a person who opens the address in a browser, or scans a code, is let in and learns what this is.
//!
//! The page holds no data. Its script redeems the code of a scanned address, and asks the API for everything else.

use super::client::Policy;
use super::extract::{ApiPath, Parameters};
use super::not_found;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::sync::Arc;

const PAGE: &str = include_str!("landing/page.html");

/// The page. Browsers keep no copy: the address that it is asked for with may have a code in it. Where tokens in queries
/// are off, such an address is the same as one without: the script never sees it.
pub async fn page(State(policy): State<Arc<Policy>>, parameters: Parameters) -> Response {
    if !policy.url_tokens && parameters.text("token").is_some() {
        return Redirect::to("/").into_response();
    }
    ([(header::CACHE_CONTROL, "no-store")], Html(PAGE)).into_response()
}

/// What the page needs.
pub async fn file(ApiPath(name): ApiPath) -> Response {
    let (kind, content) = match name.as_str() {
        "close.js" => ("text/javascript", include_str!("landing/close.js")),
        "consent.js" => ("text/javascript", include_str!("landing/consent.js")),
        "pawport.css" => ("text/css", include_str!("landing/pawport.css")),
        "pawport.js" => ("text/javascript", include_str!("landing/pawport.js")),
        "pawport.svg" => ("image/svg+xml", ICON),
        _ => return not_found().into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

/// A page that says something to whoever comes from elsewhere, and closes itself if it says that all is well. `text` may be
/// anybody's.
pub fn note(status: StatusCode, title: &str, text: &str) -> Response {
    let script = if status.is_success() { r#"<script src="/static/close.js" defer></script>"# } else { "" };
    let page = include_str!("landing/note.html").replace("{script}", script);
    // The text last, so that nothing in it is taken for a place to fill.
    let page = page.replace("{title}", &escaped(title)).replace("{text}", &escaped(text));
    (status, [(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

/// A text as it stands in HTML, and in SVG.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

const ICON: &str = include_str!("landing/pawport.svg");

/// The picture that browsers ask for by themselves.
pub async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

#[cfg(test)]
mod tests;
