//! HTTP: metrics, health, state, and what people want.
//!
//! Owns the routes and what they take and give. `server` listens and bounds connections, `gate` knows who may come in,
//! `guard` is what every request passes, `login` lets people in and out, `tls` encrypts. Reads what others keep; the
//! engine's thread never waits for a client. The only place with `tokio`.

mod calibration;
mod gate;
mod guard;
mod login;
mod server;
pub mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use self::guard::{at_least, lives_long};
pub use self::{
    gate::{Gate, Way},
    server::Server,
};
use crate::{
    access::{Role, Who},
    calibration::desk::Desk,
    clock::Clock,
    ledger::{Account, Balance},
    state::{Board, Event, Mode},
    telemetry::Telemetry,
};

/// The largest body of any route.
const BODY_MAX_BYTES: usize = 16 * 1024;
/// The engine's thread comes round twice a second; a frame takes less than the rest.
const BEAT_WITHIN: Duration = Duration::from_secs(10);

/// What the routes read and post.
#[derive(Clone)]
pub struct Served {
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// How the station is; the mode is posted there.
    pub board: Arc<Board>,
    /// Every camera's account.
    pub accounts: Vec<Arc<Account>>,
    /// For the age of the engine's beat.
    pub clock: Arc<dyn Clock>,
    /// Does what people ask for beside the mode; `false` when nobody is there to do it.
    pub act: Arc<dyn Fn(Action) -> bool + Send + Sync>,
    /// Where a product is calibrated; `None` where nothing is.
    pub calibration: Option<Arc<Desk>>,
    /// Who may come in, and by which name.
    pub gate: Arc<Gate>,
    /// Takes what people did into the audit trail.
    pub note: Arc<TakeNote>,
}

/// Records what somebody did: who, its kind, what it happened to, and a sentence or the old and the new value.
pub type TakeNote = dyn Fn(&str, &'static str, &str, String) + Send + Sync;

/// What people may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the golden frames.
    Golden,
    /// Load the model and the judge's settings anew.
    Reload,
}

/// Listens, and serves on a thread of its own.
pub fn start(address: SocketAddr, served: Served) -> io::Result<Server> {
    let gate = Arc::clone(&served.gate);
    Server::serve(address, gate, routes(served))
}

fn routes(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .merge(login::routes())
        .merge(at_least(Role::Viewer, looking()))
        .merge(at_least(Role::Viewer, lives_long(watching())))
        .merge(at_least(Role::Operator, running()))
        .merge(at_least(Role::Engineer, changing()))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(served.clone(), guard::guard))
        .with_state(served)
}

/// Routes for those who look.
fn looking() -> Router<Served> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/state", get(state))
        .merge(calibration::looking())
}

/// Routes for those who look, whose answers go on for as long as they do.
fn watching() -> Router<Served> {
    Router::new()
}

/// Routes for those who run the line.
fn running() -> Router<Served> {
    Router::new().route("/api/v1/mode", post(mode)).route("/api/v1/golden", post(golden))
}

/// Routes for those who change what verdicts rest on.
fn changing() -> Router<Served> {
    Router::new().route("/api/v1/reload", post(reload)).merge(calibration::changing())
}

async fn metrics(State(served): State<Served>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.telemetry.text()).into_response()
}

/// Whether the process does its work; a service manager or an orchestrator restarts one that does not.
async fn health(State(served): State<Served>) -> (StatusCode, String) {
    let silent = served.board.since_beat(served.clock.monotonic());
    if silent < BEAT_WITHIN {
        return (StatusCode::OK, "ok\n".into());
    }
    let text =
        format!("the engine's thread has not come round for {:.0} s\n", silent.as_secs_f64());
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Whether parts are judged.
async fn ready(State(served): State<Served>) -> (StatusCode, String) {
    let condition = served.board.condition();
    let is_judging = condition.state().is_judging();
    let status = if is_judging { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{condition}\n"))
}

#[derive(Serialize)]
struct StateBody {
    state: &'static str,
    mode: &'static str,
    troubles: Vec<String>,
    cameras: Vec<CameraBody>,
}

#[derive(Serialize)]
struct CameraBody {
    camera: String,
    epoch: u64,
    captured: u64,
    judged: u64,
    dropped: u64,
    faulted: u64,
    in_flight: Option<u64>,
    lost_upstream: u64,
}

async fn state(State(served): State<Served>) -> Json<StateBody> {
    let condition = served.board.condition();
    let camera = |account: &Arc<Account>| {
        let balance: Balance = account.balance();
        CameraBody {
            camera: account.camera().to_string(),
            epoch: account.epoch(),
            captured: balance.captured,
            judged: balance.judged,
            dropped: balance.dropped_total(),
            faulted: balance.faulted_total(),
            in_flight: balance.in_flight(),
            lost_upstream: balance.lost_upstream,
        }
    };
    Json(StateBody {
        state: condition.state().name(),
        mode: condition.mode.name(),
        troubles: condition.troubles.iter().map(ToString::to_string).collect(),
        cameras: served.accounts.iter().map(camera).collect(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    mode: String,
}

/// JSON alone is taken: a browser asks before it sends that to another site, and is refused.
async fn mode(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(body): Json<ModeBody>,
) -> Response {
    let Some(mode) = Mode::ALL.into_iter().find(|mode| mode.name() == body.mode) else {
        let text = "mode is \"run\", \"pause\" or \"maintenance\"\n";
        return (StatusCode::UNPROCESSABLE_ENTITY, text).into_response();
    };
    let (before, after) = served.board.post(Event::Mode(mode));
    if before.mode != after.mode {
        let detail = format!("{} to {}", before.mode.name(), after.mode.name());
        (served.note)(&who.name, "mode", "station", detail);
    }
    format!("{after}\n").into_response()
}

async fn golden(State(served): State<Served>, Json(Nothing {}): Json<Nothing>) -> StatusCode {
    asked(&served, Action::Golden)
}

async fn reload(State(served): State<Served>, Json(Nothing {}): Json<Nothing>) -> StatusCode {
    asked(&served, Action::Reload)
}

/// What may wait for a disk, on a thread of its own; `None` when it panicked.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// An empty object: its content type is what a browser asks about before it sends one elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn asked(served: &Served, action: Action) -> StatusCode {
    if (served.act)(action) { StatusCode::ACCEPTED } else { StatusCode::SERVICE_UNAVAILABLE }
}
