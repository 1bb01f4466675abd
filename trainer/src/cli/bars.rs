//! Progress: a bar on a terminal, a line now and then elsewhere.
//!
//! Owns standard error and standard output of the trainer.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// In a log file a line now and then is enough.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// A bar with rate and time left; `what` says what is counted.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    styled(&format!("{what} {{bar:24}} {{pos}}/{{len}}  {{msg}}  {{elapsed}}, {{eta}} left"))
}

/// A bar of bytes that are transferred.
pub(super) fn bytes(what: &'static str) -> ProgressBar {
    styled(&format!(
        "{what} {{bar:24}} {{bytes}}/{{total_bytes}}  {{bytes_per_sec}}  {{msg}}  {{elapsed}}, {{eta}} left"
    ))
}

fn styled(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if !io::stderr().is_terminal() {
        let hertz_is_too_fast = PlainLines::default();
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(hertz_is_too_fast), 1));
    }
    bar
}

/// A line on standard error.
pub(super) fn note(text: &str) {
    // Nobody is left to be told that standard error is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A result on standard output.
pub(super) fn result(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("standard output cannot be written")
}

/// What is no terminal gets whole lines, and few of them.
#[derive(Debug, Default)]
struct PlainLines {
    last: std::sync::Mutex<Option<std::time::Instant>>,
}

impl TermLike for PlainLines {
    fn width(&self) -> u16 {
        160
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, line: &str) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = last.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if line.trim().is_empty() || !is_due {
            return Ok(());
        }
        *last = Some(std::time::Instant::now());
        writeln!(io::stderr().lock(), "{}", line.trim_end())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
