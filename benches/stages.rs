//! Our own code, stage by stage, as a frame meets it: `make bench`. None of it waits for the network.
//!
//! Owns the inputs: a frame of the demo model's size and one of full HD, a judge of eight products, a ledger on a real file.

#![expect(clippy::unwrap_used, reason = "a bench, like a test, says what it expects")]

use std::{
    hint::black_box,
    num::NonZeroU8,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bundle::{
    calibration::{Calibration, RejectRate},
    geometry::{Geometry, Map, RgbImage, Size},
    prototype::Prototype,
    schema::Class,
};
use divan::Bencher;
use ndarray::{Array1, Array2};
use sightline::{
    channel::{self, Overflow},
    clock::SystemClock,
    engine::Inference,
    frame::CameraId,
    inspected::Onlooker as _,
    judge::{Evidence, Judge, Recipe, Unrated},
    ledger::{Account, DropReason, Ledger, LedgerOptions, Retention},
    live::Live,
    overlay,
    preprocess::Inputs,
    record::{ModelLabel, Origin, Record},
    verdict::Verdict,
};

const INPUT: Size = Size { width: 256, height: 256 };
const FULL_HD: Size = Size { width: 1920, height: 1080 };
const EMBEDDING: usize = 512;

fn main() {
    divan::main();
}

fn picture(size: Size) -> RgbImage {
    let len = (size.width * size.height * 3) as usize;
    RgbImage { size, pixels: (0..=250_u8).cycle().take(len).collect() }
}

fn inference() -> Inference {
    let side = INPUT.width as usize;
    let mut embedding = Array1::zeros(EMBEDDING);
    embedding[0] = 1.0;
    Inference { anomaly_map: Array2::from_elem((side, side), 0.5), score: 0.5, embedding }
}

fn judge() -> Judge {
    let classes: Vec<_> = (0..8_u8)
        .map(|index| {
            let mut direction = vec![0.0; EMBEDDING];
            direction[usize::from(index)] = 1.0;
            let values: Vec<_> = (0..499_u16).map(|rank| f32::from(rank) / 499.0).collect();
            Class {
                name: format!("product {index}"),
                prototype: Prototype { direction },
                calibration: Some(Calibration::new(values.clone(), values, "bench").unwrap()),
            }
        })
        .collect();
    let rate = RejectRate::new(0.02).unwrap();
    Judge::new(&classes, &Recipe::of(rate, Unrated::Refused)).unwrap()
}

fn verdict() -> Verdict {
    judge().decide(&Evidence::of(&[inference()]))
}

fn record(number: u64) -> Record {
    let origin = Origin {
        camera: Arc::from("top"),
        epoch: 1,
        frame: number,
        file: None,
        plc_part: None,
        time: SystemTime::UNIX_EPOCH,
        pts: Some(Duration::from_millis(number)),
        latency: Duration::from_millis(20),
        inference: Some(Duration::from_millis(15)),
    };
    let model = ModelLabel { name: "demo".into(), version: "1".into(), sha256: "0".repeat(64) };
    Record { origin, model: Arc::new(model), verdict: verdict() }
}

/// A frame that the pipeline scaled.
#[divan::bench]
fn preprocess_identity(bencher: Bencher<'_, '_>) {
    let (geometry, frame) = (Geometry::square(INPUT.width), picture(INPUT));
    bencher.bench_local(|| {
        Inputs::from_frame(black_box(&geometry), frame.view()).unwrap().views().count()
    });
}

/// A frame in the camera's own size, scaled as the training images were.
#[divan::bench]
fn preprocess_full_hd(bencher: Bencher<'_, '_>) {
    let (geometry, frame) = (Geometry::square(INPUT.width), picture(FULL_HD));
    bencher.bench_local(|| {
        Inputs::from_frame(black_box(&geometry), frame.view()).unwrap().views().count()
    });
}

#[divan::bench]
fn evidence(bencher: Bencher<'_, '_>) {
    let inferences = [inference()];
    bencher.bench_local(|| Evidence::of(black_box(&inferences)));
}

#[divan::bench]
fn judge_decides(bencher: Bencher<'_, '_>) {
    let (judge, evidence) = (judge(), Evidence::of(&[inference()]));
    bencher.bench_local(|| judge.decide(black_box(&evidence)));
}

#[divan::bench]
fn verdict_line(bencher: Bencher<'_, '_>) {
    let record = record(1);
    bencher.bench_local(|| black_box(&record).json());
}

#[divan::bench(args = [Overflow::Latest, Overflow::Every])]
fn channel_hand_over(bencher: Bencher<'_, '_>, overflow: Overflow) {
    let (mut pusher, receiver) = channel::bounded(2, overflow);
    bencher.bench_local(|| {
        let _accepted = black_box(pusher.push(7_u64));
        receiver.recv()
    });
}

/// What the threads that give dispositions pay; the writer's thread commits beside them.
#[divan::bench]
fn ledger_account(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: 1_000_000_000 };
    let options = LedgerOptions { path: folder.path().join("ledger.db"), retention };
    let cameras = [CameraId("top".into())];
    let clock = Arc::new(SystemClock::start());
    let (ledger, accounts, _found) = Ledger::open(options, &cameras, clock).unwrap();
    let account = &accounts[0];
    let record = record(0);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let mut record = record.clone();
        record.origin.frame = number;
        account.captured(number);
        account.judged(record, None);
    });
    assert!(ledger.close().join());
}

#[divan::bench]
fn account_without_ledger(bencher: Bencher<'_, '_>) {
    let account = Account::unrecorded(CameraId("top".into()), 1);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        account.captured(number);
        account.dropped(number, DropReason::QueueFull);
    });
}

/// What the engine's thread pays for the page at each frame: so few that every point finds room.
#[divan::bench(sample_count = 10, sample_size = 100)]
fn live_offer(bencher: Bencher<'_, '_>) {
    let cameras = vec![CameraId("top".into())];
    let (_live, mut intake, thread) = Live::start(cameras, NonZeroU8::MIN).unwrap();
    let record = record(1);
    bencher.bench_local(|| intake.wants(black_box(&record)));
    drop(intake);
    assert!(thread.join());
}

/// Not on a verdict's way: drawn where somebody looks.
#[divan::bench]
fn draw_overlay(bencher: Bencher<'_, '_>) {
    let frame = picture(INPUT);
    let map: Map = inference().map();
    let verdict = verdict();
    bencher.bench_local(|| overlay::draw(&frame.view(), black_box(&map), &verdict));
}
