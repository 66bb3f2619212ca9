//! The page at `/`: where a person who opens the address in a browser learns what this is.

use axum::response::Html;

/// The page. It holds no data and runs no script.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("landing/page.html"))
}
