//! The API's own description, in OpenAPI.
//!
//! Owns its frame: title, version, tags. Its paths and bodies come with the handlers (`routes!`), so that a route cannot be
//! without its description, nor a description without its route.

use std::sync::Arc;

use axum::{
    Extension,
    http::header,
    response::{IntoResponse as _, Response},
};
use utoipa::openapi::{Info, OpenApi, OpenApiBuilder, tag::TagBuilder};

/// Which role a route wants, as a tag.
const TAGS: [(&str, &str); 4] = [
    ("machines", "For service managers and balancers; without a role."),
    ("looking", "The role viewer."),
    ("running", "The role operator."),
    ("changing", "The role engineer."),
];

/// The document without paths.
pub(super) fn frame() -> OpenApi {
    let tags =
        TAGS.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build());
    let mut info = Info::new("Sightline", env!("CARGO_PKG_VERSION"));
    info.description = Some("What a station tells and is told; docs/http.md has the words.".into());
    OpenApiBuilder::new().info(info).tags(Some(tags)).build()
}

/// The document as it is served.
#[derive(Clone)]
pub(super) struct Document(Arc<str>);

impl Document {
    pub(super) fn of(api: &OpenApi) -> Self {
        // Maps with text for keys and nothing that JSON does not know.
        Self(api.to_json().unwrap_or_default().into())
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "looking",
    responses((status = 200, body = Object))
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, (*document.0).to_owned()).into_response()
}
