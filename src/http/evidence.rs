//! Pictures of judged frames, out of the archive.
//!
//! Owns the route. A client names a camera, an epoch, a frame and one of the archive's own files; each is parsed by the
//! archive's naming rule, and what is not exactly such a name is not found. The path is made of what was parsed.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Served,
    aside::{aside, no_place},
};
use crate::archive::{names, store};

/// Files that are held for clients at a time: at full resolution each may have some megabytes.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(8)));
/// What is given to a connection at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Routes for those who look.
pub(super) fn looking() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(picture))
}

/// A judged frame's picture at full resolution, its heat, or its mask.
#[utoipa::path(
    get, path = "/api/v1/evidence/{camera}/{epoch}/{frame}/{file}", tag = "looking",
    params(
        ("camera" = String, Path, description = "The camera's name"),
        ("epoch" = u64, Path, description = "The numbering"),
        ("frame" = u64, Path, description = "The frame's number"),
        ("file" = String, Path, description = "`frame.jpg`, `heat.png`, `mask.png` or `verdict.json`"),
    ),
    responses(
        (status = 200, content_type = "image/jpeg", body = Vec<u8>),
        (status = 404, description = "There are no such pictures"),
        (status = 503, description = "Too many are asked for at once"),
    )
)]
async fn picture(
    State(served): State<Served>,
    Path([camera, epoch, frame, file]): Path<[String; 4]>,
) -> Response {
    let named = names::frame(&camera, &epoch, &frame).zip(names::File::named(&file));
    let Some((root, (id, file))) = served.archive.zip(named) else { return nothing() };
    let Ok(place) = Arc::clone(&PLACES).try_acquire_owned() else { return no_place() };
    match aside(move || store::bytes(&root, &id, file)).await {
        Ok(Ok(bytes)) => {
            let kind = [(header::CONTENT_TYPE, file.media_type())];
            let length = [(header::CONTENT_LENGTH, bytes.len())];
            (kind, length, sent(bytes.into(), place)).into_response()
        }
        Ok(Err(_)) => nothing(),
        Err(refusal) => refusal,
    }
}

/// A file piece by piece; its place is free when the last has been taken.
fn sent(bytes: Bytes, place: OwnedSemaphorePermit) -> Body {
    let pieces = futures_util::stream::unfold((bytes, place), |(mut left, place)| async {
        let piece = left.split_to(left.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (left, place)))
    });
    Body::from_stream(pieces)
}

/// Whatever is wrong with the name or the file: nobody learns what else there is.
fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there are no such pictures\n").into_response()
}
