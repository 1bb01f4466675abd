//! Pictures of judged frames, out of the archive.
//!
//! Owns the route. A client names a camera, an epoch, a frame and one of the archive's own files; each is parsed by the
//! archive's naming rule, and what is not exactly such a name is not found. The path is made of what was parsed.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Served, aside};
use crate::archive::{names, store};

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
    )
)]
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
