//! What every request passes: the name it calls, the page it comes from, and who sends it.
//!
//! Owns the order of these checks and the headers of every answer. A page of another site that a browser shows must not
//! reach these routes by a name of its own, nor change anything by ours.

use std::{error::Error as _, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http_body_util::LengthLimitError;
use utoipa_axum::router::OpenApiRouter;

use super::{
    BODY_MAX_BYTES, Served,
    gate::{NoSuchToken, Proof, only},
    login,
    server::Connection,
};
use crate::access::{Role, Who};

/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How long its answer may; one that is sent for as long as somebody looks begins at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(50);
/// How often it is told how many refusals a burst had.
const BURSTS_EVERY: Duration = Duration::from_secs(10);
/// What a page shows with whatever is not a plain look, when a cookie says who it is.
const CSRF: HeaderName = HeaderName::from_static("x-sightline-csrf");
/// What browsers say about where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Of every answer. A page may load what is ours and nothing else, and nobody may frame it.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
         manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// A month. It holds for every port of the host, so other services of the device must not be locked out for a year.
const HSTS: &str = "max-age=2592000";

/// Lets those through who have that role or one above it.
pub(super) fn at_least(role: Role, routes: OpenApiRouter<Served>) -> OpenApiRouter<Served> {
    read_first(routes).layer(middleware::from_fn(move |request: Request, next: Next| async move {
        match request.extensions().get::<Who>() {
            Some(who) if who.role >= role => next.run(request).await,
            Some(_) => {
                let text = format!("that takes the role {}\n", role.name());
                (StatusCode::FORBIDDEN, text).into_response()
            }
            None => nobody("log in first\n"),
        }
    }))
}

/// Has bodies read whole, within their bounds, before anything is done with them.
pub(super) fn read_first(routes: OpenApiRouter<Served>) -> OpenApiRouter<Served> {
    routes.layer(middleware::from_fn(|request: Request, next: Next| async move {
        let close = [(header::CONNECTION, "close")];
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX_BYTES);
        match tokio::time::timeout(BODY_WITHIN, body).await {
            Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
            Ok(Err(error))
                if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) =>
            {
                let text = format!("a body has at most {BODY_MAX_BYTES} bytes\n");
                (StatusCode::PAYLOAD_TOO_LARGE, close, text).into_response()
            }
            Ok(Err(_broken)) => {
                (StatusCode::BAD_REQUEST, close, "the body is broken off\n").into_response()
            }
            Err(_late) => {
                (StatusCode::REQUEST_TIMEOUT, close, "the body took too long\n").into_response()
            }
        }
    }))
}

/// Routes whose answer goes on for as long as somebody looks: each takes one of the few places for that, and its
/// connection may live longer.
pub(super) fn lives_long<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<S>,
) -> OpenApiRouter<S> {
    routes.layer(middleware::from_fn(|request: Request, next: Next| async move {
        let proof = request.extensions().get::<Proof>().cloned();
        let connection = request.extensions().get::<Arc<Connection>>();
        if !connection.is_some_and(|connection| connection.live_on(proof)) {
            let later = [(header::RETRY_AFTER, "5")];
            let text = "too many look at once; try again later\n";
            return (StatusCode::SERVICE_UNAVAILABLE, later, text).into_response();
        }
        let mut response = next.run(request).await;
        // Its place is free when it ends.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }))
}

/// Every request goes through here, and every answer.
pub(super) async fn guard(
    State(served): State<Served>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = match admit(&served, &mut request) {
        Ok(()) => match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
            Ok(response) => response,
            Err(_late) => {
                let close = [(header::CONNECTION, "close")];
                let text = "it takes long, and goes on; look again\n";
                (StatusCode::SERVICE_UNAVAILABLE, close, text).into_response()
            }
        },
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if served.gate.tls().is_some() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    if is_api || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether a request may go on; who sends it is put into it.
fn admit(served: &Served, request: &mut Request) -> Result<(), Box<Response>> {
    let Some(connection) = request.extensions().get::<Arc<Connection>>().cloned() else {
        return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response().into());
    };
    let headers = request.headers();
    let host = only(headers, &header::HOST);
    let Some(host) = host.filter(|host| served.gate.is_called(host, connection.called)) else {
        let text = "this host is not served here; http.hosts names those that are\n";
        return Err((StatusCode::MISDIRECTED_REQUEST, text).into_response().into());
    };
    let is_safe = request.method().is_safe();
    if !is_safe && is_foreign(served, headers, host) {
        let text = "no other site may change anything here\n";
        return Err((StatusCode::FORBIDDEN, text).into_response().into());
    }
    // The ledger is about to close: what people did from now on would stand in no audit trail.
    if !is_safe && served.board.condition().is_stopping {
        let text = "the station is stopping\n";
        return Err((StatusCode::SERVICE_UNAVAILABLE, text).into_response().into());
    }
    let found = served.gate.who(headers).map_err(|NoSuchToken| {
        refused(served, "token-refused", "unknown", connection.peer);
        Box::new(nobody("no such token\n"))
    })?;
    let Some((who, proof)) = found else { return Ok(()) };
    if let Proof::Session(key, _) = &proof
        && !is_safe
        // Whoever logs in anew has no page yet; that route is guarded by its origin and its content type.
        && request.uri().path() != login::LOGIN
        && !only(headers, &CSRF).is_some_and(|shown| served.gate.is_its_page(key, shown))
    {
        let text = "show the token of GET /api/v1/me in X-Sightline-Csrf\n";
        return Err((StatusCode::FORBIDDEN, text).into_response().into());
    }
    request.extensions_mut().insert(who);
    request.extensions_mut().insert(proof);
    Ok(())
}

/// Browsers say where whatever is not a plain look comes from; other clients do not.
fn is_foreign(served: &Served, headers: &HeaderMap, host: &str) -> bool {
    let is_other_origin = headers.contains_key(header::ORIGIN)
        && !only(headers, &header::ORIGIN)
            .is_some_and(|origin| served.gate.is_own_page(origin, host));
    let is_other_site = headers.contains_key(&FETCH_SITE)
        && !only(headers, &FETCH_SITE).is_some_and(|site| ["same-origin", "none"].contains(&site));
    is_other_origin || is_other_site
}

/// Nobody has shown who he is.
pub(super) fn nobody(text: &'static str) -> Response {
    let scheme = [(header::WWW_AUTHENTICATE, "Bearer realm=\"sightline\"")];
    (StatusCode::UNAUTHORIZED, scheme, text).into_response()
}

/// A refusal for the audit trail: one event for a burst of them.
pub(super) fn refused(served: &Served, kind: &'static str, who: &str, address: IpAddr) {
    if served.gate.is_first_of_burst(kind, address) {
        (served.note)(who, kind, "http", format!("from {}", address.to_canonical()));
    }
}

/// Tells how many came after the first of a burst, when it is over.
pub(super) async fn tell_bursts(served: Served) {
    let mut looks = tokio::time::interval(BURSTS_EVERY);
    while !served.board.condition().is_stopping {
        looks.tick().await;
        for (kind, address, more) in served.gate.ended_bursts() {
            (served.note)("unknown", kind, "http", format!("from {address}: {more} more"));
        }
    }
}
