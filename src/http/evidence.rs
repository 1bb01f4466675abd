//! Pictures of judged frames, out of the archive.
//!
//! Owns the route. A client names a camera, an epoch, a frame and one of the archive's own files; each is parsed by the
//! archive's naming rule, and what is not exactly such a name is not found. The path is made of what was parsed.

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::{Served, aside};
use crate::archive::{names, store};

/// Routes for those who look.
pub(super) fn looking() -> Router<Served> {
    Router::new().route("/api/v1/evidence/{camera}/{epoch}/{frame}/{file}", get(picture))
}

async fn picture(
    State(served): State<Served>,
    Path([camera, epoch, frame, file]): Path<[String; 4]>,
) -> Response {
    let named = names::frame(&camera, &epoch, &frame).zip(names::File::named(&file));
    let Some((root, (id, file))) = served.archive.zip(named) else { return nothing() };
    let read = aside(move || store::bytes(&root, &id, file)).await;
    match read {
        Some(Ok(bytes)) => ([(header::CONTENT_TYPE, file.media_type())], bytes).into_response(),
        Some(Err(_)) | None => nothing(),
    }
}

/// Whatever is wrong with the name or the file: nobody learns what else there is.
fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there are no such pictures\n").into_response()
}
