//! What may wait for a disk, for the engine's thread or for a hash: beside the thread `http`, one at a time.
//!
//! Owns how much may wait for its turn, and what a client hears where there is no place. What has begun goes on to its
//! end whatever becomes of the client, so that whatever belongs together is one piece of work. Knows no routes.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::Semaphore;

/// What waits for its turn and what is being done: some people at once.
static PLACES: Semaphore = Semaphore::const_new(16);

/// Does it on the thread `http-aside`; a refusal is its answer.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let Ok(place) = PLACES.try_acquire() else { return Err(no_place()) };
    let done = tokio::task::spawn_blocking(move || {
        let _until_it_is_done = place;
        work()
    });
    done.await.map_err(|_panicked| {
        let text = "it panicked; please report it\n";
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    })
}

/// There is too much to do.
pub(super) fn no_place() -> Response {
    let later = [(header::RETRY_AFTER, "1")];
    let text = "too much is asked for at this moment; try again\n";
    (StatusCode::SERVICE_UNAVAILABLE, later, text).into_response()
}
