//! Any bytes to a server over a real socket: it answers or lets go, and goes on serving.
#![no_main]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock},
};

use sightline::{
    clock::{Clock, SystemClock},
    http::{self, Choosing, Chosen, Gate, Line, NotChosen, Served, Server, Way},
    production::{Production, TimeZone, shift::Starts},
    state::Board,
    telemetry::{EngineLabels, Judging, Sources, Telemetry},
};

/// A station without cameras; it lives as long as the process.
fn address() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER
        .get_or_init(|| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
            http::start(listener, served()).expect("it starts")
        })
        .address
}

/// Nothing to choose from.
struct NoRecipes;

impl Choosing for NoRecipes {
    fn line(&self) -> Line {
        Line::default()
    }

    fn choose(&self, _camera: &str, _recipe: Option<&str>) -> Result<Chosen, NotChosen> {
        Err(NotChosen::NoCamera)
    }
}

fn served() -> Served {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let board = Arc::new(Board::new(0));
    let none = String::new;
    let engine = EngineLabels {
        providers: none(),
        onnxruntime: none(),
        model: none(),
        model_version: none(),
        model_sha256: none(),
    };
    let judging = Arc::new(Mutex::new(Judging { engine, deviation: Default::default() }));
    let sources = Sources {
        cameras: Vec::new(),
        board: board.clone(),
        ledger: None,
        archive: None,
        judging: judging.clone(),
        live: None,
        clock: clock.clone(),
    };
    let production = Production::new(Starts::default(), TimeZone::UTC, clock.clone(), None);
    let telemetry = Arc::new(Telemetry::new(sources));
    let gate = Arc::new(Gate::new(Vec::new(), Way::Plain, None, clock.clone()));
    Served {
        telemetry,
        board,
        accounts: Vec::new(),
        clock,
        act: Arc::new(|_| true),
        calibration: None,
        live: None,
        gate,
        archive: None,
        note: Arc::new(|_, _, _, _| ()),
        judging,
        recipes: Arc::new(NoRecipes),
        production: Arc::new(production),
    }
}

fn exchange(bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address()).expect("it listens");
    let mut answer = Vec::new();
    let _refused = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let _reset = stream.read_to_end(&mut answer);
    answer
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let answer = exchange(bytes);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    assert!(exchange(b"GET /api/v1/state HTTP/1.0\r\nHost: localhost\r\n\r\n").starts_with(b"HTTP/1.0 200"));
});
