//! What whoever runs the line does beside the mode: acknowledges, chooses recipes, says that a reject was a good part.
//!
//! Owns the routes, their bodies and which status a refusal has; what is done is elsewhere. Each action that changes
//! something is noted: who, what, and the old and the new value. What may wait for a disk or for the engine's thread runs
//! beside the thread `http`, one at a time.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Nothing, Served, aside, rfc3339, state::AlarmBody, status_of};
use crate::{
    access::Who,
    fault::Fault,
    frame::{CameraId, FrameId},
    ledger::past::{FALSE_REJECT, detail_of},
    production::{NotMarked, Tally, Told},
    state::Event,
};

/// What the recipes' keeper is asked for.
pub trait Choosing: Send + Sync {
    /// What holds, and what may be chosen. Waits for nothing.
    fn line(&self) -> Line;
    /// Has a camera's parts held against another recipe from now on; `None` is the camera's own keys. May wait.
    fn choose(&self, camera: &str, recipe: Option<&str>) -> Result<Chosen, NotChosen>;
}

/// What the model knows, and what holds at each camera.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The model's products.
    pub products: Vec<String>,
    /// The cameras, in their order.
    pub cameras: Vec<Offered>,
}

/// One camera's recipes.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// The one that holds; `None` for the camera's own keys.
    pub recipe: Option<String>,
    /// Those that may be chosen.
    pub recipes: Vec<String>,
    /// Whether the camera's own keys may be chosen as well.
    pub may_have_none: bool,
    /// The products that may come.
    pub products: Vec<String>,
}

/// A recipe that holds now.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The one that held before.
    pub before: Option<String>,
    /// Why the choice does not outlast the process, where it does not.
    pub not_kept: Option<String>,
}

/// Why a recipe is not taken. Everything stays as it was.
#[derive(Debug)]
pub enum NotChosen {
    /// There is no such camera.
    NoCamera,
    /// It is not the time for it.
    Conflict(String),
    /// It cannot be done.
    Fault(Fault),
}

/// What looks.
pub(super) fn looking() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(shift)).routes(routes!(proposals))
}

/// What runs the line.
pub(super) fn running() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(acknowledge))
        .routes(routes!(recipe))
        .routes(routes!(false_reject))
}

/// One line, with its status.
fn refusal(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}

/// Somebody has seen an alarm. The first who says so is kept, until the alarm ends.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/acknowledge", tag = "running", request_body = Nothing,
    params(("id" = String, Path, description = "The alarm's name, as the state tells it")),
    responses(
        (status = 200, body = AlarmBody),
        (status = 404, description = "There is no such alarm: it may have ended"),
    )
)]
async fn acknowledge(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Result<Json<AlarmBody>, Response> {
    let event = Event::Acknowledged { id: id.clone(), who: who.name.clone() };
    let (before, after) = served.board.post(event);
    let Some(alarm) = AlarmBody::find(&after, &id) else {
        return Err(refusal(StatusCode::NOT_FOUND, "there is no such alarm: it may have ended"));
    };
    if before != after {
        (served.note)(&who.name, "acknowledged", &id, "open to acknowledged".into());
    }
    Ok(Json(alarm))
}

/// Which recipe is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecipeBody {
    /// Its name; `null` for the camera's own keys, where the configuration begins with those.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    recipe: Option<String>,
}

/// Which recipe holds.
#[derive(Debug, Serialize, ToSchema)]
struct ChosenBody {
    /// The camera.
    camera: String,
    /// The recipe that holds from now on.
    recipe: Option<String>,
    /// The one that held before.
    before: Option<String>,
    /// Whether the choice outlasts this process.
    is_kept: bool,
    /// Why it does not, where it does not.
    text: Option<String>,
}

/// A camera's parts are held against another recipe, from one frame on and after a restart.
#[utoipa::path(
    post, path = "/api/v1/cameras/{camera}/recipe", tag = "running", request_body = RecipeBody,
    params(("camera" = String, Path, description = "The camera's name")),
    responses(
        (status = 200, body = ChosenBody),
        (status = 404, description = "There is no such camera"),
        (status = 409, description = "Starting, stopping, or something else is being changed"),
        (status = 422, description = "There is no such recipe, or the calibration does not support it"),
        (status = 500, description = "The engine's thread does not answer"),
    )
)]
async fn recipe(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Path(camera): Path<String>,
    Json(RecipeBody { recipe }): Json<RecipeBody>,
) -> Result<Json<ChosenBody>, Response> {
    let name = camera.clone();
    let wanted = recipe.clone();
    let done = aside(move || {
        let chosen = served.recipes.choose(&camera, wanted.as_deref())?;
        let Chosen { before, .. } = &chosen;
        if *before != wanted {
            let word = |recipe: &Option<String>| recipe.clone().unwrap_or_else(|| "none".into());
            let detail = format!("{} to {}", word(before), word(&wanted));
            (served.note)(&who.name, "recipe", &camera, detail);
        }
        Ok(chosen)
    });
    match done.await? {
        Ok(Chosen { before, not_kept }) => Ok(Json(ChosenBody {
            camera: name,
            recipe,
            before,
            is_kept: not_kept.is_none(),
            text: not_kept,
        })),
        Err(NotChosen::NoCamera) => Err(refusal(StatusCode::NOT_FOUND, "there is no such camera")),
        Err(NotChosen::Conflict(line)) => Err(refusal(StatusCode::CONFLICT, &line)),
        Err(NotChosen::Fault(fault)) => Err(refusal(status_of(fault.class), &fault.to_string())),
    }
}

/// Whether a reject was a good part.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FalseBody {
    /// It was; or the mark is taken back.
    is_false: bool,
}

/// A reject and its mark.
#[derive(Debug, Serialize, ToSchema)]
struct MarkedBody {
    /// The camera.
    camera: String,
    /// The numbering.
    epoch: u64,
    /// The frame.
    frame: u64,
    /// Whether it is marked as a good part now.
    is_false: bool,
    /// The product that it counts for.
    product: Option<String>,
}

/// Somebody says that a reject was a good part, or takes that back.
#[utoipa::path(
    post, path = "/api/v1/rejects/{camera}/{epoch}/{frame}/false", tag = "running",
    request_body = FalseBody,
    params(
        ("camera" = String, Path, description = "The camera's name"),
        ("epoch" = u64, Path, description = "The numbering"),
        ("frame" = u64, Path, description = "The frame's number"),
    ),
    responses(
        (status = 200, body = MarkedBody),
        (status = 404, description = "There is no such reject"),
        (status = 409, description = "The ledger is still being read after the start"),
        (status = 500, description = "The ledger cannot be read"),
    )
)]
async fn false_reject(
    State(served): State<Served>,
    Extension(who): Extension<Who>,
    Path((camera, epoch, frame)): Path<(String, u64, u64)>,
    Json(FalseBody { is_false }): Json<FalseBody>,
) -> Result<Json<MarkedBody>, Response> {
    let id = FrameId { camera: CameraId(camera.as_str().into()), epoch, number: frame };
    let done = aside(move || {
        let marked = served.production.mark(&id, is_false)?;
        if marked.has_changed {
            let detail = detail_of(marked.product.as_deref(), is_false);
            (served.note)(&who.name, FALSE_REJECT, &id.to_string(), detail);
        }
        if let Some(live) = &served.live {
            // It may no longer be among the last ones.
            let _is_shown = live.mark(&id, is_false);
        }
        Ok(marked)
    });
    match done.await? {
        Ok(marked) => {
            let product = marked.product.as_deref().map(str::to_owned);
            Ok(Json(MarkedBody { camera, epoch, frame, is_false, product }))
        }
        Err(NotMarked::NoReject) => {
            let line =
                "there is no such reject: it is neither in the ledger nor among the last ones";
            Err(refusal(StatusCode::NOT_FOUND, line))
        }
        Err(NotMarked::NotYet) => {
            Err(refusal(StatusCode::CONFLICT, "the ledger is still being read; try again"))
        }
        Err(NotMarked::Fault(fault)) => {
            Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string()))
        }
    }
}

/// The figures of the shift that goes on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ShiftBody {
    /// When it began, RFC 3339.
    since: String,
    /// When the next one begins.
    until: String,
    /// Verdicts by camera and product.
    lines: Vec<ShiftLine>,
    /// Whether what was judged before this process began is in them.
    from_ledger: bool,
}

/// What a camera's product has come to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ShiftLine {
    /// The camera.
    camera: String,
    /// The product; `null` for parts of no known one and for those that nobody judged.
    product: Option<String>,
    /// Passed.
    passed: u64,
    /// Failed.
    failed: u64,
    /// Of no known product.
    unknown: u64,
    /// Not judged, for something failed.
    faulted: u64,
    /// Of this shift's refused ones, those that people marked as good.
    false_rejects: u64,
}

/// The shift's figures, now; the live channel tells them as well.
pub(super) fn shift_body(served: &Served) -> ShiftBody {
    let Told { shift, tallies, is_whole } = served.production.told();
    let line = |Tally { line: (camera, product), counts, false_rejects }| ShiftLine {
        camera: (*camera).to_owned(),
        product: product.map(|product| (*product).to_owned()),
        passed: counts.pass,
        failed: counts.fail,
        unknown: counts.unknown_product,
        faulted: counts.fault,
        false_rejects,
    };
    ShiftBody {
        since: rfc3339(shift.since),
        until: rfc3339(shift.until),
        lines: tallies.into_iter().map(line).collect(),
        from_ledger: is_whole,
    }
}

/// Verdicts and false rejects since the shift began.
#[utoipa::path(
    get, path = "/api/v1/shift", tag = "looking", responses((status = 200, body = ShiftBody))
)]
async fn shift(State(served): State<Served>) -> Json<ShiftBody> {
    Json(shift_body(&served))
}

/// A product that should be calibrated anew.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProposalBody {
    /// The camera.
    camera: String,
    /// The product.
    product: String,
    /// Its false rejects since it was last calibrated.
    false_rejects: u64,
    /// Why, and what to do.
    text: String,
}

/// Products whose false rejects are more than their rate explains, or many.
#[utoipa::path(
    get, path = "/api/v1/proposals", tag = "looking",
    responses((status = 200, body = Vec<ProposalBody>))
)]
async fn proposals(State(served): State<Served>) -> Json<Vec<ProposalBody>> {
    let proposals = served.production.proposals().into_iter();
    let body = proposals.map(|proposal| ProposalBody {
        camera: (*proposal.camera).to_owned(),
        product: (*proposal.product).to_owned(),
        false_rejects: proposal.false_rejects,
        text: proposal.text,
    });
    Json(body.collect())
}
