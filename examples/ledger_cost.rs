//! What the ledger costs a disk: `cargo run --release --example ledger_cost -- [SECONDS] [FRAMES_PER_SECOND]`.
//!
//! Plays a camera's rhythm in real time into a ledger in the current folder, and tells bytes per frame in the file and
//! bytes that the process had written to the disk, each scaled to a day. A tmpfs counts nothing as written.

#![expect(clippy::print_stdout, reason = "an example that tells what it measured")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sightline::{
    clock::{Clock, SystemClock},
    frame::CameraId,
    ledger::{DropReason, FaultReason, Ledger, LedgerOptions, Retention},
    record::{ModelLabel, Origin, Record},
    verdict::{Decision, Recognition, Verdict},
};

const DAY_SECS: f64 = 86_400.0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: f64| arguments.next().map_or(Ok(default), |text| text.parse::<f64>());
    let (seconds, per_second) = (next(60.0)?, next(30.0)?);
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("ledger.db");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: u64::MAX };
    let options = LedgerOptions { path: path.clone(), retention };
    let (ledger, accounts, _) =
        Ledger::open(options, &[CameraId("top".into())], Arc::clone(&clock))?;
    let account = accounts.first().ok_or("one camera has one account")?;
    let label = ModelLabel { name: "demo".into(), version: "1".into(), sha256: "0".repeat(64) };
    let model = Arc::new(label);
    let before = written()?;
    let frames = seconds * per_second;
    let mut number = 0_u64;
    while (number as f64) < frames {
        number += 1;
        let due = Duration::try_from_secs_f64(number as f64 / per_second)?;
        std::thread::sleep(due.saturating_sub(clock.monotonic()));
        account.captured(number);
        match number % 100 {
            0 => account.dropped(number, DropReason::QueueFull),
            1 => account.faulted(number, FaultReason::Decode),
            _ => account.judged(record(number, &model, clock.wall()), None),
        }
    }
    let closing = ledger.close();
    if !closing.join() {
        return Err("the ledger's thread panicked".into());
    }
    let (bytes, written) = (std::fs::metadata(&path)?.len() as f64, (written()? - before) as f64);
    let a_day = per_second * DAY_SECS / frames;
    println!(
        "{frames} frames at {per_second} per second: {:.0} bytes a frame, {:.2} GB a day; {:.1} GB a day written to the disk",
        bytes / frames,
        bytes * a_day / 1e9,
        written * a_day / 1e9
    );
    Ok(())
}

fn record(number: u64, model: &Arc<ModelLabel>, time: SystemTime) -> Record {
    let verdict = Verdict {
        decision: Decision::Fail,
        recognition: Some(Recognition {
            product: "gear".into(),
            distance: 0.031_4,
            radius: Some(0.12),
        }),
        score: Some(0.273_1),
        p_value: Some(0.002_3),
        calibrated_on: Some(434),
        threshold: Some(0.25),
        reject_rate: 0.01,
        unrated: false,
        reason: None,
    };
    let origin = Origin {
        camera: "top".into(),
        epoch: 0,
        frame: number,
        file: None,
        plc_part: None,
        time,
        pts: None,
        latency: Duration::from_micros(15_321),
        inference: Some(Duration::from_micros(12_210)),
    };
    Record { origin, model: Arc::clone(model), verdict }
}

/// Bytes that this process has caused to be written to a disk.
fn written() -> Result<u64, Box<dyn Error>> {
    let counters = std::fs::read_to_string("/proc/self/io")?;
    let bytes = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(bytes.ok_or("/proc/self/io has no write_bytes")?.parse()?)
}
