//! HTTP: metrics, health, state, and the mode that people want.
//!
//! Owns the thread `http`, its routes and every limit on what a client may ask of it. Only loopback is listened on: there is
//! no login yet. Reads what others keep; the engine's thread never waits for a client. The only place with `tokio`.

mod calibration;
mod evidence;

use std::{io, net::SocketAddr, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    access::{Role, Who},
    calibration::desk::Desk,
    clock::Clock,
    ledger::{Account, Balance},
    state::{Board, Event, Mode},
    telemetry::Telemetry,
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
    /// The archive's folder; `None` where no pictures are kept.
    pub archive: Option<Arc<Path>>,
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
                    Ok(listener) => accept(listener, routes(served), stopped).await,
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
            Ok((stream, _)) => stream,
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
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .merge(at_least(Role::Viewer, looking()))
        .merge(at_least(Role::Operator, running()))
        .merge(at_least(Role::Engineer, changing()))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(guard))
        .with_state(served)
}

/// Routes for those who look.
fn looking() -> Router<Served> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/state", get(state))
        .merge(calibration::looking())
        .merge(evidence::looking())
}

/// Routes for those who run the line.
fn running() -> Router<Served> {
    Router::new().route("/api/v1/mode", post(mode)).route("/api/v1/golden", post(golden))
}

/// Routes for those who change what verdicts rest on.
fn changing() -> Router<Served> {
    Router::new().route("/api/v1/reload", post(reload)).merge(calibration::changing())
}

/// Lets those through who have that role or one above it.
fn at_least(role: Role, routes: Router<Served>) -> Router<Served> {
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
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
