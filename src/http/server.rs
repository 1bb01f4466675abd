//! Listening, and the life of a connection.
//!
//! Owns the thread `http` and every limit on connections: how many, how many of an address, how long a handshake, a head
//! and a whole connection may take, and how long a client may take nothing. Knows no routes.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::{server::conn::http1::Parts, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::Instant,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::{
    gate::{Gate, Proof},
    live,
};
use crate::{access::attempts::network, machine::yield_to_others};

/// The largest head: a request line and what a browser or a scraper sends with it.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long the head of a request may take: a client that dribbles must not hold a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may live that somebody looks through.
pub(super) const LIVE_WITHIN: Duration = Duration::from_mins(15);

/// How long what has begun may take at the end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that has to end may take to say what it is about to say.
const SAYS_WITHIN: Duration = Duration::from_secs(5);

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// At a time: pages that look, their requests, a scraper, a balancer.
    connections: usize,
    /// Of them, those that live long; the others stay for who asks something.
    live: usize,
    /// Of one address, where it says who it is: four browsers with all that they open.
    address: usize,
    /// How long a client may take nothing of what it asked for.
    takes_nothing_for: Duration,
    /// How long a connection may live, with all its requests.
    connection_within: Duration,
    /// How long one may live that somebody looks through.
    live_within: Duration,
    /// How often it is seen to it that whoever looks still may.
    still_every: Duration,
}

impl Limits {
    /// Those in force.
    const USUAL: Self = Self {
        connections: 160,
        live: 64,
        address: 32,
        takes_nothing_for: Duration::from_secs(20),
        connection_within: Duration::from_mins(1),
        live_within: LIVE_WITHIN,
        still_every: Duration::from_secs(5),
    };
}

/// The server's thread.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves on a thread of its own; what is to be done `beside` ends with it.
    pub(super) fn serve(
        listener: TcpListener,
        gate: Arc<Gate>,
        routes: Router,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        Self::within(Limits::USUAL, listener, gate, routes, beside)
    }

    fn within(
        limits: Limits,
        listener: TcpListener,
        gate: Arc<Gate>,
        routes: Router,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let scheme = if gate.tls().is_some() { "https" } else { "http" };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("http-aside")
            .max_blocking_threads(1)
            // Hashes and files may take their time, verdicts may not.
            .on_thread_start(|| yield_to_others("http-aside"))
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        tokio::spawn(beside);
                        accept(listener, limits, gate, routes, stopped).await;
                    }
                    Err(error) => tracing::error!("http: {error}"),
                }
            });
            // Connections that are open end with the runtime; a disk that hangs is not waited for.
            runtime.shutdown_timeout(ENDS_WITHIN);
        })?;
        Ok(Self { address, scheme, stop, thread })
    }

    /// Ends it; `false` when its thread panicked.
    pub fn stop(self) -> bool {
        // An error means that the thread has ended before.
        let _ended = self.stop.send(());
        self.thread.join().is_ok()
    }
}

/// A connection, as its requests see it.
pub(super) struct Connection {
    /// Who calls.
    pub(super) peer: IpAddr,
    /// The address that was called.
    pub(super) called: IpAddr,
    limits: Limits,
    life: watch::Sender<Life>,
    live: Arc<Semaphore>,
    /// The place of one that lives long, until it ends.
    place: OnceLock<OwnedSemaphorePermit>,
}

/// How long a connection may live.
#[derive(Clone, Debug)]
struct Life {
    ends: Instant,
    /// What must hold meanwhile, of one that lives long.
    proof: Option<Proof>,
}

impl Connection {
    /// Lets it live longer, for as long as the proof holds; `false` when there is no place for one more.
    pub(super) fn live_on(&self, proof: Option<Proof>) -> bool {
        if self.place.get().is_none() {
            let Ok(place) = Arc::clone(&self.live).try_acquire_owned() else { return false };
            // Two at once on one connection cannot be: its requests come one after another.
            let _set = self.place.set(place);
        }
        self.life.send_replace(Life { ends: Instant::now() + self.limits.live_within, proof });
        true
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    limits: Limits,
    gate: Arc<Gate>,
    routes: Router,
    mut stopped: oneshot::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let live = Arc::new(Semaphore::new(limits.live));
    let addresses = Arc::new(Addresses::default());
    loop {
        let accepted = async {
            // A client that finds no place waits in the kernel's queue, which is bounded as well.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (accepted, place) = tokio::select! {
            Some(accepted) = accepted => accepted,
            _ = &mut stopped => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others will close theirs.
                tracing::warn!("http: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        live::prepare(&stream);
        let Ok(called) = stream.local_addr() else { continue };
        let peer = peer.ip().to_canonical();
        let most = if gate.knows_addresses() { limits.address } else { limits.connections };
        // It has enough: the others must find a place.
        let Some(counted) = addresses.count(peer, most) else { continue };
        let life = Life { ends: Instant::now() + limits.connection_within, proof: None };
        let connection = Connection {
            peer,
            called: called.ip(),
            limits,
            life: watch::Sender::new(life),
            live: Arc::clone(&live),
            place: OnceLock::new(),
        };
        let (gate, routes) = (Arc::clone(&gate), routes.clone());
        tokio::spawn(async move {
            open(stream, connection, &gate, routes).await;
            drop((place, counted));
        });
    }
}

/// Speaks to a client until one of both has had enough.
async fn open(stream: TcpStream, connection: Connection, gate: &Gate, routes: Router) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(connection.limits.takes_nothing_for));
    let stream = Box::pin(stream);
    let Some(config) = gate.tls() else { return converse(stream, connection, gate, routes).await };
    let handshake = TlsAcceptor::from(config).accept(stream);
    // Who speaks another protocol, or trusts no certificate of ours, goes away.
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await {
        converse(stream, connection, gate, routes).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    gate: &Gate,
    routes: Router,
) {
    let still_every = connection.limits.still_every;
    let mut life = connection.life.subscribe();
    let connection = Arc::new(connection);
    let routes = TowerToHyperService::new(routes);
    let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&connection));
        routes.call(request)
    });
    let mut conversation = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX_BYTES)
        // Who has said all there is to say still wants the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut last_word = None;
    loop {
        let Life { ends, proof } = life.borrow_and_update().clone();
        let ends = last_word.unwrap_or(ends);
        let look = if proof.is_some() { ends.min(Instant::now() + still_every) } else { ends };
        tokio::select! {
            ended = &mut conversation => {
                if ended.is_err_and(|error| error.is_timeout()) {
                    too_slow(conversation.into_parts()).await;
                }
                // Any other client goes away, or breaks the protocol: its own business.
                return;
            }
            () = tokio::time::sleep_until(look) => {
                if !proof.is_none_or(|proof| gate.still_holds(&proof)) {
                    return;
                }
                if Instant::now() >= ends {
                    if last_word.is_some() {
                        return;
                    }
                    // The answer that is under way is the last.
                    std::pin::Pin::new(&mut conversation).graceful_shutdown();
                    last_word = Some(Instant::now() + SAYS_WITHIN);
                }
            }
            // It lives longer from now on.
            Ok(()) = life.changed() => {}
        }
    }
}

/// Tells whoever dribbles a head; who has said nothing hears nothing.
async fn too_slow<S>(parts: Parts<TokioIo<impl AsyncWrite + Unpin>, S>) {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    if !parts.read_buf.is_empty() {
        let mut stream = parts.io.into_inner();
        // Gone by then, perhaps.
        let _heard = stream.write_all(answer).await;
        let _heard = stream.shutdown().await;
    }
}

/// How many connections an address has.
#[derive(Default)]
struct Addresses {
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One of them, until it is dropped.
struct Counted {
    address: IpAddr,
    among: Arc<Addresses>,
}

impl Addresses {
    /// One more of that address; `None` where it has as many as it may.
    fn count(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Counted> {
        // Of version 6 whoever has one has very many.
        let address = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { address, among: Arc::clone(self) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.among.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        pin::Pin,
        task::{Context, Poll},
    };

    use axum::{body::Body, middleware, response::Response, routing::get};
    use hyper::body::{Bytes, Frame};

    use utoipa_axum::router::OpenApiRouter;

    use super::*;
    use crate::{
        access::{
            Role,
            password::Password,
            users::{User, Users},
        },
        clock::SystemClock,
        http::gate::{Opened, Way},
    };

    #[test]
    fn an_address_has_so_many_connections_and_leaves_nothing_behind() {
        let addresses = Arc::new(Addresses::default());
        let (here, there) = (IpAddr::from([10, 0, 0, 8]), IpAddr::from([10, 0, 0, 9]));
        let mut open: Vec<_> = (0..5).map_while(|_| addresses.count(here, 3)).collect();
        assert_eq!(open.len(), 3);
        assert!(addresses.count(there, 3).is_some());
        open.pop();
        open.extend(addresses.count(here, 3));
        assert_eq!(open.len(), 3);
        drop(open);
        assert!(addresses.open.lock().unwrap().is_empty());
    }

    /// A body that never ends: as much at once as is taken, or a tick now and then.
    struct Endless {
        every: Option<tokio::time::Interval>,
    }

    impl hyper::body::Body for Endless {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            let bytes = match &mut self.every {
                Some(every) => {
                    std::task::ready!(every.poll_tick(context));
                    Bytes::from_static(b"tick")
                }
                None => Bytes::from_static(&[b'x'; 4096]),
            };
            Poll::Ready(Some(Ok(Frame::data(bytes))))
        }
    }

    fn ticks() -> Endless {
        Endless { every: Some(tokio::time::interval(Duration::from_millis(20))) }
    }

    /// Every request is let on, with the proof of whoever is logged in.
    fn serve(limits: Limits, gate: &Arc<Gate>, proof: &Proof) -> Server {
        let live = |proof: Proof| {
            let live = OpenApiRouter::new()
                .route("/ticks", get(|| async { Response::new(Body::new(ticks())) }))
                .route(
                    "/flood",
                    get(|| async { Response::new(Body::new(Endless { every: None })) }),
                );
            let on = move |mut request: Request, next: middleware::Next| {
                request.extensions_mut().insert(proof.clone());
                next.run(request)
            };
            Router::from(super::super::guard::lives_long(live)).layer(middleware::from_fn(on))
        };
        let routes = Router::new().route("/", get(|| async { "here" })).merge(live(proof.clone()));
        let any = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Server::within(limits, any, Arc::clone(gate), routes, std::future::ready(())).unwrap()
    }

    fn gate(users: Option<Users>) -> Arc<Gate> {
        Arc::new(Gate::new(Vec::new(), Way::Plain, users, Arc::new(SystemClock::start())))
    }

    const SHORT: Limits = Limits {
        connections: 8,
        live: 3,
        address: 8,
        takes_nothing_for: Duration::from_millis(300),
        connection_within: Duration::from_millis(500),
        live_within: Duration::from_secs(2),
        still_every: Duration::from_millis(50),
    };

    fn ask(server: &Server, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream
    }

    fn head(stream: &mut TcpStream) -> String {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head).into_owned()
    }

    fn rest(mut stream: TcpStream) -> (usize, Duration) {
        let began = std::time::Instant::now();
        let mut bytes = Vec::new();
        let _reset = stream.read_to_end(&mut bytes);
        (bytes.len(), began.elapsed())
    }

    #[test]
    fn what_lives_long_has_places_of_its_own_and_lives_longer_than_the_others() {
        let server = serve(SHORT, &gate(None), &Proof::Local);
        let mut live: Vec<_> = (0..4).map(|_| ask(&server, "/ticks")).collect();
        let mut told: Vec<_> = live.iter_mut().map(head).collect();
        told.sort();
        assert_eq!(told, ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 503"]);
        // Whoever asks something still has a place, and is let go of after a short life.
        let mut other = ask(&server, "/");
        assert_eq!(head(&mut other), "HTTP/1.1 200");
        assert!(rest(other).1 < SHORT.live_within);
        let longest = live.into_iter().map(|stream| rest(stream).0).max().unwrap();
        // More ticks than a short life has.
        assert!(longest > 50 * 4, "{longest} bytes");
        // Their places are free again.
        assert_eq!(head(&mut ask(&server, "/ticks")), "HTTP/1.1 200");
        assert!(server.stop());
    }

    #[test]
    fn a_client_that_takes_nothing_is_let_go_of_long_before_its_time() {
        let limits = Limits { live_within: Duration::from_hours(1), ..SHORT };
        let server = serve(limits, &gate(None), &Proof::Local);
        let deaf: Vec<_> = (0..3).map(|_| ask(&server, "/flood")).collect();
        // All places are taken until the deaf are let go of.
        let began = std::time::Instant::now();
        while head(&mut ask(&server, "/ticks")) != "HTTP/1.1 200" {
            assert!(began.elapsed() < Duration::from_mins(1), "the deaf hold their places");
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(deaf);
        assert!(server.stop());
    }

    #[test]
    fn whoever_looks_is_cut_off_when_he_no_longer_may() {
        let password = Password::nobodys();
        let eva = User { name: "eva".into(), role: Role::Viewer, password };
        let mut users = Users::default();
        users.add_user(eva.clone()).unwrap();
        let gate = gate(Some(users));
        let Opened { cookie, csrf } = gate.open(eva, None).unwrap().unwrap();
        let key = crate::access::secret::sha256(&cookie);
        let limits = Limits { live_within: Duration::from_hours(1), ..SHORT };
        let server = serve(limits, &gate, &Proof::Session(key, csrf));
        let mut stream = ask(&server, "/ticks");
        assert_eq!(head(&mut stream), "HTTP/1.1 200");
        gate.close(&key);
        // An hour is not waited for.
        assert!(rest(stream).1 < Duration::from_mins(1));
        assert!(server.stop());
    }
}
