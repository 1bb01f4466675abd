//! Modbus TCP for a PLC that asks: connections and requests.
//!
//! Owns who may come in, how many connections there are and how long each may say nothing whole, which requests are
//! answered, and that one connection at a time gives commands. What registers mean is `map`, what follows is `post`.

use std::{
    future, io,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tokio_io_timeout::TimeoutStream;
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{Service, tcp::Server},
};

use super::{Net, Role, counters::count, desk::Desk, lock, map};

/// A PLC, its spare, and some panels that only read.
const CONNECTIONS_MAX: usize = 8;
/// How long a connection may take for a whole request, and for an answer.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What one request may read: Modbus allows no more.
const READ_WORDS_MAX: u16 = 125;
/// What follows a head: the unit, and 253 bytes of a request at most.
const REQUEST_BYTES_MAX: u16 = 254;
/// Out of descriptors, most likely. The server ends with it, and every connection as well, which is told: each comes anew.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What connections share.
struct Shared {
    desk: Arc<Desk>,
    unit: u8,
    places: Arc<Semaphore>,
    connections: AtomicU64,
    /// The connection that gives commands or last gave them, and when it did; no time where it has ended.
    commander: Mutex<Option<(u64, Option<Duration>)>>,
    /// Whose connection ended last.
    ended: Mutex<Option<IpAddr>>,
}

/// Serves until the thread ends.
#[expect(clippy::infinite_loop, reason = "it ends with the runtime that it is dropped with")]
pub(super) async fn serve(desk: &Arc<Desk>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("modbus: {error}");
            return future::pending().await;
        }
    };
    let (allow, unit) = match &desk.options.modbus {
        Some(super::Modbus { role: Role::Server { allow, .. }, unit, .. }) => {
            (allow.clone(), *unit)
        }
        Some(_) | None => (Vec::new(), 1),
    };
    let shared = Arc::new(Shared {
        desk: Arc::clone(desk),
        unit,
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        connections: AtomicU64::new(0),
        commander: Mutex::default(),
        ended: Mutex::default(),
    });
    let server = Server::new(listener);
    let accepted = Arc::clone(&shared);
    let on_connected =
        move |stream, peer| future::ready(Ok(connected(&accepted, &allow, stream, peer)));
    loop {
        let told = Arc::clone(&shared);
        let on_error = move |error: io::Error| told.failed(&error);
        if let Err(error) = server.serve(&on_connected, on_error).await {
            let text = format!("every connection: {error}");
            shared.desk.tell("plc-broke-off", "modbus", text);
        }
        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
    }
}

type Stream = Pin<Box<TimeoutStream<Patient>>>;

/// A connection's service and stream; `None` where it may not come in.
fn connected(
    shared: &Arc<Shared>,
    allow: &[Net],
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Connection, Stream)> {
    let peer = peer.ip().to_canonical();
    let turned_away = |why: &str| {
        count(&shared.desk.counters.turned_away);
        shared.desk.tell("plc-turned-away", "modbus", format!("{peer}: {why}"));
    };
    if !peer.is_loopback() && !allow.iter().any(|net| net.contains(peer)) {
        turned_away("plc.allow does not name it");
        return None;
    }
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        turned_away("there are as many connections as there may be");
        return None;
    };
    // An answer is one small packet, and somebody waits for it.
    let _as_it_is = stream.set_nodelay(true);
    let requests = Arc::new(AtomicU64::new(0));
    let patient = Patient {
        stream,
        requests: Arc::clone(&requests),
        seen: 0,
        patience: Box::pin(tokio::time::sleep(REQUEST_WITHIN)),
        heads: Heads::default(),
    };
    let mut stream = TimeoutStream::new(patient);
    stream.set_write_timeout(Some(ANSWER_WITHIN));
    let id = shared.connections.fetch_add(1, Relaxed);
    let shared = Arc::clone(shared);
    Some((Connection { id, peer, requests, shared, _place: place }, Box::pin(stream)))
}

/// One connection's requests.
struct Connection {
    id: u64,
    peer: IpAddr,
    requests: Arc<AtomicU64>,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Service for Connection {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        self.requests.fetch_add(1, Relaxed);
        // 0 and 255 are the device itself, whatever its unit.
        let is_ours = [self.shared.unit, 0, 255].contains(&request.slave);
        future::ready(if is_ours {
            self.answer(request.request)
        } else {
            Err(ExceptionCode::GatewayTargetDevice)
        })
    }
}

impl Connection {
    fn answer(&self, request: Request<'_>) -> Result<Response, ExceptionCode> {
        match request {
            Request::ReadHoldingRegisters(address, words) => {
                self.read(address, words).map(Response::ReadHoldingRegisters)
            }
            Request::ReadInputRegisters(address, words) => {
                self.read(address, words).map(Response::ReadInputRegisters)
            }
            Request::ReadDiscreteInputs(address, bits) => {
                let bits = self.shared.desk.bits(address, bits, self.is_commander());
                bits.map(Response::ReadDiscreteInputs).map_err(exception)
            }
            Request::WriteSingleRegister(address, word) => {
                self.write(address, &[word])?;
                Ok(Response::WriteSingleRegister(address, word))
            }
            Request::WriteMultipleRegisters(address, words) => {
                self.write(address, &words)?;
                let written = u16::try_from(words.len()).unwrap_or(u16::MAX);
                Ok(Response::WriteMultipleRegisters(address, written))
            }
            Request::ReadWriteMultipleRegisters(address, words, write_address, written) => {
                self.write(write_address, &written)?;
                self.read(address, words).map(Response::ReadWriteMultipleRegisters)
            }
            Request::ReadCoils(..)
            | Request::WriteSingleCoil(..)
            | Request::WriteMultipleCoils(..)
            | Request::ReportServerId
            | Request::MaskWriteRegister(..)
            | Request::ReadDeviceIdentification(..)
            | Request::Custom(..) => Err(ExceptionCode::IllegalFunction),
        }
    }

    /// Whether it gives the commands, or was the last to do so.
    fn is_commander(&self) -> bool {
        lock(&self.shared.commander).is_some_and(|(id, _)| id == self.id)
    }

    fn read(&self, address: u16, words: u16) -> Result<Vec<u16>, ExceptionCode> {
        if words > READ_WORDS_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        self.shared.desk.read(address, words, self.is_commander()).map_err(exception)
    }

    fn write(&self, address: u16, words: &[u16]) -> Result<(), ExceptionCode> {
        let desk = &self.shared.desk;
        let now = desk.clock.monotonic();
        {
            let commander = *lock(&self.shared.commander);
            let within = desk.options.watchdog;
            // Two that give commands would undo one another's.
            let is_other = commander.is_none_or(|(id, _)| id != self.id);
            let at = commander.and_then(|(_, at)| at);
            if is_other && at.is_some_and(|at| at + within >= now) {
                let text = format!("{}: another connection gives the commands", self.peer);
                desk.tell("plc-turned-away", "modbus", text);
                return Err(ExceptionCode::ServerDeviceBusy);
            }
            if is_other {
                // What stands in the registers is the other's, and no word of this one.
                desk.resync();
            }
        }
        if let Err(refused) = desk.write(address, words) {
            let text = format!("{} writes registers that are not its: {address}", self.peer);
            count(&desk.counters.garbage);
            desk.tell("plc-garbage", "modbus", text);
            return Err(exception(refused));
        }
        *lock(&self.shared.commander) = Some((self.id, Some(now)));
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut commander = lock(&self.shared.commander);
        if let Some((_, at)) = commander.as_mut().filter(|(id, _)| *id == self.id) {
            *at = None;
        }
        *lock(&self.shared.ended) = Some(self.peer);
    }
}

impl Shared {
    /// A connection ended, and not by its client's wish. Called as soon as its service has been dropped, on the one
    /// thread there is: the connection that ended last is the one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is the codec's word for garbage")]
    fn failed(&self, error: &io::Error) {
        let peer = *lock(&self.ended);
        let peer = peer.map_or_else(|| "somebody".into(), |peer| peer.to_string());
        match error.kind() {
            io::ErrorKind::TimedOut => {
                self.desk.tell("plc-slow", "modbus", format!("{peer}: no whole request in time"));
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => {
                self.desk.tell("plc-broke-off", "modbus", format!("{peer}: {error}"));
            }
            // The codec's own, and bytes that end in the middle of a request.
            _ => {
                count(&self.desk.counters.garbage);
                self.desk.tell("plc-garbage", "modbus", format!("{peer}: {error}"));
            }
        }
    }
}

fn exception(refused: map::Refused) -> ExceptionCode {
    match refused {
        map::Refused::Address => ExceptionCode::IllegalDataAddress,
    }
}

/// A stream that ends when it brought no whole request for too long, however many bytes dribble in, and as soon as what
/// it brings is no Modbus: the codec would wait for as many bytes as garbage says.
struct Patient {
    stream: TcpStream,
    requests: Arc<AtomicU64>,
    seen: u64,
    patience: Pin<Box<Sleep>>,
    heads: Heads,
}

/// Follows a stream from one request's head to the next.
#[derive(Debug, Default)]
struct Heads {
    /// Of a head: transaction, protocol, length.
    head: Vec<u8>,
    /// Bytes of its request that are still to come.
    rest: usize,
}

impl Heads {
    const BYTES: usize = 6;

    /// More bytes; `false` where they are of no request.
    fn see(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = bytes;
        while let [first, behind @ ..] = bytes {
            if self.rest > 0 {
                let of_request = self.rest.min(bytes.len());
                self.rest -= of_request;
                bytes = &bytes[of_request..];
                continue;
            }
            self.head.push(*first);
            bytes = behind;
            if let [_, _, protocol @ .., high, low] = &self.head[..]
                && self.head.len() == Self::BYTES
            {
                let len = u16::from_be_bytes([*high, *low]);
                if protocol != [0, 0] || !(2..=REQUEST_BYTES_MAX).contains(&len) {
                    return false;
                }
                self.rest = usize::from(len);
                self.head.clear();
            }
        }
        true
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let requests = self.requests.load(Relaxed);
        if requests != self.seen {
            self.seen = requests;
            self.patience.as_mut().reset(Instant::now() + REQUEST_WITHIN);
        }
        if self.patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && !self.heads.see(&buffer.filled()[before..]) {
            let what = io::Error::new(io::ErrorKind::InvalidData, "that is no Modbus");
            return Poll::Ready(Err(what));
        }
        polled
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_modbus_is_seen_by_its_head() {
        let check = |parts: &[&[u8]], expected: bool| {
            let mut heads = Heads::default();
            assert_eq!(parts.iter().all(|part| heads.see(part)), expected, "{parts:?}");
        };
        let read: &[u8] = &[0, 1, 0, 0, 0, 6, 1, 3, 0, 50, 0, 20];
        check(&[read, read], true);
        // However the stream cuts it.
        check(&read.chunks(1).chain(read.chunks(5)).collect::<Vec<_>>(), true);
        check(&[read, b"GET / HTTP/1.1"], false);
        check(&[&[0, 1, 0, 1, 0, 6]], false);
        check(&[&[0, 1, 0, 0, 0, 1]], false);
        check(&[&[0, 1, 0, 0, 1, 0]], false);
        check(&[&[0, 1, 0, 0, 0]], true);
    }
}
