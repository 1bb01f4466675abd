//! How the station is: state, alarms, what judges, and each camera.
//!
//! Owns the body of `GET /api/v1/state`, which the live channel tells as well. Reads what others keep.

use std::sync::{Arc, PoisonError};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Served, rfc3339};
use crate::{
    alarm::{self, Standing},
    ledger::Account,
    state::{Condition, Trouble},
    telemetry::Judging,
};

/// How the station is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct StateBody {
    /// `starting`, `building`, `running`, `degraded`, `fault`, `paused`, `maintenance` or `stopping`.
    state: &'static str,
    /// `run`, `pause` or `maintenance`: what people want.
    mode: &'static str,
    /// What is wrong, briefly.
    troubles: Vec<String>,
    /// The same, as alarms.
    alarms: Vec<AlarmBody>,
    /// What judges.
    model: ModelBody,
    /// The execution providers that are in use.
    providers: Vec<String>,
    /// The products that the model knows.
    products: Vec<String>,
    /// Whether pictures of rejects are kept at full resolution.
    has_archive: bool,
    /// The broker that is told; `null` without one.
    broker: Option<BrokerBody>,
    /// Every camera.
    cameras: Vec<CameraBody>,
}

/// How a broker is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct BrokerBody {
    /// Its address.
    address: String,
    /// Whether there is a connection.
    is_connected: bool,
    /// Why nothing is sent; `null` while something is.
    trouble: Option<String>,
    /// Frames that it has not acknowledged.
    backlog_frames: u64,
    /// How long the oldest of them has waited, in seconds.
    oldest_secs: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AlarmBody {
    /// Its name, for acknowledging it; the same whenever it comes again.
    id: String,
    /// What is wrong, in a sentence.
    text: String,
    /// When it began, RFC 3339.
    since: String,
    /// What can be done about it.
    remedy: &'static str,
    /// Who has seen it; `null` where nobody has said so. Ends with the alarm.
    acknowledged: Option<AcknowledgedBody>,
}

/// Who has seen an alarm.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AcknowledgedBody {
    /// The name in the audit trail.
    who: String,
    /// When, RFC 3339.
    time: String,
}

/// A model file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ModelBody {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of the file, in hexadecimal.
    sha256: String,
}

/// One camera, with its account: captured = judged + dropped + faulted + in flight.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CameraBody {
    /// Its name.
    camera: String,
    /// Which numbering its frames are of.
    epoch: u64,
    /// Whether it gives frames.
    is_up: bool,
    /// The recipe that holds; `null` for the camera's own keys.
    recipe: Option<String>,
    /// The recipes that may be chosen.
    recipes: Vec<String>,
    /// Whether the camera's own keys may be chosen as well, as `null`.
    may_have_none: bool,
    /// The products that may come by under the recipe that holds.
    products: Vec<String>,
    /// Frames that were numbered.
    captured: u64,
    /// Frames with a verdict other than `fault`.
    judged: u64,
    /// Frames that were taken out unjudged.
    dropped: u64,
    /// Frames that could not be judged.
    faulted: u64,
    /// Frames without an end yet.
    in_flight: Option<u64>,
    /// Frames that the pipeline says were lost before they could be numbered.
    lost_upstream: u64,
}

impl AlarmBody {
    pub(super) fn of(trouble: &Trouble, standing: &Standing) -> Self {
        Self {
            id: alarm::id(trouble),
            text: alarm::text(trouble),
            since: rfc3339(standing.since),
            remedy: alarm::remedy(trouble),
            acknowledged: standing
                .acknowledged
                .as_ref()
                .map(|by| AcknowledgedBody { who: by.who.clone(), time: rfc3339(by.time) }),
        }
    }

    /// The alarm of that name.
    pub(super) fn find(condition: &Condition, id: &str) -> Option<Self> {
        let found = condition.troubles.iter().find(|(trouble, _)| alarm::id(trouble) == id);
        found.map(|(trouble, standing)| Self::of(trouble, standing))
    }
}

/// How the station is, now.
pub(super) fn body(served: &Served) -> StateBody {
    let condition = served.board.condition();
    let Judging { engine, .. } =
        served.judging.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let line = served.recipes.line();
    let mut offered = line.cameras.into_iter();
    let camera = |account: &Arc<Account>| {
        let (id, balance) = (account.camera(), account.balance());
        let offered = offered.next().unwrap_or_default();
        CameraBody {
            camera: id.to_string(),
            epoch: account.epoch(),
            is_up: condition.is_ready
                && !condition.troubles.contains_key(&Trouble::Camera(id.clone())),
            recipe: offered.recipe,
            recipes: offered.recipes,
            may_have_none: offered.may_have_none,
            products: offered.products,
            captured: balance.captured,
            judged: balance.judged,
            dropped: balance.dropped_total(),
            faulted: balance.faulted_total(),
            in_flight: balance.in_flight(),
            lost_upstream: balance.lost_upstream,
        }
    };
    let alarm = |(trouble, standing)| AlarmBody::of(trouble, standing);
    StateBody {
        state: condition.state().name(),
        mode: condition.mode.name(),
        troubles: condition.troubles.keys().map(ToString::to_string).collect(),
        alarms: condition.troubles.iter().map(alarm).collect(),
        has_archive: served.archive.is_some(),
        broker: served.mqtt.as_ref().map(|tally| BrokerBody {
            address: tally.broker().to_owned(),
            is_connected: tally.is_connected(),
            trouble: tally.trouble(),
            backlog_frames: tally.backlog_frames(),
            oldest_secs: tally.oldest_age(served.clock.wall()).as_secs(),
        }),
        cameras: served.accounts.iter().map(camera).collect(),
        model: ModelBody {
            name: engine.model,
            version: engine.model_version,
            sha256: engine.model_sha256,
        },
        providers: engine.providers.split(',').map(str::to_owned).collect(),
        products: line.products,
    }
}

/// How the station is: state, alarms, what judges, and each camera.
#[utoipa::path(
    get, path = "/api/v1/state", tag = "looking",
    responses((status = 200, body = StateBody))
)]
pub(super) async fn state(State(served): State<Served>) -> Json<StateBody> {
    Json(body(&served))
}
