//! The thread `mqtt`: one connection after the other, each from nothing to its end.
//!
//! Owns what is on its way, the rhythm of reading and of moving the cursor, and when people are told that the broker is
//! gone. The client library keeps a queue of its own for a connection that comes back: it is thrown away with each
//! connection, for the ledger knows better what is to be sent again.
//!
//! Cost: a message on its way is some 600 bytes, in the window and in the library; a row costs one read by its key.

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::Receiver;
use rumqttc::{
    Outgoing,
    v5::{
        AsyncClient, Event, EventLoop, Incoming,
        mqttbytes::{
            QoS,
            v5::{ConnAck, LastWill, PubAck, PubAckReason, SubAck, SubscribeReasonCode},
        },
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

use super::{
    dialect::{Delivery, Dialect, Format, Heard, Length, Message},
    failure::{Failure, Kind},
    json::Json,
    sparkplug::Sparkplug,
    suspicion::Suspicion,
    tally::Tally,
    topic::{Identity, Level},
    window::Window,
};
use crate::{
    clock::Clock,
    fault::{Class, Fault, one_line},
    inspected::{Inspected, Onlooker},
    ledger::{
        book,
        outbox::{GapRow, Item, Mark, Marks, Outbox, Row, Sent},
        writer::{Notes, OutboxRows},
    },
    record::Record,
    state::{self, Board, Condition, Trouble},
};

/// Messages on their way: at a round trip of 50 ms a thousand each second.
pub const WINDOW: u16 = 64;
/// Rows that are read at once, of each camera.
const READ_ROWS: usize = 64;
/// Births of 64 cameras, states and what the window holds twice.
const REQUESTS: usize = 512;
/// How often the thread looks round while nothing happens.
const LOOK_ROUND_EVERY: Duration = Duration::from_millis(250);
/// How often it is asked how the station is.
const STATE_EVERY: Duration = Duration::from_millis(100);
/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// For so long a broker may be gone before people are told: one that is restarted is back by then. And for so long it
/// has to stay before it is back where there is nothing to send.
const UNTOLD: Duration = Duration::from_secs(10);
/// A broker that acknowledges nothing for so long is gone.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);
/// A name, TCP, TLS and the broker's answer.
const CONNECTED_WITHIN_SECS: u64 = 10;
/// A connection that lasted for so long makes the next failure a first one.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);
/// A broker that is restarted closes a connection once, or twice.
const CLOSED_MAX: u32 = 3;
/// How long the end of the process is held up for what waits; the rest waits for the next start.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);
/// How long for rows that are not in the file yet.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// What others send us is a command or a state.
const INCOMING_BYTES_MAX: u32 = 64 << 10;

/// Which broker is told, and how.
#[derive(Clone)]
pub struct MqttOptions {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The form.
    pub format: Format,
    /// Who speaks.
    pub identity: Identity,
    /// What topics of JSON begin with.
    pub prefix: String,
    /// How long the connection may be silent.
    pub keep_alive: Duration,
    /// Events are sent as well.
    pub has_events: bool,
    /// No message is larger.
    pub packet_bytes_max: usize,
    /// The Sparkplug host that is waited for.
    pub sparkplug_host: Option<Level>,
}

/// How a broker is reached.
#[derive(Clone)]
pub enum Transport {
    /// TCP.
    Plain,
    /// TLS.
    Tls(Arc<rustls::ClientConfig>),
}

/// What the thread reads, and whom it tells.
pub struct Means {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// The way to hear that rows are in it.
    pub rows: OutboxRows,
    /// Where it is said how far they were sent.
    pub sent: Arc<Sent>,
    /// What happens beside the frames.
    pub notes: Notes,
    /// How the station is.
    pub board: Arc<Board>,
    /// How sending goes.
    pub tally: Arc<Tally>,
    /// For ages.
    pub clock: Arc<dyn Clock>,
    /// The cameras.
    pub cameras: Vec<Arc<str>>,
}

/// The running thread. It sees no frames: it is an [`Onlooker`] for its end, after the frames' and before the ledger's.
pub struct Publisher {
    shared: Arc<Shared>,
    rows: OutboxRows,
    clock: Arc<dyn Clock>,
    thread: Option<(JoinHandle<()>, Receiver<std::convert::Infallible>)>,
}

/// What wakes the thread.
#[derive(Debug, Default)]
struct Shared {
    notify: Notify,
    /// By when it has to have ended.
    closing: Mutex<Option<Duration>>,
}

impl Shared {
    fn closing(&self) -> Option<Duration> {
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// Starts sending.
    pub fn start(options: MqttOptions, means: Means) -> std::io::Result<Self> {
        // Names are looked up in a thread of their own.
        let runtime =
            Builder::new_current_thread().enable_all().thread_name("mqtt-name").build()?;
        let shared = Arc::new(Shared::default());
        let woken = Arc::clone(&shared);
        means.sent.on_rows(move || woken.notify.notify_one());
        let (rows, clock) = (means.rows.clone(), Arc::clone(&means.clock));
        let witness = Witness { board: Arc::clone(&means.board), tally: Arc::clone(&means.tally) };
        let courier = Courier::new(options, means, Arc::clone(&shared));
        let (alive, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name("mqtt".into()).spawn(move || {
            let _witness = witness;
            courier.run(runtime);
            drop(alive);
        })?;
        Ok(Self { shared, rows, clock, thread: Some((thread, ended)) })
    }

    /// Asks for the end within that time, and waits for it; `false` when the thread panicked.
    fn end(&mut self, within: Duration) -> bool {
        let Some((thread, ended)) = self.thread.take() else { return true };
        let deadline = self.clock.monotonic() + within;
        *self.shared.closing.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.shared.notify.notify_one();
        // A little more than it was given; a thread that is later still hangs in a name server.
        match ended.recv_timeout(within + Duration::from_secs(2)) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "the thread mqtt is late, and left behind: what waits is sent at the next start"
                );
                true
            }
            Ok(_) | Err(crossbeam_channel::RecvTimeoutError::Disconnected) => thread.join().is_ok(),
        }
    }
}

impl Onlooker for Publisher {
    fn wants(&mut self, _record: &Record) -> bool {
        false
    }

    fn show(&mut self, _inspected: &Arc<Inspected>) {}

    /// Never: what is not sent waits, and no line stops for that. A thread that panicked is told by its `Witness`.
    fn is_lost(&self) -> bool {
        false
    }

    fn close(mut self: Box<Self>, within: Duration) -> Result<(), Fault> {
        // A disk that takes nothing is the ledger's to tell.
        let _late = self.rows.is_written(within.min(WRITTEN_WITHIN));
        if self.end(within.min(DRAINED_WITHIN)) {
            return Ok(());
        }
        Err(Fault::new(Class::Bug, "the thread mqtt panicked; please report it"))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // A start that failed: nothing was captured.
        let _panicked = self.end(Duration::from_millis(500));
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// Tells people when the thread ends by a panic.
struct Witness {
    board: Arc<Board>,
    tally: Arc<Tally>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let why = "the thread mqtt panicked: results wait in the ledger until the station is started again; please report it";
        tracing::error!("{why}");
        self.tally.lost(0);
        self.tally.set_trouble(Some(why.into()));
        self.board.post(state::Event::Begins(Trouble::Broker));
    }
}

/// How a connection ended.
enum End {
    /// As it was asked to.
    Closed,
    /// Otherwise.
    Failed(Failure),
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No answer yet.
    Connecting,
    /// Until a host listens.
    Waiting,
    /// Rows are sent.
    Speaking,
    /// The last words are on their way.
    Leaving,
}

/// A connection.
struct Link {
    client: AsyncClient,
    phase: Phase,
    /// No packet may be larger.
    bytes_max: usize,
    can_retain: bool,
    /// Since when rows are sent, and when the broker last acknowledged something or nothing was on its way.
    spoken_since: Duration,
    progress: Duration,
    /// The next row fits into no message: it waits for another connection.
    is_stuck: bool,
    /// How the station was when that was last told.
    told: Option<Condition>,
    asked: Duration,
}

/// The thread's own.
struct Courier {
    options: MqttOptions,
    means: Means,
    shared: Arc<Shared>,
    dialect: Box<dyn Dialect>,
    outbox: Outbox,
    /// Rows that were read and not sent.
    ready: VecDeque<Item>,
    /// Everything was read, when that was last tried.
    is_dry: bool,
    window: Window<Mark>,
    /// What was acknowledged and is not in the slot yet.
    reached: Marks,
    /// Gaps that were told.
    gaps: Marks,
    /// Since when it is not proven that anything is sent; `None` while it is.
    silent_since: Option<Duration>,
    why: String,
    has_trouble: bool,
    counted: Duration,
    suspicion: Suspicion,
    ledger_error: Option<String>,
}

impl Courier {
    fn new(options: MqttOptions, means: Means, shared: Arc<Shared>) -> Self {
        let identity = options.identity.clone();
        let dialect: Box<dyn Dialect> = match options.format {
            Format::Json => Box::new(Json::new(&options.prefix, identity)),
            Format::Sparkplug => Box::new(Sparkplug::new(
                identity,
                means.cameras.clone(),
                options.sparkplug_host.clone(),
                means.clock.wall(),
            )),
        };
        let outbox = Outbox::new(means.ledger.clone(), options.has_events);
        Self {
            outbox,
            dialect,
            shared,
            ready: VecDeque::new(),
            is_dry: false,
            window: Window::default(),
            reached: Marks::default(),
            gaps: Marks::default(),
            silent_since: Some(means.clock.monotonic()),
            why: "not connected yet".into(),
            has_trouble: false,
            counted: Duration::ZERO,
            suspicion: Suspicion::default(),
            ledger_error: None,
            options,
            means,
        }
    }

    fn run(mut self, runtime: Runtime) {
        let (mut failures, mut closed) = (0, 0);
        loop {
            let began = self.now();
            let end = runtime.block_on(self.session());
            self.put_marks();
            let End::Failed(mut failure) = end else { break };
            if self.now().saturating_sub(began) >= HEALTHY_AFTER {
                (failures, closed) = (0, 0);
            }
            closed = if failure.kind == Kind::Closed { closed + 1 } else { 0 };
            if closed >= CLOSED_MAX {
                failure = Failure::closed_again_and_again(&self.options.identity);
            }
            let wait = failure.wait(failures, jitter());
            failures = failures.saturating_add(1);
            self.failed(failure, wait);
            if runtime.block_on(self.rest(wait)) {
                break;
            }
        }
        // A name server that does not answer is not waited for.
        runtime.shutdown_timeout(Duration::from_millis(100));
    }

    fn now(&self) -> Duration {
        self.means.clock.monotonic()
    }

    /// Waits before the next attempt; `true` when the end was asked for.
    async fn rest(&mut self, wait: Duration) -> bool {
        let until = self.now() + wait;
        loop {
            let left = until.saturating_sub(self.now());
            if self.shared.closing().is_some() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            tokio::select! {
                () = self.shared.notify.notified() => {}
                () = tokio::time::sleep(left.min(COUNT_EVERY)) => {}
            }
            self.count();
            self.tell_trouble();
        }
    }

    fn connection(&mut self) -> (Link, EventLoop) {
        let MqttOptions { host, port, transport, login, identity, keep_alive, .. } = &self.options;
        let will = self.dialect.will(self.means.clock.wall());
        let is_retained = will.delivery == Delivery::Retained;
        let will = LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, is_retained, None);
        let mut options = rumqttc::v5::MqttOptions::new(identity.client_id(), host, *port);
        options
            .set_last_will(will)
            .set_keep_alive(*keep_alive)
            .set_clean_start(true)
            .set_connection_timeout(CONNECTED_WITHIN_SECS)
            .set_max_packet_size(Some(INCOMING_BYTES_MAX))
            .set_outgoing_inflight_upper_limit(WINDOW);
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        if let Transport::Tls(config) = transport {
            let config = rumqttc::TlsConfiguration::Rustls(Arc::clone(config));
            options.set_transport(rumqttc::Transport::tls_with_config(config));
        }
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let now = self.now();
        let link = Link {
            client,
            phase: Phase::Connecting,
            bytes_max: self.options.packet_bytes_max,
            can_retain: true,
            spoken_since: now,
            progress: now,
            is_stuck: false,
            told: None,
            asked: now,
        };
        (link, events)
    }

    /// A connection, from its begin to its end.
    async fn session(&mut self) -> End {
        let (mut link, mut events) = self.connection();
        let end = self.converse(&mut link, &mut events).await;
        if link.phase != Phase::Connecting {
            self.means.tally.lost(self.window.marks().count());
        }
        self.suspicion.ended(self.window.marks(), WINDOW);
        self.window = Window::default();
        self.ready.clear();
        self.is_dry = false;
        self.outbox.rewind();
        self.silent_since.get_or_insert(self.means.clock.monotonic());
        end
    }

    async fn converse(&mut self, link: &mut Link, events: &mut EventLoop) -> End {
        loop {
            let event = {
                // Never dropped half-way: what the library has counted as sent might not have left.
                let mut poll = pin!(events.poll());
                loop {
                    tokio::select! {
                        event = &mut poll => break event,
                        () = self.shared.notify.notified() => {}
                        () = tokio::time::sleep(LOOK_ROUND_EVERY) => {}
                    }
                    self.is_dry = false;
                    if let Err(end) = self.look_round(link) {
                        return end;
                    }
                }
            };
            let heard = match event {
                Ok(event) => self.hear(link, event),
                Err(error) => Err(End::Failed(Failure::of(&error, &self.options.identity))),
            };
            if let Err(end) = heard.and_then(|()| self.look_round(link)) {
                return end;
            }
        }
    }

    fn hear(&mut self, link: &mut Link, event: Event) -> Result<(), End> {
        match event {
            Event::Incoming(Incoming::ConnAck(answer)) => self.connected(link, &answer),
            Event::Incoming(Incoming::PubAck(answer)) => self.acknowledged(link, &answer),
            Event::Incoming(Incoming::Publish(publish)) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                match (self.dialect.heard(&topic, &publish.payload), link.phase) {
                    (Heard::Host { is_online: true }, Phase::Waiting)
                    | (Heard::Greet, Phase::Speaking) => self.greet(link),
                    // Its births are no longer worth anything: the will says so.
                    (Heard::Host { is_online: false }, Phase::Speaking) => {
                        Err(End::Failed(Failure::passing("the Sparkplug host went offline")))
                    }
                    _ => Ok(()),
                }
            }
            Event::Outgoing(Outgoing::Publish(packet)) => {
                self.window.left(packet).map_err(confused)?;
                self.settle();
                Ok(())
            }
            Event::Incoming(Incoming::SubAck(answer)) => self.subscribed(&answer),
            Event::Outgoing(Outgoing::Disconnect) => Err(End::Closed),
            Event::Incoming(_) | Event::Outgoing(_) => Ok(()),
        }
    }

    fn connected(&mut self, link: &mut Link, answer: &ConnAck) -> Result<(), End> {
        if let Some(limits) = &answer.properties {
            let broker_max = limits.max_packet_size.and_then(|bytes| usize::try_from(bytes).ok());
            link.bytes_max = broker_max.unwrap_or(usize::MAX).min(link.bytes_max);
            link.can_retain = limits.retain_available != Some(0);
            if limits.max_qos == Some(0) {
                let why = "the broker acknowledges nothing (maximum QoS 0): it has to allow QoS 1";
                return Err(End::Failed(Failure::mending(why)));
            }
        }
        let now = self.now();
        link.progress = now;
        self.means.tally.connected();
        for filter in self.dialect.subscriptions() {
            link.client.try_subscribe(filter, QoS::AtLeastOnce).map_err(|_full| overfull())?;
        }
        if self.dialect.waits_for_host() {
            link.phase = Phase::Waiting;
            self.why = "connected, and the Sparkplug host is not online".into();
            return Ok(());
        }
        self.greet(link)
    }

    /// Without what was asked for a host is waited for, or commands are not heard, for good.
    fn subscribed(&self, answer: &SubAck) -> Result<(), End> {
        let is_success =
            |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        let Some(code) = answer.return_codes.iter().find(|code| !is_success(code)) else {
            return Ok(());
        };
        let topics = self.dialect.subscriptions().join(" and ");
        let why = format!(
            "the broker does not let this station subscribe ({code:?}): allow it there to read {topics}"
        );
        Err(End::Failed(Failure::mending(why)))
    }

    /// From now on rows are sent.
    fn greet(&mut self, link: &mut Link) -> Result<(), End> {
        // A host may ask for births at any time: that begins nothing.
        if link.phase != Phase::Speaking {
            link.spoken_since = self.now();
        }
        link.phase = Phase::Speaking;
        tracing::info!(broker = self.means.tally.broker(), "the broker is told");
        let condition = self.means.board.condition();
        let messages = self.dialect.greeting(&condition, self.means.clock.wall());
        link.told = Some(condition);
        messages.into_iter().try_for_each(|message| self.publish(link, message, None))
    }

    fn acknowledged(&mut self, link: &mut Link, answer: &PubAck) -> Result<(), End> {
        match answer.reason {
            PubAckReason::Success => {}
            PubAckReason::NoMatchingSubscribers => self.means.tally.unheard(),
            PubAckReason::NotAuthorized => {
                let why = format!(
                    "the broker does not let this station publish: allow it there for the topics of {}",
                    self.options.identity
                );
                return Err(End::Failed(Failure::mending(why)));
            }
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded
            | PubAckReason::PayloadFormatInvalid => {
                let why = format!("the broker refused a message: {:?}", answer.reason);
                return Err(End::Failed(Failure::passing(why)));
            }
        }
        self.window.acknowledged(answer.pkid).map_err(confused)?;
        link.progress = self.now();
        // A row, not only how the station is: brokers have closed connections at the first row, again and again.
        if self.settle() && !link.is_stuck {
            self.proven();
        }
        Ok(())
    }

    /// Moves the cursor behind what is done with; whether a row was.
    fn settle(&mut self) -> bool {
        let marks = self.window.settle();
        for mark in &marks {
            self.means.tally.acknowledged();
            self.suspicion.settled(mark);
            self.outbox.acknowledge(mark);
            self.reached.reach(mark);
        }
        !marks.is_empty()
    }

    /// The broker is there, and takes what it is sent.
    fn proven(&mut self) {
        if self.ledger_error.is_some() || self.silent_since.take().is_none() {
            return;
        }
        self.why.clear();
        self.means.tally.set_trouble(None);
        if std::mem::take(&mut self.has_trouble) {
            self.means.board.post(state::Event::Ends(Trouble::Broker));
            self.note("broker-back", self.means.tally.broker().to_owned());
        }
    }

    /// Whatever is due: the end, the station's state, rows, the cursor, what is told of all that.
    fn look_round(&mut self, link: &mut Link) -> Result<(), End> {
        let now = self.now();
        self.count();
        self.put_marks();
        let is_speaking = link.phase == Phase::Speaking && !link.is_stuck;
        if !is_speaking || self.ledger_error.is_some() {
            self.tell_trouble();
        } else if self.window.is_empty() && now.saturating_sub(link.spoken_since) >= UNTOLD {
            self.proven();
        }
        if self.window.is_empty() {
            link.progress = now;
        } else if now.saturating_sub(link.progress) > ACKNOWLEDGED_WITHIN {
            let seconds = ACKNOWLEDGED_WITHIN.as_secs();
            let why = format!("the broker has acknowledged nothing for {seconds} s");
            return Err(End::Failed(Failure::passing(why)));
        }
        if link.phase == Phase::Speaking {
            self.state(link)?;
            self.rows(link)?;
        }
        let Some(deadline) = self.shared.closing() else { return Ok(()) };
        let is_late = now >= deadline;
        let is_read = self.is_dry && self.ready.is_empty() && self.ledger_error.is_none();
        let is_done = is_read && self.window.is_empty();
        match link.phase {
            Phase::Speaking if is_done || is_late || link.is_stuck => {
                link.phase = Phase::Leaving;
                for message in self.dialect.farewell(self.means.clock.wall()) {
                    self.publish(link, message, None)?;
                }
                Ok(())
            }
            Phase::Leaving if self.window.is_empty() => {
                // Told by an event when it has left.
                link.client.try_disconnect().map_err(|_full| overfull())
            }
            Phase::Leaving | Phase::Speaking if !is_late => Ok(()),
            // A run can be shorter than a handshake; who has long been away holds nothing up.
            Phase::Connecting | Phase::Waiting if !is_late && !self.has_trouble => Ok(()),
            Phase::Connecting | Phase::Waiting | Phase::Speaking | Phase::Leaving => {
                Err(End::Closed)
            }
        }
    }

    fn state(&mut self, link: &mut Link) -> Result<(), End> {
        let now = self.now();
        if now.saturating_sub(link.asked) < STATE_EVERY {
            return Ok(());
        }
        link.asked = now;
        let condition = self.means.board.condition();
        let is_told = link.told.as_ref().is_some_and(|told| {
            (told.state(), told.mode, &told.troubles)
                == (condition.state(), condition.mode, &condition.troubles)
        });
        if is_told {
            return Ok(());
        }
        let messages = self.dialect.state(&condition, self.means.clock.wall());
        link.told = Some(condition);
        messages.into_iter().try_for_each(|message| self.publish(link, message, None))
    }

    /// Fills the window.
    fn rows(&mut self, link: &mut Link) -> Result<(), End> {
        while !link.is_stuck {
            let room = if self.suspicion.is_careful() { 1 } else { usize::from(WINDOW) };
            if self.window.len() >= room {
                break;
            }
            let Some(item) = self.item() else { break };
            let is_suspect = self.suspicion.is_suspect(&item.mark);
            self.gap(&item);
            let (bytes_max, now) = (link.bytes_max, self.means.clock.wall());
            let whole = (!is_suspect)
                .then(|| self.dialect.row(&item.row, Length::Whole(bytes_max), now))
                .flatten();
            let messages = whole.or_else(|| {
                self.means.tally.shortened();
                self.dialect.row(&item.row, Length::Short(bytes_max), now)
            });
            let Some(mut messages) = messages else {
                self.stuck(link);
                self.ready.push_front(item);
                break;
            };
            let Some(last) = messages.pop() else { continue };
            for message in messages {
                self.publish(link, message, None)?;
            }
            self.publish(link, last, Some(item.mark))?;
            self.means.tally.published();
        }
        Ok(())
    }

    fn item(&mut self) -> Option<Item> {
        if self.ready.is_empty() && !self.is_dry {
            match self.outbox.next(READ_ROWS) {
                Ok(items) => {
                    self.is_dry = items.is_empty();
                    self.ready = items;
                    self.ledger_error = None;
                }
                Err(error) => {
                    self.is_dry = true;
                    self.unreadable(&one_line(&error));
                }
            }
        }
        self.ready.pop_front()
    }

    /// What waits is not known, so nothing is done with.
    fn unreadable(&mut self, error: &str) {
        let why = format!("the ledger cannot be read: {error}");
        self.silent_since.get_or_insert(self.means.clock.monotonic());
        if self.ledger_error.as_ref() != Some(&why) {
            tracing::warn!("{why}; the broker is not told of it");
            self.why.clone_from(&why);
            self.ledger_error = Some(why);
        }
    }

    /// A row that no message can hold is not left out: the broker's limit has to be raised.
    fn stuck(&mut self, link: &mut Link) {
        link.is_stuck = true;
        self.silent_since.get_or_insert(self.means.clock.monotonic());
        self.why = format!(
            "a message of {} bytes, which is all that the broker takes, holds no row: raise its maximum packet size, or mqtt.packet_bytes_max, to 4096",
            link.bytes_max
        );
        self.begin_trouble();
    }

    /// Tells once that rows went before they were sent.
    fn gap(&mut self, item: &Item) {
        let Row::Gap(GapRow { lane, first, last }) = &item.row else { return };
        let before = self.gaps.clone();
        self.gaps.reach(&item.mark);
        if self.gaps == before {
            return;
        }
        let (subject, what) = match lane {
            Some((camera, epoch)) => {
                (&**camera, format!("frames {first} to {last} of epoch {epoch}"))
            }
            None => ("events", format!("events {first} to {last}")),
        };
        if let Some(lane) = lane {
            // It may be longer than when it was told before, and is counted once.
            let told = before.lanes.get(lane).map_or(0, |[frames, _]| *frames);
            self.means.tally.gap(last - told.max(first - 1));
        }
        tracing::error!(subject, "{what} were no longer kept when the broker could have been told");
        let detail = format!("{what}: no longer kept when they could have been sent");
        let event = book::Event::ours(self.means.clock.wall(), "outbox-gap", subject, detail);
        self.means.notes.note(event);
    }

    fn publish(&mut self, link: &Link, message: Message, mark: Option<Mark>) -> Result<(), End> {
        let (qos, retain) = match message.delivery {
            Delivery::Acknowledged => (QoS::AtLeastOnce, false),
            Delivery::Retained => (QoS::AtLeastOnce, link.can_retain),
            Delivery::Once => (QoS::AtMostOnce, false),
        };
        if message.packet_bytes() > link.bytes_max {
            // No row: a birth, or the alarms of a very bad day.
            let why = format!(
                "the broker takes packets of {} bytes at most, and {} needs {}: raise its maximum packet size",
                link.bytes_max,
                message.topic,
                message.packet_bytes()
            );
            return Err(End::Failed(Failure::mending(why)));
        }
        link.client
            .try_publish(message.topic, qos, retain, message.payload)
            .map_err(|_full| overfull())?;
        self.window.push(mark);
        Ok(())
    }

    fn put_marks(&mut self) {
        if !self.reached.is_empty() {
            self.means.sent.put(std::mem::take(&mut self.reached));
        }
    }

    /// Counts what waits, now and then.
    fn count(&mut self) {
        let now = self.now();
        if now.saturating_sub(self.counted) < COUNT_EVERY {
            return;
        }
        self.counted = now;
        match self.outbox.backlog() {
            Ok(backlog) => self.means.tally.waiting(backlog),
            Err(error) => self.unreadable(&one_line(&error)),
        }
    }

    fn failed(&mut self, failure: Failure, wait: Duration) {
        let Failure { why, kind } = failure;
        if self.why != why {
            let broker = self.means.tally.broker();
            tracing::warn!(
                broker,
                "{why}; results are kept, tried again in {:.0} s",
                wait.as_secs_f64()
            );
            self.why = why;
        }
        if kind == Kind::Mending {
            self.begin_trouble();
        }
    }

    /// Nothing has been sent for so long that people have to know.
    fn tell_trouble(&mut self) {
        let Some(since) = self.silent_since else { return };
        if self.now().saturating_sub(since) >= UNTOLD {
            self.begin_trouble();
        }
    }

    fn begin_trouble(&mut self) {
        if self.means.tally.trouble().as_ref() != Some(&self.why) {
            self.means.tally.set_trouble(Some(self.why.clone()));
        }
        if !std::mem::replace(&mut self.has_trouble, true) {
            self.means.board.post(state::Event::Begins(Trouble::Broker));
            self.note("broker-lost", self.why.clone());
        }
    }

    fn note(&self, kind: &'static str, detail: String) {
        self.means.notes.note(book::Event::ours(self.means.clock.wall(), kind, "mqtt", detail));
    }
}

/// The library and we disagree about what is on its way: a new connection makes us agree.
fn confused(super::window::Unknown(packet): super::window::Unknown) -> End {
    End::Failed(Failure::passing(format!(
        "the broker acknowledged packet {packet}, which was not sent"
    )))
}

/// The queue to the library holds more than is ever on its way.
fn overfull() -> End {
    End::Failed(Failure::passing("the client's queue is full"))
}

fn jitter() -> f64 {
    let mut bytes = [0; 2];
    // Without chance they come back together; no worse than that.
    let _same = getrandom::fill(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_thread_is_told_and_stops_no_line() {
        let (board, tally) = (Arc::new(Board::new(1)), Arc::new(Tally::default()));
        board.post(state::Event::Ready);
        tally.connected();
        let end = |panics: bool| {
            let witness = Witness { board: Arc::clone(&board), tally: Arc::clone(&tally) };
            let thread = std::thread::spawn(move || {
                let _witness = witness;
                assert!(!panics);
            });
            assert_eq!(thread.join().is_err(), panics);
        };
        end(false);
        assert!(tally.is_connected() && tally.trouble().is_none());
        end(true);
        assert!(!tally.is_connected());
        assert!(tally.trouble().unwrap().contains("panicked"));
        let condition = board.condition();
        assert!(condition.troubles.contains_key(&Trouble::Broker) && condition.is_reliable());
    }
}
