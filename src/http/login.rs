//! The routes by which somebody comes in and goes out.
//!
//! Owns what they take and tell. A password is compared beside the thread `http`, one at a time, and takes as long for a
//! name that does not exist; whoever guesses waits (`access::attempts`).

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Nothing, Served, aside,
    gate::{Opened, Proof, only},
    guard::refused,
    server::Connection,
};
use crate::access::Who;

/// Where a password is posted.
pub(super) const LOGIN: &str = "/api/v1/login";

/// Routes for everybody.
pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(login)).routes(routes!(logout))
}

/// Who somebody is.
#[derive(Serialize, ToSchema)]
struct MeBody {
    /// `null` for nobody.
    name: Option<String>,
    role: Option<&'static str>,
    /// Whether one logs in here at all.
    has_login: bool,
    /// What goes into `X-Sightline-Csrf`; `null` where no cookie says who it is.
    csrf: Option<String>,
}

/// A name and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    /// As `sightline user` wrote it.
    name: String,
    /// In the clear, as it was typed.
    password: String,
}

/// Who somebody is, and what a page shows with whatever it changes.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "everybody", responses((status = 200, body = MeBody))
)]
async fn me(
    State(served): State<Served>,
    who: Option<Extension<Who>>,
    proof: Option<Extension<Proof>>,
) -> Json<MeBody> {
    let csrf = match proof {
        Some(Extension(Proof::Session(_, csrf))) => Some(csrf),
        Some(Extension(Proof::Local | Proof::Token(_))) | None => None,
    };
    Json(body(&served, who.map(|Extension(who)| who).as_ref(), csrf))
}

fn body(served: &Served, who: Option<&Who>, csrf: Option<String>) -> MeBody {
    MeBody {
        name: who.map(|who| who.name.clone()),
        role: who.map(|who| who.role.name()),
        has_login: served.gate.has_users(),
        csrf,
    }
}

/// Opens a session, whose cookie comes with the answer.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "everybody", request_body = LoginBody,
    responses(
        (status = 200, body = MeBody),
        (status = 401, description = "Wrong name or password"),
        (status = 409, description = "There are no users here"),
        (status = 429, description = "Too many wrong passwords; Retry-After says how long to wait"),
        (status = 503, description = "Too many log in at this moment"),
    )
)]
async fn login(
    State(served): State<Served>,
    Extension(connection): Extension<Arc<Connection>>,
    proof: Option<Extension<Proof>>,
    headers: HeaderMap,
    Json(LoginBody { name, password }): Json<LoginBody>,
) -> Response {
    if !served.gate.has_users() {
        return (StatusCode::CONFLICT, "there are no users here; nobody logs in\n").into_response();
    }
    let address = connection.peer;
    let Some(_place) = served.gate.login_place() else {
        let later = [(header::RETRY_AFTER, "1")];
        let text = "too many log in at this moment; try again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, later, text).into_response();
    };
    let trying = match served.gate.begin(address, &name) {
        Ok(trying) => trying,
        Err(wait) => {
            refused(&served, "login-refused", "unknown", address);
            let seconds = wait.as_secs() + 1;
            let later = [(header::RETRY_AFTER, seconds.to_string())];
            let text = format!("too many wrong passwords; try again in {seconds} s\n");
            return (StatusCode::TOO_MANY_REQUESTS, later, text).into_response();
        }
    };
    let kept = trying.password();
    let is_right = match aside(move || kept.is(&password)).await {
        Ok(is_right) => is_right,
        Err(refusal) => return refusal,
    };
    let who = trying.name().to_owned();
    let wrong = || {
        refused(&served, "login-refused", &who, address);
        // No `WWW-Authenticate`: the page asks for the password, not the browser.
        (StatusCode::UNAUTHORIZED, "wrong name or password\n").into_response()
    };
    let Some((user, counted)) = trying.known().filter(|_| is_right) else { return wrong() };
    let who = Who { name: user.name.clone(), role: user.role };
    let Opened { cookie, csrf } = match served.gate.open(user, counted) {
        Ok(Some(opened)) => opened,
        Ok(None) => return wrong(),
        Err(error) => {
            tracing::error!("the system gives no random numbers: {error}");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    // A session that was shown is left, so that no browser has two.
    if let Some(Extension(Proof::Session(key, _))) = proof {
        served.gate.close(&key);
    }
    let from = format!("as {} from {}", who.role.name(), address.to_canonical());
    (served.note)(&who.name, "login", "http", from);
    let set = served.gate.set_cookie(Some(&cookie), only(&headers, &header::ORIGIN));
    ([(header::SET_COOKIE, set)], Json(body(&served, Some(&who), Some(csrf)))).into_response()
}

/// Ends the session that the cookie shows.
#[utoipa::path(
    post, path = "/api/v1/logout", tag = "everybody", request_body = Nothing,
    responses((status = 200, body = MeBody))
)]
async fn logout(
    State(served): State<Served>,
    who: Option<Extension<Who>>,
    proof: Option<Extension<Proof>>,
    headers: HeaderMap,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    if let (Some(Extension(who)), Some(Extension(Proof::Session(key, _)))) = (who, proof) {
        served.gate.close(&key);
        (served.note)(&who.name, "logout", "http", String::new());
    }
    let gone = served.gate.set_cookie(None, only(&headers, &header::ORIGIN));
    ([(header::SET_COOKIE, gone)], Json(body(&served, None, None))).into_response()
}
