//! A broker that closes the connection for what it does not like, and says neither for what nor what it takes.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{PATIENCE, line};
use crate::{service::Running, support::Scratch};

/// Topics and payloads of what it acknowledged.
type Taken = Mutex<Vec<(String, Vec<u8>)>>;

/// Of MQTT 5 no more than that: it acknowledges what it is sent, and closes for a packet of so many bytes.
struct Picky {
    port: u16,
    taken: Arc<Taken>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const BYTES_MAX: usize = 2_000;

impl Picky {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, ends) = (Arc::new(Taken::default()), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (taken, ends) = (Arc::clone(&taken), Arc::clone(&ends));
            std::thread::spawn(move || {
                while !ends.load(Ordering::Acquire) {
                    match listener.accept() {
                        Ok((stream, _)) => serve(stream, &taken, &ends).unwrap_or_default(),
                        Err(_nobody) => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
            })
        };
        Self { port, taken, ends, thread: Some(thread) }
    }

    fn events(&self) -> Vec<serde_json::Value> {
        let taken = self.taken.lock().unwrap();
        let events = taken.iter().filter(|(topic, _)| topic.ends_with("/event"));
        events.map(|(_, payload)| serde_json::from_slice(payload).unwrap()).collect()
    }

    fn verdicts(&self) -> usize {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(topic, _)| topic.ends_with("/verdict")).count()
    }
}

impl Drop for Picky {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _failed = thread.join();
        }
    }
}

/// One connection, to its end.
fn serve(mut stream: TcpStream, taken: &Taken, ends: &AtomicBool) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = Vec::new();
    let mut more = [0; 4_096];
    while !ends.load(Ordering::Acquire) {
        while let Some((head, body)) = packet(&mut buffer) {
            match head >> 4 {
                1 => stream.write_all(&[0x20, 3, 0, 0, 0])?,
                3 => {
                    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
                    let payload = body[2 + length + 3..].to_vec();
                    if body.len() > BYTES_MAX {
                        // What it has not read would take the acknowledgements along, so it reads until the client ends too.
                        stream.shutdown(Shutdown::Write)?;
                        stream.set_read_timeout(Some(PATIENCE))?;
                        while stream.read(&mut more)? > 0 {}
                        return Ok(());
                    }
                    let id = &body[2 + length..2 + length + 2];
                    stream.write_all(&[0x40, 2, id[0], id[1]])?;
                    taken.lock().unwrap().push((topic, payload));
                }
                12 => stream.write_all(&[0xd0, 0])?,
                14 => return Ok(()),
                _ => {}
            }
        }
        match stream.read(&mut more) {
            Ok(0) => return Ok(()),
            Ok(bytes) => buffer.extend_from_slice(&more[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first whole packet: its first byte, and what follows its length.
fn packet(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = *buffer.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if buffer.len() < at + length {
        return None;
    }
    let whole: Vec<u8> = buffer.drain(..at + length).collect();
    Some((whole[0], whole[at..].to_vec()))
}

#[test]
fn a_row_for_which_the_broker_closes_goes_short_and_keeps_nobody_waiting() {
    let scratch = Scratch::new();
    let broker = Picky::start();
    let url = format!("broker = \"mqtt://127.0.0.1:{}\"\nhistory = \"all\"", broker.port);
    line(&scratch, 3, &url, "");
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    let connection = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    let insert = "INSERT INTO event (time_us, kind, who, subject, detail) VALUES (1, 'long', 'ann', 'line', ?1)";
    connection.execute(insert, ["x".repeat(3_000)]).unwrap();
    drop(connection);
    // State, alarms and the cameras' verdicts are acknowledged all the time.
    line(&scratch, -1, &url, "");
    let running = Running::start(&scratch, &[]);
    let long = || broker.events().into_iter().find(|body| body["kind"] == "long");
    running.until("the long event arrives", |_| long().is_some());
    let long = long().unwrap();
    assert_eq!(long["shortened"], true);
    // No other row was shortened for it, and all go on.
    assert_eq!(running.metric("sightline_mqtt_shortened_total"), 1);
    let before = broker.verdicts();
    running.until("verdicts go on", |_| broker.verdicts() > before + 100);
    running.until("people hear that it is well", |running| {
        !running.get("/api/v1/state").1.contains("\"id\":\"broker\"")
    });
    running.stop();
}
