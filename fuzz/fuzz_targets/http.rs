//! Any bytes to a server over a real socket: it answers or lets go, and goes on serving.
#![no_main]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex, OnceLock},
};

use sightline::{
    clock::{Clock, SystemClock},
    http::{self, Gate, Served, Server, Way},
    state::Board,
    telemetry::{EngineLabels, Judging, Sources, Telemetry},
};

/// A station without cameras; it lives as long as the process.
fn address() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| http::start(([127, 0, 0, 1], 0).into(), served()).expect("a port is free")).address
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
    let sources =
        Sources { cameras: Vec::new(), board: board.clone(), ledger: None, judging, clock: clock.clone() };
    let telemetry = Arc::new(Telemetry::new(sources));
    let gate = Arc::new(Gate::new(Vec::new(), Way::Plain, None, clock.clone()));
    Served {
        telemetry,
        board,
        accounts: Vec::new(),
        clock,
        act: Arc::new(|_| true),
        calibration: None,
        gate,
        note: Arc::new(|_, _, _, _| ()),
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
