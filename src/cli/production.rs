//! From configuration and ledger to the shift's figures.
//!
//! Owns the thread `recall`, which reads what the shift came to before this process, and the machine's time zone.

use std::{path::Path, sync::Arc};

use jiff::tz::TimeZone;

use super::{cameras, load};
use crate::{
    clock::Clock,
    config::Settings,
    fault::{Fault, one_line},
    frame::{CameraId, FrameId},
    ledger::{Account, LedgerError, audit::Audit},
    production::{FindReject, Production, Reject},
};

/// What the shift comes to. What it came to before this process is read beside, for nobody is to wait for it.
pub(super) fn start(
    settings: &Settings,
    model: &load::Model,
    accounts: &[Arc<Account>],
    clock: &Arc<dyn Clock>,
) -> Arc<Production> {
    let path = cameras::ledger_path(&settings.ledger);
    let find = path.clone().map(|path| {
        let find = move |id: &FrameId| -> Result<Option<Reject>, Fault> {
            let found = Audit::open(&path).and_then(|audit| audit.reject(id));
            found.map_err(|error| cameras::ledger_failed(&path, &error))
        };
        Box::new(find) as Box<FindReject>
    });
    let zone = TimeZone::system();
    let production = Production::new(settings.shift.clone(), zone, Arc::clone(clock), find);
    production.calibrated(model.calibrated.clone());
    let production = Arc::new(production);
    let Some(path) = path else { return production };
    let ours: Vec<_> =
        accounts.iter().map(|account| (account.camera().clone(), account.epoch())).collect();
    let recalling = Arc::clone(&production);
    let recall = move || {
        if let Err(error) = recall(&recalling, &path, &ours) {
            let why = one_line(&error);
            tracing::warn!("what the shift came to before this start is not known: {why}");
            recalling.forget();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("recall".into()).spawn(recall) {
        tracing::warn!("a thread cannot be started: {error}");
        production.forget();
    }
    production
}

/// Tells what other processes left in the ledger; `ours` are the numberings of this one.
fn recall(
    production: &Production,
    path: &Path,
    ours: &[(CameraId, u64)],
) -> Result<(), LedgerError> {
    let audit = Audit::open(path)?;
    production.recall_marks(audit.false_rejects()?);
    let shift = production.shift();
    production.recall_counts(shift, audit.counts_since(shift.since, ours)?);
    Ok(())
}
