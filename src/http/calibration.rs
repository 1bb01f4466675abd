//! The routes that calibrate a running line.
//!
//! Owns what they take and which status a refusal has; what is done is `calibration::desk`. Whatever may wait for a disk
//! runs beside the thread `http`, one at a time.

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bundle::calibration_file::Put;
use serde::{Deserialize, Serialize};

use super::{Action, Nothing, Served, aside};
use crate::{
    access::Who,
    calibration::{
        desk::{Desk, Order, Partial, Refused, Status},
        site::Written,
    },
    fault::Class,
};

/// What looks.
pub(super) fn looking() -> Router<Served> {
    Router::new()
        .route("/api/v1/calibration", get(status))
        .route("/api/v1/calibration/pictures/{id}", get(picture))
}

/// What changes something.
pub(super) fn changing() -> Router<Served> {
    Router::new()
        .route("/api/v1/calibration", post(begin))
        .route("/api/v1/calibration/exclude", post(exclude))
        .route("/api/v1/calibration/finish", post(finish))
        .route("/api/v1/calibration/cancel", post(cancel))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    camera: String,
    product: String,
    count: Option<usize>,
    every: Option<u64>,
    append: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExcludeBody {
    frames: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishBody {
    partial: Option<bool>,
}

#[derive(Serialize)]
struct FinishedBody {
    #[serde(flatten)]
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
    let done = aside(move || wish(&desk)).await;
    let Some(done) = done else {
        let text = "it panicked; please report it\n";
        return Err((StatusCode::INTERNAL_SERVER_ERROR, text).into_response());
    };
    done.map_err(|refused| {
        let (status, line) = match refused {
            Refused::Conflict(line) => (StatusCode::CONFLICT, line),
            Refused::Fault(fault) => (status_of(fault.class), fault.to_string()),
        };
        (status, format!("{line}\n")).into_response()
    })
}

/// Whose fault it is: the client's, or the machine's.
fn status_of(class: Class) -> StatusCode {
    match class {
        Class::Usage | Class::Configuration | Class::Model | Class::Data | Class::Rejected => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Class::Output | Class::Engine | Class::Gpu | Class::Camera | Class::Bug => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

async fn status(State(served): State<Served>) -> Result<Json<Status>, Response> {
    at(&served, |desk| Ok(desk.status())).await.map(Json)
}

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

async fn picture(State(served): State<Served>, Path(id): Path<usize>) -> Response {
    match at(&served, move |desk| Ok(desk.picture(id))).await {
        Ok(Some(png)) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "no picture of that frame is kept\n").into_response(),
        Err(refused) => refused,
    }
}

async fn exclude(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<ExcludeBody>,
) -> Result<Json<Status>, Response> {
    at(&served, move |desk| desk.exclude(&body.frames, &who.name)).await.map(Json)
}

async fn finish(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<FinishBody>,
) -> Result<Json<FinishedBody>, Response> {
    let partial = if body.partial == Some(true) { Partial::Keep } else { Partial::Refuse };
    let written = at(&served, move |desk| desk.finish(partial, &who.name)).await?;
    let is_reloading = (served.act)(Action::Reload);
    Ok(Json(FinishedBody { written, is_reloading }))
}

async fn cancel(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(Nothing {}): Json<Nothing>,
) -> Result<Json<Status>, Response> {
    at(&served, move |desk| desk.cancel(&who.name)).await.map(Json)
}
