//! Standard output: one line per verdict, and the status line of a terminal.
//!
//! Owns the thread `sink-stdout` and its queue. The queue is bounded: a reader that sleeps holds back
//! cameras that may be held back (`every`), and costs the others lines, which are counted. A line whose number the ledger
//! has not reserved waits here, bounded in time and by the lines behind it: what left must be found after a power cut.
//! The only place of the library that prints.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::line::Line;
use crate::ledger::Reserving;

/// Half a second of a fast line: a pipe's reader may pause that long unnoticed.
const QUEUE_LEN: usize = 64;
/// How often a line that waits for its number to be reserved looks for that.
const HELD_EVERY: Duration = Duration::from_millis(5);
/// How often it looks in all: a second. A commit that takes longer is a disk in trouble.
const HELD_LOOKS: u32 = 200;
/// Lines that may wait behind it: well before any is lost.
const HELD_LINES: usize = QUEUE_LEN / 2;
/// Often enough to look alive, too seldom to cost anything.
const STATUS_EVERY: Duration = Duration::from_millis(250);

/// How lines look.
#[derive(Clone, Debug)]
pub enum Style {
    /// JSON lines.
    Json,
    /// For people.
    Text,
}

/// What becomes of a line when the reader of standard output sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The giver waits.
    Wait,
    /// The line is given up and counted.
    Lose,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lost line has to be counted"]
pub enum Handed {
    /// It will be written.
    Queued,
    /// The queue was full.
    Lost,
    /// Standard output is gone; [`Closing::join`] says why.
    Closed,
}

/// A line at the bottom of the terminal that says how things stand.
pub struct Status {
    /// Where it is drawn: standard error.
    pub terminal: Box<dyn Write + Send>,
    /// What it says.
    pub text: Box<dyn Fn() -> String + Send>,
}

/// The sink's thread and its queue.
#[derive(Debug)]
pub struct Stdout {
    lines: Sender<Queued>,
    /// Whether a giver waits for the reader right now.
    is_waited_for: Arc<AtomicBool>,
    closing: Closing,
}

/// A line, and what it waits for.
struct Queued {
    line: Line,
    number: Option<Reserving>,
}

/// The sink without its queue: it writes what is left.
#[derive(Debug)]
pub struct Closing {
    /// Never gets an item: disconnected when the thread ends.
    ended: Receiver<std::convert::Infallible>,
    thread: JoinHandle<io::Result<()>>,
}

impl Stdout {
    /// Starts the thread; `out` is standard output.
    pub fn start(
        out: impl Write + Send + 'static,
        style: Style,
        status: Option<Status>,
    ) -> io::Result<Self> {
        let (lines, queue) = crossbeam_channel::bounded(QUEUE_LEN);
        let writer = Writer { out, style, status };
        let (alive, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name("sink-stdout".into()).spawn(move || {
            let written = writer.run(&queue);
            drop(alive);
            written
        })?;
        let closing = Closing { ended, thread };
        Ok(Self { lines, is_waited_for: Arc::default(), closing })
    }

    /// Says whether a giver waits for a reader that sleeps.
    pub fn is_waited_for(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_waited_for)
    }

    /// Hands a line over, which leaves when that number is reserved.
    pub fn hand(&self, line: Line, number: Option<Reserving>, when_full: WhenFull) -> Handed {
        let line = Queued { line, number };
        match when_full {
            WhenFull::Wait => {
                self.is_waited_for.store(self.lines.is_full(), Ordering::Relaxed);
                let sent = self.lines.send(line);
                self.is_waited_for.store(false, Ordering::Relaxed);
                if sent.is_ok() { Handed::Queued } else { Handed::Closed }
            }
            WhenFull::Lose => match self.lines.try_send(line) {
                Ok(()) => Handed::Queued,
                Err(TrySendError::Full(_)) => Handed::Lost,
                Err(TrySendError::Disconnected(_)) => Handed::Closed,
            },
        }
    }

    /// Takes no more lines.
    pub fn close(self) -> Closing {
        self.closing
    }
}

impl Closing {
    /// Disconnected as soon as everything is written, or nothing can be.
    pub fn ended(&self) -> &Receiver<std::convert::Infallible> {
        &self.ended
    }

    /// Waits for the thread, and says whether everything was written.
    pub fn join(self) -> io::Result<()> {
        let ended = self.thread.join();
        ended.unwrap_or_else(|_panic| Err(io::Error::other("the thread sink-stdout panicked")))
    }
}

struct Writer<W> {
    out: W,
    style: Style,
    status: Option<Status>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queue: &Receiver<Queued>) -> io::Result<()> {
        loop {
            match queue.recv_timeout(STATUS_EVERY) {
                Ok(line) => {
                    self.erase_status();
                    self.write(&line, queue)?;
                    // One flush for what came together, none while more is waiting.
                    while let Ok(line) = queue.try_recv() {
                        self.write(&line, queue)?;
                    }
                    self.out.flush()?;
                    self.draw_status();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.erase_status();
                    self.draw_status();
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.erase_status();
                    return self.out.flush();
                }
            }
        }
    }

    fn write(&mut self, queued: &Queued, queue: &Receiver<Queued>) -> io::Result<()> {
        let Queued { line, number } = queued;
        if let Some(number) = number.as_ref().filter(|number| !number.is_over()) {
            // What is written already does not wait with it.
            self.out.flush()?;
            hold(number, queue);
        }
        let text = match &self.style {
            Style::Json => line.json(),
            Style::Text => line.text(),
        };
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn erase_status(&mut self) {
        self.show(|_status| "\r\x1b[K".into());
    }

    fn draw_status(&mut self) {
        self.show(|status| (status.text)());
    }

    fn show(&mut self, text: impl FnOnce(&Status) -> String) {
        let Some(status) = &mut self.status else { return };
        let text = text(status);
        let terminal = &mut status.terminal;
        // A terminal that was closed: the inspection goes on without a status line.
        if terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()).is_err() {
            self.status = None;
        }
    }
}

/// Waits for a number to be reserved, but neither for long nor until lines are lost for it.
fn hold(number: &Reserving, queue: &Receiver<Queued>) {
    for _ in 0..HELD_LOOKS {
        if queue.len() > HELD_LINES {
            break;
        }
        std::thread::sleep(HELD_EVERY);
        if number.is_over() {
            return;
        }
    }
    number.give_up();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal whose other side is gone.
    struct Lost;

    impl Write for Lost {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("input/output error"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_lost_terminal_costs_the_status_line_and_nothing_else() {
        let status = Status { terminal: Box::new(Lost), text: Box::new(|| "10/s".into()) };
        let sink = Stdout::start(io::sink(), Style::Text, Some(status)).unwrap();
        std::thread::sleep(2 * STATUS_EVERY);
        assert!(sink.closing.ended.is_empty() && !sink.closing.thread.is_finished());
        sink.close().join().unwrap();
    }
}
