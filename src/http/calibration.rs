//! The routes that calibrate a running line.
//!
//! Owns what they take and which status a refusal has; what is done is `calibration::desk`. Whatever may wait for a disk
//! runs beside the thread `http`, one at a time.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bundle::calibration_file::Put;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Action, Nothing, Served, aside, status_of};
use crate::{
    access::Who,
    calibration::{
        desk::{Desk, Order, Partial, Refused, Status},
        site::Written,
    },
};

/// What looks.
pub(super) fn looking() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(picture))
}

/// What changes something.
pub(super) fn changing() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(exclude))
        .routes(routes!(finish))
        .routes(routes!(cancel))
}

/// What is to be collected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    /// At which camera.
    camera: String,
    /// Which product.
    product: String,
    /// How many good parts; what the configured rate needs by default.
    count: Option<usize>,
    /// One frame of so many; 1 by default.
    every: Option<u64>,
    /// Adds to the product's frames in the file.
    append: Option<bool>,
}

/// Which frames are no good parts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExcludeBody {
    /// Exactly these, by their numbers; a later list takes the place of an earlier one.
    frames: Vec<usize>,
}

/// How to end it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FinishBody {
    /// Even before all are collected.
    partial: Option<bool>,
}

/// What was written.
#[derive(Serialize, ToSchema)]
struct FinishedBody {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    written: Written,
    /// Whether somebody is there to load it.
    is_reloading: bool,
}

/// Does something at the desk, away from this thread; a refusal becomes its status and one line.
async fn at<T: Send + 'static>(
    served: &Served,
    wish: impl FnOnce(&Desk) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Response> {
    let Some(desk) = served.calibration.clone() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "nothing calibrates here\n").into_response());
    };
    aside(move || wish(&desk)).await?.map_err(|refused| {
        let (status, line) = match refused {
            Refused::Conflict(line) => (StatusCode::CONFLICT, line),
            Refused::Fault(fault) => (status_of(fault.class), fault.to_string()),
        };
        (status, format!("{line}\n")).into_response()
    })
}

/// How the collection stands.
#[utoipa::path(
    get, path = "/api/v1/calibration", tag = "looking",
    responses(
        (status = 200, body = Object),
        (status = 503, description = "Nothing calibrates here"),
    )
)]
async fn status(State(served): State<Served>) -> Result<Json<Status>, Response> {
    at(&served, |desk| Ok(desk.status())).await.map(Json)
}

/// Good parts of a product are collected while the line runs.
#[utoipa::path(
    post, path = "/api/v1/calibration", tag = "changing", request_body = BeginBody,
    responses(
        (status = 202, body = Object),
        (status = 409, description = "It is not the time for it"),
        (status = 422, description = "It cannot be done, and nothing has changed"),
    )
)]
async fn begin(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<BeginBody>,
) -> Result<(StatusCode, Json<Status>), Response> {
    let BeginBody { camera, product, count, every, append } = body;
    let how = if append == Some(true) { Put::Add } else { Put::Replace };
    let order = Order { camera, product, count, every: every.unwrap_or(1), how };
    let status = at(&served, move |desk| desk.begin(&order, &who.name)).await?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// A frame beside its heat map.
#[utoipa::path(
    get, path = "/api/v1/calibration/pictures/{collection}/{id}", tag = "looking",
    params(
        ("collection" = u64, Path, description = "The number of the collection"),
        ("id" = usize, Path, description = "The frame's number in it"),
    ),
    responses(
        (status = 200, content_type = "image/png"),
        (status = 404, description = "No picture of that frame is kept"),
    )
)]
async fn picture(
    State(served): State<Served>,
    Path((collection, id)): Path<(u64, usize)>,
) -> Response {
    match at(&served, move |desk| Ok(desk.picture(collection, id))).await {
        Ok(Some(png)) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "no picture of that frame is kept\n").into_response(),
        Err(refused) => refused,
    }
}

/// These frames are no good parts.
#[utoipa::path(
    post, path = "/api/v1/calibration/exclude", tag = "changing", request_body = ExcludeBody,
    responses(
        (status = 200, body = Object),
        (status = 409, description = "It is not the time for it"),
        (status = 422, description = "It cannot be done, and nothing has changed"),
    )
)]
async fn exclude(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<ExcludeBody>,
) -> Result<Json<Status>, Response> {
    at(&served, move |desk| desk.exclude(&body.frames, &who.name)).await.map(Json)
}

/// The calibration is written, and judged by from the next frame on.
#[utoipa::path(
    post, path = "/api/v1/calibration/finish", tag = "changing", request_body = FinishBody,
    responses(
        (status = 200, body = FinishedBody),
        (status = 409, description = "It is not the time for it"),
        (status = 422, description = "It cannot be done, and nothing has changed"),
    )
)]
async fn finish(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<FinishBody>,
) -> Result<Json<FinishedBody>, Response> {
    let partial = if body.partial == Some(true) { Partial::Keep } else { Partial::Refuse };
    let act = Arc::clone(&served.act);
    // One piece of work: what is written is loaded, even where nobody waits for the answer any more.
    let finished = at(&served, move |desk| {
        let written = desk.finish(partial, &who.name)?;
        Ok(FinishedBody { written, is_reloading: act(Action::Reload) })
    });
    finished.await.map(Json)
}

/// Nothing is written.
#[utoipa::path(
    post, path = "/api/v1/calibration/cancel", tag = "changing", request_body = Nothing,
    responses(
        (status = 200, body = Object),
        (status = 409, description = "It is not the time for it"),
        (status = 422, description = "It cannot be done, and nothing has changed"),
    )
)]
async fn cancel(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(Nothing {}): Json<Nothing>,
) -> Result<Json<Status>, Response> {
    at(&served, move |desk| desk.cancel(&who.name)).await.map(Json)
}
