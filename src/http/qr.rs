//! Pairing: a code for the camera of a phone.

use super::client::Policy;
use super::error::{ApiError, Errors};
use super::{AppState, PublicUrl};
use crate::domain::auth::pairing::LIFETIME;
use crate::domain::auth::service::Proven;
use crate::domain::auth::service::logins::Logins;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use qrcode::{Color, EcLevel, QrCode};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The side of a square of the picture, in pixels.
const MODULE: usize = 8;

/// The white border that readers want, in squares (ISO/IEC 18004 §9.1).
const QUIET_ZONE: usize = 4;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show_qr_code))
}

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create_pairing))
}

/// A picture for a phone to scan: the address of this server with a code in it that is good once, for 60 seconds.
///
/// Whoever opens the address is logged in, with at most the rights of the one who asked for the picture.
#[utoipa::path(
    get, path = "/qr", tag = "auth",
    responses((status = 200, content_type = "image/png", body = Vec<u8>), Errors)
)]
async fn show_qr_code(
    State(logins): State<Arc<Logins>>,
    State(policy): State<Arc<Policy>>,
    State(public_url): State<PublicUrl>,
    maker: Proven,
) -> Result<Response, ApiError> {
    let address = pair(&logins, &policy, &public_url, &maker).await?;
    let picture = picture(&address).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], picture).into_response())
}

/// An address to open on the device that is to be let in.
#[derive(Serialize, ToSchema)]
struct PairingView {
    /// The address, with a code in it that is good once.
    #[schema(example = "https://paw.example.org/?token=ppair_…")]
    url: String,
    /// How long the code can be redeemed, in seconds.
    #[schema(example = 60)]
    expires_in: u64,
}

/// The same as the picture, as text.
#[utoipa::path(post, path = "/auth/pairing", tag = "auth", responses((status = 200, body = PairingView), Errors))]
async fn create_pairing(
    State(logins): State<Arc<Logins>>,
    State(policy): State<Arc<Policy>>,
    State(public_url): State<PublicUrl>,
    maker: Proven,
) -> Result<Json<PairingView>, ApiError> {
    let url = pair(&logins, &policy, &public_url, &maker).await?;
    Ok(Json(PairingView { url, expires_in: LIFETIME.as_secs() }))
}

/// An address with a fresh code in it: that of the tunnel while it is up. Where tokens in queries are off, the code is in
/// the fragment, which browsers keep to themselves; the page reads both.
async fn pair(logins: &Logins, policy: &Policy, public_url: &PublicUrl, maker: &Proven) -> Result<String, ApiError> {
    let code = logins.pair(maker).await?;
    let place = if policy.url_tokens { '?' } else { '#' };
    // A phone that is elsewhere reaches nothing else.
    let entrance = policy.exposure.entrance();
    let origin = entrance.as_ref().map_or(&*public_url.0, |entrance| entrance.url.as_str());
    Ok(format!("{origin}/{place}token={}", code.expose()))
}

/// Why there is no picture: never for an address of sane length.
#[derive(Debug, thiserror::Error)]
enum NoPicture {
    #[error("the address does not fit into a QR code")]
    Code(#[from] qrcode::types::QrError),
    #[error("the picture cannot be written")]
    Png(#[from] png::EncodingError),
}

/// A black and white PNG, one bit a pixel.
fn picture(text: &str) -> Result<Vec<u8>, NoPicture> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    let modules = code.width() + 2 * QUIET_ZONE;
    let side = modules * MODULE;
    let colors = code.to_colors();
    let is_light = |row: usize, column: usize| {
        let inside = QUIET_ZONE..QUIET_ZONE + code.width();
        let is_inside = inside.contains(&row) && inside.contains(&column);
        !is_inside || colors[(row - QUIET_ZONE) * code.width() + column - QUIET_ZONE] == Color::Light
    };
    // A square is eight pixels wide, and a byte holds eight pixels.
    let lines = (0..modules)
        .map(|row| (0..modules).map(|column| if is_light(row, column) { 0xff } else { 0x00 }).collect::<Vec<u8>>());
    let pixels: Vec<u8> = lines.flat_map(|line| line.repeat(MODULE)).collect();
    let mut file = Vec::new();
    #[expect(clippy::cast_possible_truncation, reason = "the largest code has 177 squares a side")]
    let mut encoder = png::Encoder::new(&mut file, side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}
