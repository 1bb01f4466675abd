//! Standard output: one line per verdict, and the status line of a terminal.
//!
//! Owns the thread `sink-stdout` and its queue. The queue is bounded: a reader that sleeps holds back
//! cameras that may be held back (`every`), and costs the others lines, which are counted.
//! The only place of the library that prints.

use std::{
    io::{self, Write},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::line::{ModelLabel, VerdictLine};

/// Half a second of a fast line: a pipe's reader may pause that long unnoticed.
const QUEUE_LEN: usize = 64;
/// Often enough to look alive, too seldom to cost anything.
const STATUS_EVERY: Duration = Duration::from_millis(250);

/// How lines look.
#[derive(Clone, Debug)]
pub enum Style {
    /// JSON lines with the model's name.
    Json(ModelLabel),
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
    /// Standard output is gone; [`Stdout::finish`] says why.
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
    lines: Sender<VerdictLine>,
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
        Ok(Self { lines, ended, thread })
    }

    /// Hands a line over.
    pub fn hand(&self, line: VerdictLine, when_full: WhenFull) -> Handed {
        match when_full {
            WhenFull::Wait => match self.lines.send(line) {
                Ok(()) => Handed::Queued,
                Err(_gone) => Handed::Closed,
            },
            WhenFull::Lose => match self.lines.try_send(line) {
                Ok(()) => Handed::Queued,
                Err(TrySendError::Full(_)) => Handed::Lost,
                Err(TrySendError::Disconnected(_)) => Handed::Closed,
            },
        }
    }

    /// Writes what is queued and ends the thread; `None` when a reader that sleeps made that take longer than
    /// `within`.
    pub fn finish(self, within: Option<Duration>) -> Option<io::Result<()>> {
        drop(self.lines);
        if let Some(within) = within
            && self.ended.recv_timeout(within) == Err(RecvTimeoutError::Timeout)
        {
            return None;
        }
        let ended = self.thread.join();
        Some(
            ended.unwrap_or_else(|_panic| Err(io::Error::other("the thread sink-stdout panicked"))),
        )
    }
}

struct Writer<W> {
    out: W,
    style: Style,
    status: Option<Status>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queue: &Receiver<VerdictLine>) -> io::Result<()> {
        loop {
            match queue.recv_timeout(STATUS_EVERY) {
                Ok(line) => {
                    self.erase_status()?;
                    self.write(&line)?;
                    // One flush for what came together, none while more is waiting.
                    while let Ok(line) = queue.try_recv() {
                        self.write(&line)?;
                    }
                    self.out.flush()?;
                    self.draw_status()?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.erase_status()?;
                    self.draw_status()?;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.erase_status()?;
                    return self.out.flush();
                }
            }
        }
    }

    fn write(&mut self, line: &VerdictLine) -> io::Result<()> {
        let text = match &self.style {
            Style::Json(model) => line.json(model),
            Style::Text => line.text(),
        };
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn erase_status(&mut self) -> io::Result<()> {
        let Some(status) = &mut self.status else { return Ok(()) };
        status.terminal.write_all(b"\r\x1b[K")?;
        status.terminal.flush()
    }

    fn draw_status(&mut self) -> io::Result<()> {
        let Some(status) = &mut self.status else { return Ok(()) };
        let text = (status.text)();
        status.terminal.write_all(text.as_bytes())?;
        status.terminal.flush()
    }
}
