//! The cookie that keeps a browser logged in.

use axum::http::{HeaderMap, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, SameSite};
use std::time::Duration;

/// The name that clients know.
pub const NAME: &str = "pocketpaw_session";

/// The tokens in cookies of that name. There may be several: one that was set for another path, or by another host of the
/// same domain.
pub fn session_tokens(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(Cookie::split_parse).flatten();
    cookies.filter(|cookie| cookie.name() == NAME).map(|cookie| cookie.value().to_owned()).collect()
}

/// Makes a browser send `token` with every request for as long as that is good. Scripts cannot read it, other sites cannot
/// use it but for following a link.
pub fn keep(token: &str, lasts: Duration, https: bool) -> HeaderValue {
    write(token.to_owned(), lasts, https)
}

/// Makes a browser forget it.
pub fn forget(https: bool) -> HeaderValue {
    write(String::new(), Duration::ZERO, https)
}

#[expect(clippy::expect_used, reason = "a token is hexadecimal digits and a colon")]
fn write(value: String, lasts: Duration, https: bool) -> HeaderValue {
    let lasts = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((NAME, value))
        .http_only(true)
        .max_age(cookie_time::Duration::seconds(lasts))
        .path("/")
        .same_site(SameSite::Lax)
        .secure(https);
    cookie.build().to_string().parse().expect("printable characters")
}
