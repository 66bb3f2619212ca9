//! The page at `/`: where a person who opens the address in a browser, or scans a code, is let in and learns what this is.
//!
//! The page holds no data. Its script redeems the code of a scanned address, and asks the API for everything else.

use super::client::Policy;
use super::extract::{ApiPath, Parameters};
use super::not_found;
use axum::extract::State;
use axum::http::header;
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
        "consent.js" => ("text/javascript", include_str!("landing/consent.js")),
        "pawport.css" => ("text/css", include_str!("landing/pawport.css")),
        "pawport.js" => ("text/javascript", include_str!("landing/pawport.js")),
        "pawport.svg" => ("image/svg+xml", ICON),
        _ => return not_found().into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

const ICON: &str = include_str!("landing/pawport.svg");

/// The picture that browsers ask for by themselves.
pub async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

#[cfg(test)]
mod tests;
