//! What people and signals reach a running station by: HTTP, SIGHUP, and the desk where a product is calibrated.
//!
//! Owns who is told of which wish, the order in which all that is taken down, and that whatever people do stands in log
//! and audit trail. Knows no camera and no engine: it reaches them by the engine's commands.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bundle::geometry::Size;
use crossbeam_channel::Sender;

use super::{
    Global, access, calibrate, listen, print,
    recipes::Recipes,
    reload::{Reload, Reloading},
};
use crate::{
    access::TakeNote,
    calibration::desk::{Desk, Listener, Means},
    clock::Clock,
    config::{HttpSettings, Settings},
    fault::{Class, Fault},
    http::{self, Action, Choosing, Gate, Served, Server},
    ledger::{Account, book, writer::Notes},
    live::Live,
    mqtt,
    production::Production,
    shutdown::{Hangups, ReloadRequested},
    state::Board,
    station::Command,
    telemetry::{Judging, Telemetry},
};

/// What several parts of the station read, and post to.
pub(super) struct Common {
    pub(super) accounts: Vec<Arc<Account>>,
    pub(super) board: Arc<Board>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) judging: Arc<Mutex<Judging>>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) notes: Option<Notes>,
    pub(super) recipes: Arc<Recipes>,
    pub(super) production: Arc<Production>,
}

/// What people are let in to.
pub(super) struct Doors {
    /// Who comes in; `None` without HTTP.
    pub(super) gate: Option<Arc<Gate>>,
    /// The engine's thread.
    pub(super) commands: Sender<Command>,
    /// The cameras in their order, with the size that each one's pipeline scales to.
    pub(super) cameras: Vec<(String, Option<Size>)>,
    /// What the page sees.
    pub(super) live: Option<Arc<Live>>,
    /// The archive's folder.
    pub(super) archive: Option<Arc<Path>>,
    /// How sending to a broker goes.
    pub(super) mqtt: Option<Arc<mqtt::Tally>>,
    /// Who asks for a reload by signal.
    pub(super) hangups: Hangups,
}

impl Common {
    /// Lets people and signals reach the station; what the engine's thread hears a calibration by.
    pub(super) fn control(
        &self,
        config: Option<&Path>,
        global: &Global,
        settings: &Settings,
        doors: Doors,
    ) -> Result<(Control, Option<Listener>), Fault> {
        let Self { accounts, board, clock, judging, telemetry, notes, recipes, production } = self;
        let Doors { gate, commands, cameras, live, archive, mqtt, hangups } = doors;
        let reload = Reload {
            config: config.map(Path::to_owned),
            global: global.clone(),
            cameras,
            commands,
            judging: Arc::clone(judging),
            board: Arc::clone(board),
            notes: notes.clone(),
            clock: Arc::clone(clock),
            recipes: Arc::clone(recipes),
            production: Arc::clone(production),
        };
        // Without HTTP nobody could ask for anything.
        let is_served = settings.http.is_some();
        let desk = is_served
            .then(|| desk(config, recipes, accounts, judging, audit(notes.clone(), clock), clock));
        let (desk, listener) = desk.transpose()?.unzip();
        let served = gate.clone().map(|gate| Served {
            telemetry: Arc::clone(telemetry),
            board: Arc::clone(board),
            accounts: accounts.clone(),
            gate,
            note: audit(notes.clone(), clock),
            // Nobody yet: `Control` knows whom to ask.
            act: Arc::new(|_action| false),
            calibration: desk.map(Arc::new),
            live,
            archive,
            mqtt,
            clock: Arc::clone(clock),
            judging: Arc::clone(judging),
            recipes: Arc::clone(recipes) as Arc<dyn Choosing>,
            production: Arc::clone(production),
        });
        let renewing = gate.zip(settings.http.clone()).map(|(gate, http)| Renewing {
            gate,
            http,
            note: audit(notes.clone(), clock),
        });
        let listen = settings.http.as_ref().map(|http| http.listen);
        let control = Control::start(reload, hangups, Arc::new(renewing), listen.zip(served))?;
        Ok((control, listener))
    }
}

/// Who takes what the users file and the certificate say now.
struct Renewing {
    gate: Arc<Gate>,
    http: HttpSettings,
    note: Arc<TakeNote>,
}

impl Renewing {
    fn renew(&self) {
        if let Err(fault) = access::renew(&self.http, &self.gate) {
            let why = format!("access stays as it was: {fault}");
            (self.note)("sightline", "reload-refused", "http", why);
        }
    }
}

/// What people and signals reach a running station by.
pub(super) struct Control {
    reloading: Reloading,
    server: Option<Server>,
    desk: Option<Arc<Desk>>,
}

impl Control {
    fn start(
        reload: Reload,
        hangups: Hangups,
        renewing: Arc<Option<Renewing>>,
        http: Option<(SocketAddr, Served)>,
    ) -> Result<Self, Fault> {
        let bug = |what: &str, error: io::Error| Fault::new(Class::Bug, format!("{what}: {error}"));
        let (request, requests) = crossbeam_channel::bounded(1);
        // At once: an engine may be built for minutes, and somebody may have to be kept out.
        let renew = {
            let renewing = Arc::clone(&renewing);
            move || renewing.iter().for_each(Renewing::renew)
        };
        hangups
            .listen(request.clone(), renew)
            .map_err(|error| bug("signals cannot be handled", error))?;
        let golden = reload.commands.clone();
        let is_demo = reload.config.is_none();
        let reloading =
            reload.start(requests).map_err(|error| bug("a thread cannot be started", error))?;
        let desk = http.as_ref().and_then(|(_, served)| served.calibration.clone());
        let act = move |action| match action {
            Action::Golden => golden.try_send(Command::Golden).is_ok(),
            // Full: one is about to begin.
            Action::Reload => {
                renewing.iter().for_each(Renewing::renew);
                !request.try_send(ReloadRequested).is_err_and(|error| error.is_disconnected())
            }
        };
        let server = match http {
            Some((address, served)) => {
                let served = Served { act: Arc::new(act), ..served };
                let at = listen::Served { key: "http.listen", what: "the page", address };
                // The demo line is there to be tried out, beside another one too.
                let listener = listen::listen(&at, is_demo)?;
                let started = http::start(listener, served);
                Some(started.map_err(|error| bug("http cannot be started", error))?)
            }
            None => None,
        };
        Ok(Self { reloading, server, desk })
    }

    pub(super) fn introduce(&self) {
        if let Some(Server { scheme, address, .. }) = &self.server {
            print::note(&format!("page, metrics and health at {scheme}://{address}"));
        }
    }

    pub(super) fn finish(self) -> Result<(), Fault> {
        self.reloading.finish();
        if !self.server.is_none_or(Server::stop) {
            return Err(Fault::new(Class::Bug, "the thread http panicked; please report it"));
        }
        // With the server's routes the last other handle is gone.
        if !self.desk.and_then(Arc::into_inner).is_none_or(Desk::join) {
            return Err(Fault::new(Class::Bug, "the thread calibrate panicked; please report it"));
        }
        Ok(())
    }
}

/// Where people have a product calibrated while the line runs, and the engine's end of it.
fn desk(
    config: Option<&Path>,
    recipes: &Arc<Recipes>,
    accounts: &[Arc<Account>],
    judging: &Arc<Mutex<Judging>>,
    note: Arc<TakeNote>,
    clock: &Arc<dyn Clock>,
) -> Result<(Desk, Listener), Fault> {
    let cameras = accounts.iter().map(|account| account.camera().clone()).collect();
    let config = config.map(Path::to_owned);
    let (judging, recipes) = (Arc::clone(judging), Arc::clone(recipes));
    let means = Means {
        basis: Box::new(move |camera| calibrate::basis(config.as_deref(), camera, &recipes)),
        judging: Box::new(move || {
            let judging = judging.lock().unwrap_or_else(PoisonError::into_inner);
            judging.engine.model_sha256.clone()
        }),
        note,
        clock: Arc::clone(clock),
    };
    Desk::start(cameras, means)
        .map_err(|error| Fault::new(Class::Bug, format!("a thread cannot be started: {error}")))
}

/// Puts what people do into the log and the audit trail.
fn audit(notes: Option<Notes>, clock: &Arc<dyn Clock>) -> Arc<TakeNote> {
    let clock = Arc::clone(clock);
    Arc::new(move |who, kind, subject, detail| {
        tracing::warn!(who, subject, "{kind}: {detail}");
        let Some(notes) = &notes else { return };
        let (time, who, subject) = (clock.wall(), who.to_owned(), subject.to_owned());
        notes.note(book::Event { time, kind, who, subject, detail });
    })
}
