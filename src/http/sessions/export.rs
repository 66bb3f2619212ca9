//! A session as a file, written page by page, so that a long one is never in memory as a whole.

use super::view::MessageView;
use crate::domain::session::Message;
use crate::domain::session::SessionId;
use crate::domain::session::export::{ExportFormat, ExportHead, message_to_markdown};
use crate::domain::session::service::Sessions;
use crate::http::error::ApiError;
use crate::http::time::{minute, rfc3339};
use crate::ports::store::StoreError;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// The JSON form, for its description: it is written piece by piece.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub struct ExportView {
    /// The version of this form.
    #[schema(example = "1.0")]
    export_version: String,
    /// When the export was made.
    #[schema(format = DateTime)]
    exported_at: String,
    /// The session.
    session_id: String,
    /// How many messages follow.
    message_count: u64,
    /// The messages, oldest first.
    messages: Vec<MessageView>,
}

/// Where the writing is.
enum Progress {
    Beginning,
    /// The number of the last message written.
    After(u64),
    Done,
}

/// Answers with the session as a file.
pub async fn export(sessions: Arc<Sessions>, id: &str, format: Option<&str>) -> Result<Response, ApiError> {
    let format = ExportFormat::parse(format.unwrap_or("json"));
    let format = format.ok_or_else(|| ApiError::bad_request("Format must be 'json' or 'md'"))?;
    let unknown = || ApiError::not_found(format!("Session not found: {id}"));
    let id = SessionId::parse(id).map_err(|_| unknown())?;
    let head = sessions.export(&id).await?.ok_or_else(unknown)?;

    let content_type = match format {
        ExportFormat::Json => "application/json",
        ExportFormat::Markdown => "text/markdown; charset=utf-8",
    };
    let disposition = format!("attachment; filename=\"{}\"", head.file_name(format));
    let pieces = stream::try_unfold(Progress::Beginning, move |progress| {
        let (sessions, head) = (Arc::clone(&sessions), head.clone());
        async move { next_piece(&sessions, &head, format, progress).await }
    });
    let headers = [(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

async fn next_piece(
    sessions: &Sessions,
    head: &ExportHead,
    format: ExportFormat,
    progress: Progress,
) -> Result<Option<(Bytes, Progress)>, StoreError> {
    let after = match progress {
        Progress::Beginning => return Ok(Some((beginning(head, format), Progress::After(0)))),
        Progress::After(number) => number,
        Progress::Done => return Ok(None),
    };
    // The answer has begun and can only be cut off; the log says why.
    let page = sessions.export_page(head, after).await.inspect_err(|error| {
        tracing::error!(session = %head.id, error = error as &dyn std::error::Error, "an export was cut off");
    })?;
    let Some(last) = page.last().map(|message| message.number) else {
        return Ok(Some((Bytes::from_static(end(format)), Progress::Done)));
    };
    let mut piece = String::new();
    for message in page {
        match format {
            ExportFormat::Json => piece.push_str(&message_to_json(message)),
            ExportFormat::Markdown => piece.push_str(&message_to_markdown(&message, minute)),
        }
    }
    Ok(Some((piece.into(), Progress::After(last))))
}

fn beginning(head: &ExportHead, format: ExportFormat) -> Bytes {
    match format {
        ExportFormat::Json => format!(
            r#"{{"export_version":"1.0","exported_at":{},"session_id":{},"message_count":{},"messages":["#,
            json!(rfc3339(head.at)),
            json!(head.id.as_str()),
            head.message_count
        )
        .into(),
        ExportFormat::Markdown => head.to_markdown(minute).into(),
    }
}

fn message_to_json(message: Message) -> String {
    let separator = if message.number > 1 { "," } else { "" };
    let json = serde_json::to_string(&MessageView::from(message)).unwrap_or_else(|_| "null".to_owned());
    format!("{separator}{json}")
}

fn end(format: ExportFormat) -> &'static [u8] {
    match format {
        ExportFormat::Json => b"]}",
        ExportFormat::Markdown => b"",
    }
}
