//! Work that outlives its request.

use super::error::ApiError;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Does work to its end although the client may go away: what is stored and what runs have to agree.
///
/// # Errors
/// 500 if the work panicked.
pub async fn to_the_end<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    // The span goes along, so that what is logged has the request's id.
    tasks.spawn(work.in_current_span()).await.map_err(ApiError::internal)
}
