//! The live channel, and what it leaves out: the last rejects with their pictures, and the trend.
//!
//! Owns the routes and how events reach a socket. What they hold is made once by `live`; each client takes the next one
//! when its socket has room, so that nobody waits for a client, nor a client for another.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Served,
    actions::{self, ShiftBody},
    server,
    state::{self, StateBody},
};
use crate::{
    frame::{CameraId, FrameId},
    live::{self, Guest, Of, Row},
};

/// How soon a browser comes back after the connection was lost, or had lived for as long as it may.
const RETRY_MILLIS: u16 = 1_000;
/// The state is told at least so often: its counters move, and a proxy sees that the connection lives.
const STATE_EVERY: Duration = Duration::from_secs(1);
/// And within this after it has changed.
const STATE_WITHIN: Duration = Duration::from_millis(200);
/// A stream ends by itself before its connection is ended, which a browser would take for a failure; then it comes back.
const STREAM_FOR: Duration = server::LIVE_WITHIN.saturating_sub(Duration::from_mins(1));
/// What the kernel keeps of one client's stream: a picture and a half. By itself it would keep megabytes, and a slow
/// client would see what was seconds ago.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Wakes the clients when there is something new.
#[derive(Clone)]
pub(super) struct News(watch::Receiver<u64>);

/// Routes for those who look.
pub(super) fn looking() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(rejects))
        .routes(routes!(frame))
        .routes(routes!(heat))
        .routes(routes!(trend))
}

/// Routes for those who look, whose answers go on for as long as they do.
pub(super) fn watching() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(live))
}

/// What the live channel tells of the state.
#[derive(Serialize)]
struct StateEvent {
    #[serde(flatten)]
    state: StateBody,
    shift: ShiftBody,
}

fn state_json(served: &Served) -> String {
    let event = StateEvent { state: state::body(served), shift: actions::shift_body(served) };
    // Texts and numbers always have a JSON form.
    serde_json::to_string(&event).unwrap_or_default()
}

/// Hangs the bell that wakes clients.
pub(super) fn news(served: &Served) -> News {
    let (bell, news) = watch::channel(0_u64);
    if let Some(live) = &served.live {
        live.hang(Box::new(move || bell.send_modify(|rung| *rung = rung.wrapping_add(1))));
    }
    News(news)
}

/// Keeps a connection's stream short in the kernel, and sends what there is.
pub(super) fn prepare(stream: &tokio::net::TcpStream) {
    // Without either it works, later.
    let _set = stream.set_nodelay(true);
    let _set = rustix::net::sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES);
}

/// Tells whoever watches how the station is, as long as the server runs.
#[expect(clippy::infinite_loop, reason = "it ends with the runtime that it runs in")]
pub(super) async fn tell_state(served: Served) {
    let Some(live) = served.live.clone() else { return };
    let mut looks = tokio::time::interval(STATE_WITHIN);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        looks.tick().await;
        if !live.is_watched() {
            continue;
        }
        let (now, condition) = (served.clock.monotonic(), served.board.condition());
        let is_known = last.as_ref().is_some_and(|(told, known)| {
            now.saturating_sub(*told) < STATE_EVERY && *known == condition
        });
        if !is_known {
            live.tell_state(&state_json(&served));
            last = Some((now, condition));
        }
    }
}

/// The answer where nothing is kept for a page.
fn nothing() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "nothing is shown here\n").into_response()
}

/// What a client holds between two of its events.
struct Watching {
    guest: Guest,
    news: watch::Receiver<u64>,
    /// What it gets first, whatever the others have seen.
    first: Option<Bytes>,
    ends: tokio::time::Instant,
}

/// What happens, as Server-Sent Events: `state`, `picture`, `points` and `reject` (docs/http.md).
#[utoipa::path(
    get, path = "/api/v1/live", tag = "looking",
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 503, description = "Nothing is kept for a page"))
)]
async fn live(State(served): State<Served>, Extension(News(news)): Extension<News>) -> Response {
    let Some(live) = &served.live else { return nothing() };
    let guest = live.enter();
    let mut first = format!("retry: {RETRY_MILLIS}\n\n").into_bytes();
    first.extend(live::event("state", &state_json(&served)));
    let ends = tokio::time::Instant::now() + STREAM_FOR;
    let watching = Watching { guest, news, first: Some(first.into()), ends };
    let events = futures_util::stream::unfold(watching, |mut watching| async move {
        let event = next(&mut watching).await?;
        Some((Ok::<_, Infallible>(event), watching))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(events)).into_response()
}

/// The next event, as soon as there is one; `None` when there will be none any more.
async fn next(watching: &mut Watching) -> Option<Bytes> {
    if let Some(first) = watching.first.take() {
        return Some(first);
    }
    while tokio::time::Instant::now() < watching.ends {
        // What rings from here on is not slept through.
        watching.news.mark_unchanged();
        if let Some(event) = watching.guest.next_event() {
            return Some(event);
        }
        tokio::time::timeout_at(watching.ends, watching.news.changed()).await.ok()?.ok()?;
    }
    None
}

/// The last 50 rejects, the newest first.
#[utoipa::path(
    get, path = "/api/v1/rejects", tag = "looking",
    responses((status = 200, body = Vec<Row>), (status = 503, description = "Nothing is kept for a page"))
)]
async fn rejects(State(served): State<Served>) -> Result<Json<Vec<Row>>, Response> {
    served.live.as_ref().map(|live| Json(live.rejects())).ok_or_else(nothing)
}

/// A reject's picture, made smaller.
#[utoipa::path(
    get, path = "/api/v1/rejects/{camera}/{epoch}/{frame}/frame.jpg", tag = "looking",
    params(
        ("camera" = String, Path, description = "The camera's name"),
        ("epoch" = u64, Path, description = "The numbering"),
        ("frame" = u64, Path, description = "The frame's number"),
    ),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), (status = 404, description = "None is kept"), (status = 503, description = "Nothing is kept for a page"))
)]
async fn frame(State(served): State<Served>, Path(path): Path<(String, u64, u64)>) -> Response {
    picture(&served, path, Of::Frame, "image/jpeg")
}

/// Its heat: grey, 128 at the threshold.
#[utoipa::path(
    get, path = "/api/v1/rejects/{camera}/{epoch}/{frame}/heat.png", tag = "looking",
    params(
        ("camera" = String, Path, description = "The camera's name"),
        ("epoch" = u64, Path, description = "The numbering"),
        ("frame" = u64, Path, description = "The frame's number"),
    ),
    responses((status = 200, content_type = "image/png", body = Vec<u8>), (status = 404, description = "None is kept"), (status = 503, description = "Nothing is kept for a page"))
)]
async fn heat(State(served): State<Served>, Path(path): Path<(String, u64, u64)>) -> Response {
    picture(&served, path, Of::Heat, "image/png")
}

fn picture(served: &Served, path: (String, u64, u64), of: Of, kind: &'static str) -> Response {
    let Some(live) = &served.live else { return nothing() };
    let (camera, epoch, number) = path;
    let frame = FrameId { camera: CameraId(camera.into()), epoch, number };
    match live.picture(&frame, of) {
        Some(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        None => (StatusCode::NOT_FOUND, "no picture of that frame is kept\n").into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The camera's name.
    camera: String,
}

/// The last 300 scores of each product at a camera.
#[utoipa::path(
    get, path = "/api/v1/trend", tag = "looking",
    params(("camera" = String, Query, description = "The camera's name")),
    responses((status = 200, body = Object), (status = 404, description = "There is no such camera"), (status = 503, description = "Nothing is kept for a page"))
)]
async fn trend(State(served): State<Served>, Query(wanted): Query<Wanted>) -> Response {
    let Some(live) = &served.live else { return nothing() };
    match live.trend(&wanted.camera) {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such camera\n").into_response(),
    }
}
