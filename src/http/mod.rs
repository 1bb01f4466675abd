//! HTTP: metrics, health, state, and the mode that people want.
//!
//! Owns the thread `http`, its routes and every limit on what a client may ask of it. Only loopback is listened on: there is
//! no login yet. Reads what others keep; the engine's thread never waits for a client. The only place with `tokio`.

mod actions;
mod calibration;
mod live;
mod openapi;
mod page;
mod state;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::actions::{Choosing, Chosen, Line, NotChosen, Offered};

use crate::{
    access::{Role, Who},
    calibration::desk::Desk,
    clock::Clock,
    fault::Class,
    ledger::Account,
    live::Live,
    production::Production,
    state::{Board, Event, Mode},
    telemetry::{Judging, Telemetry},
};

/// Connections at a time: a scraper, a balancer, some people.
const CONNECTIONS_MAX: usize = 64;
/// The largest body of any route.
const BODY_MAX_BYTES: usize = 16 * 1024;
/// The largest head: a request line and what a browser or a scraper sends with it.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// How long the head of a request may take: a client that dribbles must not hold a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long its body and its answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may live, with all its requests.
const CONNECTION_WITHIN: Duration = Duration::from_mins(1);
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
    /// Takes what people did into the audit trail.
    pub note: Arc<TakeNote>,
    /// What judges.
    pub judging: Arc<Mutex<Judging>>,
    /// Which recipes hold, and who changes them.
    pub recipes: Arc<dyn Choosing>,
    /// The shift's figures and the false rejects.
    pub production: Arc<Production>,
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

/// The server's thread.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves on a thread of its own.
    pub fn start(address: SocketAddr, served: Served) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("http-aside")
            .max_blocking_threads(1)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        tokio::spawn(live::tell_state(served.clone()));
                        accept(listener, routes(served), stopped).await;
                    }
                    Err(error) => tracing::error!("http: {error}"),
                }
            });
            // Connections that are open end with the runtime.
        })?;
        Ok(Self { address, stop, thread })
    }

    /// Ends it; `false` when its thread panicked.
    pub fn stop(self) -> bool {
        // An error means that the thread has ended before.
        let _ended = self.stop.send(());
        self.thread.join().is_ok()
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    routes: Router,
    mut stopped: oneshot::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            // A client that finds no place waits in the kernel's queue, which is bounded as well.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (accepted, place) = tokio::select! {
            Some(accepted) = accepted => accepted,
            _ = &mut stopped => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => {
                live::prepare(&stream);
                stream
            }
            Err(error) => {
                // Out of descriptors, most likely: others will close theirs.
                tracing::warn!("http: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(HEAD_MAX_BYTES)
                // Who has said all there is to say still wants the answer.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away, or breaks the protocol, is its own business.
            let _ended = tokio::time::timeout(CONNECTION_WITHIN, connection).await;
            drop(place);
        });
    }
}

fn routes(served: Served) -> Router {
    let news = live::news(&served);
    let (routes, document) = documented().split_for_parts();
    routes
        .merge(page::routes())
        .layer(Extension(openapi::Document::of(&document)))
        .layer(Extension(news))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(guard))
        .with_state(served)
}

/// Every route with its documentation: `routes!` takes both from the handler, so that neither is without the other.
fn documented() -> OpenApiRouter<Served> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(health))
        .routes(routes!(ready))
        .merge(at_least(Role::Viewer, looking()))
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
        .merge(OpenApiRouter::from(live::looking()))
}

/// Routes for those who run the line.
fn running() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(mode)).routes(routes!(golden)).merge(actions::running())
}

/// Routes for those who change what verdicts rest on.
fn changing() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(reload)).merge(calibration::changing())
}

/// Lets those through who have that role or one above it.
fn at_least(role: Role, routes: OpenApiRouter<Served>) -> OpenApiRouter<Served> {
    routes.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        match request.extensions().get::<Who>() {
            Some(who) if who.role >= role => next.run(request).await,
            Some(_) => {
                let text = format!("that takes the role {}\n", role.name());
                (StatusCode::FORBIDDEN, text).into_response()
            }
            None => (StatusCode::UNAUTHORIZED, "log in first\n").into_response(),
        }
    }))
}

/// A page of another site that a browser on this machine shows must not reach these routes by a name of its own, nor
/// change anything by ours.
async fn guard(mut request: Request, next: Next) -> Response {
    let Some(host) = only(request.headers(), &header::HOST).filter(|host| is_local(host)) else {
        return (StatusCode::MISDIRECTED_REQUEST, "this host is not served here\n").into_response();
    };
    // Browsers send it with whatever is not a plain look; other clients do not.
    let is_foreign = request.headers().contains_key(header::ORIGIN)
        && only(request.headers(), &header::ORIGIN) != Some(&format!("http://{host}"));
    if is_foreign && !request.method().is_safe() {
        return (StatusCode::FORBIDDEN, "no other site may change anything here\n").into_response();
    }
    // There are no users yet: whoever reaches the loopback address sits at the machine.
    request.extensions_mut().insert(Who::local());
    let Ok(mut response) = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await else {
        let close = [(header::CONNECTION, "close")];
        return (StatusCode::REQUEST_TIMEOUT, close, "the body took too long\n").into_response();
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A header's value, where it is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a `Host` names this machine's loopback.
fn is_local(host: &str) -> bool {
    let authority = host.parse::<Authority>().ok().filter(|_| !host.contains('@'));
    authority.is_some_and(|authority| {
        let name = authority.host();
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse();
        name == "localhost" || ip.is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
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

/// The state as text, for the live channel: with the shift's figures, so that a page asks for nothing twice.
fn state_json(served: &Served) -> String {
    #[derive(Serialize)]
    struct Told {
        #[serde(flatten)]
        state: state::StateBody,
        shift: actions::ShiftBody,
    }
    let told = Told { state: state::body(served), shift: actions::shift_body(served) };
    serde_json::to_string(&told).unwrap_or_default()
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

/// What may wait for a disk, on a thread of its own; `None` when it panicked.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
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
        Class::Output | Class::Engine | Class::Gpu | Class::Camera | Class::Bug => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// A moment for people and for JavaScript; what lies beyond the year 9999 is its end.
fn rfc3339(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(SystemTime::UNIX_EPOCH, latest)).to_string()
}
