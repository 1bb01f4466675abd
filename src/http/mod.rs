//! HTTP: metrics, health, state, and what people want.
//!
//! Owns the routes and what they take and give. `bind` takes the address, `server` listens and bounds connections, `gate` knows who may come in,
//! `guard` is what every request passes, `login` lets people in and out, `tls` encrypts. Reads what others keep; the
//! engine's thread never waits for a client. Beside `plc` the only place with `tokio`.

mod actions;
mod aside;
mod calibration;
mod evidence;
mod gate;
mod guard;
mod live;
mod login;
mod openapi;
mod page;
mod server;
mod state;
pub mod tls;

use std::{
    io,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::actions::{Choosing, Chosen, Line, NotChosen, Offered};
use self::aside::aside;

use self::guard::{at_least, lives_long, read_first};
pub use self::{
    gate::{Gate, Way},
    server::Server,
};
use crate::{
    access::{Role, TakeNote, Who},
    calibration::desk::Desk,
    clock::Clock,
    fault::Class,
    ledger::Account,
    live::Live,
    mqtt,
    production::Production,
    state::{Board, Event, Mode},
    telemetry::{Judging, Telemetry},
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
    /// What the page sees; `None` where nothing is kept for one.
    pub live: Option<Arc<Live>>,
    /// Who may come in, and by which name.
    pub gate: Arc<Gate>,
    /// The archive's folder; `None` where no pictures are kept.
    pub archive: Option<Arc<Path>>,
    /// How sending to a broker goes; `None` without one.
    pub mqtt: Option<Arc<mqtt::Tally>>,
    /// Takes what people did into the audit trail.
    pub note: Arc<TakeNote>,
    /// What judges.
    pub judging: Arc<Mutex<Judging>>,
    /// Which recipes hold, and who changes them.
    pub recipes: Arc<dyn Choosing>,
    /// The shift's figures and the false rejects.
    pub production: Arc<Production>,
}

/// What people may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the golden frames.
    Golden,
    /// Load the model and the judge's settings anew.
    Reload,
}

/// Serves on a thread of its own whoever comes to that address.
pub fn start(listener: TcpListener, served: Served) -> io::Result<Server> {
    let gate = Arc::clone(&served.gate);
    let (state, refusals) = (live::tell_state(served.clone()), guard::tell_bursts(served.clone()));
    let beside = async {
        tokio::join!(state, refusals);
    };
    Server::serve(listener, gate, routes(served), beside)
}

fn routes(served: Served) -> Router {
    let news = live::news(&served);
    let (routes, document) = documented().split_for_parts();
    routes
        .merge(page::routes())
        .layer(Extension(openapi::Document::of(&document)))
        .layer(Extension(news))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(served.clone(), guard::guard))
        .with_state(served)
}

/// Every route with its documentation: `routes!` takes both from the handler, so that neither is without the other.
fn documented() -> OpenApiRouter<Served> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(health))
        .routes(routes!(ready))
        .merge(read_first(login::routes()))
        .merge(at_least(Role::Viewer, looking()))
        .merge(at_least(Role::Viewer, lives_long(live::watching())))
        .merge(at_least(Role::Operator, running()))
        .merge(at_least(Role::Engineer, changing()))
}

/// Routes for those who look.
fn looking() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(state::state))
        .routes(routes!(openapi::openapi))
        .merge(actions::looking())
        .merge(calibration::looking())
        .merge(live::looking())
        .merge(evidence::looking())
}

/// Routes for those who run the line.
fn running() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(mode)).routes(routes!(golden)).merge(actions::running())
}

/// Routes for those who change what verdicts rest on.
fn changing() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(reload)).merge(calibration::changing())
}

/// What is measured, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "looking",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
async fn metrics(State(served): State<Served>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.telemetry.text()).into_response()
}

/// Whether the process does its work; a service manager or an orchestrator restarts one that does not.
#[utoipa::path(
    get, path = "/healthz", tag = "machines",
    responses(
        (status = 200, body = String, description = "The engine's thread comes round"),
        (status = 503, body = String, description = "For how long it has not"),
    )
)]
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
#[utoipa::path(
    get, path = "/readyz", tag = "machines",
    responses(
        (status = 200, body = String, description = "The state and what is wrong"),
        (status = 503, body = String, description = "The same; nothing is judged"),
    )
)]
async fn ready(State(served): State<Served>) -> (StatusCode, String) {
    let condition = served.board.condition();
    let is_judging = condition.state().is_judging();
    let status = if is_judging { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{condition}\n"))
}

/// What people want.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    /// `run`, `pause` or `maintenance`.
    mode: String,
}

/// The line runs, pauses, or is worked at.
///
/// JSON alone is taken: a browser asks before it sends that to another site, and is refused.
#[utoipa::path(
    post, path = "/api/v1/mode", tag = "running", request_body = ModeBody,
    responses(
        (status = 200, body = String, description = "The state and what is wrong"),
        (status = 422, body = String, description = "No such mode"),
    )
)]
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

/// The golden frames are run once more, between frames.
#[utoipa::path(
    post, path = "/api/v1/golden", tag = "running", request_body = Nothing,
    responses((status = 202), (status = 503, description = "Nobody is there to do it"))
)]
async fn golden(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(Nothing {}): Json<Nothing>,
) -> StatusCode {
    asked(&served, &who, Action::Golden)
}

/// Model, calibration and the judge's settings are read anew.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "changing", request_body = Nothing,
    responses((status = 202), (status = 503, description = "Nobody is there to do it"))
)]
async fn reload(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Json(Nothing {}): Json<Nothing>,
) -> StatusCode {
    asked(&served, &who, Action::Reload)
}

/// An empty object: its content type is what a browser asks about before it sends one elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Asks for it; what comes of it is an event of its own.
fn asked(served: &Served, who: &Who, action: Action) -> StatusCode {
    if !(served.act)(action) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let kind = match action {
        Action::Golden => "golden-asked",
        Action::Reload => "reload-asked",
    };
    (served.note)(&who.name, kind, "station", "asked for".into());
    StatusCode::ACCEPTED
}

/// Whose fault it is: the client's, or the machine's.
fn status_of(class: Class) -> StatusCode {
    match class {
        Class::Usage | Class::Configuration | Class::Model | Class::Data | Class::Rejected => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Class::Output
        | Class::Engine
        | Class::Gpu
        | Class::Machine
        | Class::Camera
        | Class::Address
        | Class::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A moment for people and for JavaScript; what lies beyond the year 9999 is its end.
fn rfc3339(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(SystemTime::UNIX_EPOCH, latest)).to_string()
}
