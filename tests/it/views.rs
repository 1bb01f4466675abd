//! What a camera looks at: region, rotation, formats that change in mid-stream, and tiles.

use bundle::{
    geometry::{Geometry, RgbImage, Size, Tiles},
    schema::Document,
};
use sightline::{
    camera::{
        CameraOptions, Platform, Preset, View,
        view::{Area, Turn},
    },
    frame::{Frame, Picture},
};

use crate::{
    line::{INPUT, Kept, options, station},
    support::{self, SIDE, Scratch, json_lines, picture, stderr, stdout},
};

/// A picture turned clockwise, pixel by pixel.
fn turned(image: &RgbImage, turn: Turn) -> RgbImage {
    let Size { width, height } = image.size;
    let size = match turn {
        Turn::None | Turn::Half => image.size,
        Turn::Right | Turn::Left => Size { width: height, height: width },
    };
    let mut pixels = Vec::new();
    for v in 0..size.height {
        for u in 0..size.width {
            let (x, y) = match turn {
                Turn::None => (u, v),
                Turn::Right => (v, height - 1 - u),
                Turn::Half => (width - 1 - u, height - 1 - v),
                Turn::Left => (width - 1 - v, u),
            };
            let at = (y * width + x) as usize * 3;
            pixels.extend_from_slice(&image.pixels[at..at + 3]);
        }
    }
    RgbImage { size, pixels }
}

fn cut(image: &RgbImage, (left, top): (u32, u32), size: Size) -> RgbImage {
    let view = image.view();
    let rows = (top..top + size.height).flat_map(|y| {
        let row = view.row(y);
        row[left as usize * 3..(left + size.width) as usize * 3].to_vec()
    });
    RgbImage { size, pixels: rows.collect() }
}

/// All frames of a camera, unjudged.
pub fn frames(options: &CameraOptions) -> Vec<Frame> {
    let camera = support::camera("top", options).unwrap();
    let frames = camera.frames().clone();
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let all: Vec<Frame> = frames.iter().collect();
    assert!(playing.join(), "{:?}", events.recv());
    all
}

fn pixels(frame: &Frame) -> RgbImage {
    let Picture::Pixels(pixels) = &frame.picture else { panic!("{frame:?}") };
    pixels.view().to_image()
}

fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.size, b.size);
    let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels.len() as f64
}

#[test]
fn region_and_rotation_are_what_a_person_cuts_out_of_the_turned_picture() {
    let scratch = Scratch::new();
    let whole = picture(Size { width: 256, height: 128 }, 3);
    scratch.write_picture("part.png", &whole.view());
    let location = scratch.path("part.png").display().to_string();
    let wanted = Size { width: 64, height: 64 };
    for turn in [Turn::None, Turn::Right, Turn::Half, Turn::Left] {
        let upright = turned(&whole, turn);
        // Not in the middle, so that no turn can be taken for another.
        let corner = (upright.size.width / 8, upright.size.height / 4);
        let of = |pixels: u32, side: u32| f64::from(pixels) / f64::from(side);
        let region = Area::new(
            of(corner.0, upright.size.width),
            of(corner.1, upright.size.height),
            of(wanted.width, upright.size.width),
            of(wanted.height, upright.size.height),
        )
        .unwrap();
        let expected = cut(&upright, corner, wanted);
        let view = View { turn, region: Some(region) };
        let camera = CameraOptions { view, ..options("files", &[("location", &location)]) };
        let own_size = frames(&CameraOptions { scale_to: None, ..camera.clone() });
        assert_eq!(pixels(&own_size[0]), expected, "{view}");
        let scaled = frames(&CameraOptions { keep_full: true, ..camera.clone() });
        let inputs = Geometry::square(SIDE).input_from_frame(&expected.view()).unwrap();
        let difference = difference(&pixels(&scaled[0]), &inputs[0]);
        assert!(difference < 1.0, "{view}: {difference}");
        // In full resolution it is what was judged, too.
        assert_eq!(scaled[0].full.as_ref().unwrap().to_rgb().unwrap(), expected, "{view}");
        // Without a region only the turn is left.
        let view = View { turn, region: None };
        let camera = CameraOptions { view, scale_to: None, ..camera };
        assert_eq!(pixels(&frames(&camera)[0]), upright, "{view}");
    }
}

/// One stream in three formats: size, rate and pixel format change from one frame to the next.
const FORMATS: [(&str, Size); 3] = [
    ("I420,width=320,height=240,framerate=30/1", Size { width: 320, height: 240 }),
    ("RGB,width=64,height=48,framerate=10/1", Size { width: 64, height: 48 }),
    ("NV12,width=640,height=200,framerate=25/1", Size { width: 640, height: 200 }),
];

fn changing(scratch: &Scratch) -> Preset {
    let segments: Vec<_> = FORMATS
        .iter()
        .map(|(format, _)| {
            format!(
                "videotestsrc num-buffers=5 pattern=snow ! video/x-raw,format={format} ! joined."
            )
        })
        .collect();
    scratch.write(
        "changing.toml",
        format!(
            "description = \"Changes its format\"\nlive = false\nlaunch = \"{} concat name=joined\"\n",
            segments.join(" ")
        ),
    );
    Preset::find(scratch.path("changing.toml").to_str().unwrap(), Platform::Any).unwrap()
}

#[test]
fn a_format_that_changes_in_mid_stream_is_taken() {
    let scratch = Scratch::new();
    let half = Area::new(0.5, 0.0, 0.5, 1.0).unwrap();
    for (region, turn) in [(None, Turn::None), (Some(half), Turn::None), (Some(half), Turn::Right)]
    {
        for scale_to in [None, Some(INPUT)] {
            let camera = CameraOptions {
                preset: changing(&scratch),
                view: View { turn, region },
                scale_to,
                keep_full: true,
                ..options("test", &[])
            };
            let sizes: Vec<Size> =
                FORMATS.iter().flat_map(|(_, size)| std::iter::repeat_n(*size, 5)).collect();
            let expected: Vec<Size> = sizes
                .iter()
                .map(|&Size { width, height }| match (region, turn) {
                    (None, _) => Size { width, height },
                    // The right half of the turned picture is the upper half of the camera's.
                    (Some(_), Turn::Right) => Size { width: height / 2, height: width },
                    (Some(_), _) => Size { width: width / 2, height },
                })
                .collect();
            let all = frames(&camera);
            let given: Vec<Size> = all.iter().map(|frame| pixels(frame).size).collect();
            let from: Vec<Size> = all
                .iter()
                .map(|frame| frame.full.as_ref().unwrap().to_rgb().unwrap().size)
                .collect();
            assert_eq!(from, expected, "{turn:?} {scale_to:?}");
            let expected = scale_to.map_or(expected, |size| vec![size; 15]);
            assert_eq!(given, expected, "{turn:?} {scale_to:?}");
            // And each is judged and accounted for.
            let out = Kept::default();
            let never = crossbeam_channel::never();
            let report = station(vec![camera], support::engine(), out.clone()).run(&never).unwrap();
            let balance = report.balances[0].1;
            assert!(balance.is_settled(), "{balance}");
            assert_eq!((balance.captured, balance.judged), (15, 15), "{balance}");
            assert_eq!(out.lines().len(), 15);
        }
    }
}

fn config(camera: &str) -> String {
    format!(
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
         [[camera]]\nname = \"top\"\npreset = \"files\"\nparameters = {{ location = \"parts\" }}\n\
         overflow = \"every\"\nrealtime = false\n{camera}"
    )
}

#[test]
fn capture_and_check_see_the_same_region() {
    let scratch = Scratch::new();
    let whole = picture(Size { width: 128, height: 64 }, 5);
    scratch.write_picture("parts/1.png", &whole.view());
    let camera = "rotate = 90\nregion = { x = 0.5, y = 0.25, width = 0.5, height = 0.25 }\n";
    scratch.write("line.toml", config(camera));
    let output =
        scratch.run(&["capture", "line.toml", "--product", "wave", "--into", "data", "--fast"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let kept = image::open(scratch.path("data/wave/train/good/000001.png")).unwrap().into_rgb8();
    let size = Size { width: 32, height: 32 };
    let expected = cut(&turned(&whole, Turn::Right), (32, 32), size);
    assert_eq!((kept.dimensions(), kept.into_raw()), ((32, 32), expected.pixels));
    let output = scratch.run(&["check", "line.toml", "--play"]);
    let told = stdout(&output);
    let words = "plays: the first frame has 32x32 pixels, scaled from 32x32; turned by 90 degrees, a region of 0.5 x 0.25 \
                 at (0.5, 0.25) of the picture";
    assert!(told.contains(words), "{told}");
}

#[test]
fn a_region_beyond_the_picture_and_a_slanted_one_are_refused() {
    let scratch = Scratch::new();
    let check = |camera: &str, words: &str| {
        scratch.write("line.toml", config(camera));
        let output = scratch.run(&["run", "line.toml"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(words), "{told}");
    };
    check(
        "region = { x = 0.8, y = 0.0, width = 0.3, height = 1.0 }\n",
        "\"camera[0].region\" is { x = 0.8, y = 0, width = 0.3, height = 1 }, but it reaches beyond the picture",
    );
    check(
        "region = { x = 100, y = 0, width = 200, height = 100 }\n",
        "fractions of the picture's width, from 0 to 1, not pixels",
    );
    check("rotate = 45\n", "\"camera[0].rotate\" is 45, but expected 0, 90, 180 or 270 degrees");
    check(
        "trigger = { region = { x = 0.8, y = 0.0, width = 0.3, height = 1.0 } }\n",
        "\"camera[0].trigger.region\" is",
    );
    check("trigger = { presence = 2.0 }\n", "\"camera[0].trigger.presence\" is 2, but it must be");
    check("trigger = { contrats = 2.0 }\n", "contrats");
}

#[test]
fn a_large_frame_is_judged_in_tiles_and_has_one_verdict() {
    let scratch = Scratch::new();
    // Smooth but for a small defect in one corner: stretched to the input, it would be a fraction of a pixel.
    let mut large = picture(Size { width: 400, height: 300 }, 1);
    for y in 280..288_usize {
        for x in 380..388_usize {
            large.pixels[(y * 400 + x) * 3..][..3].copy_from_slice(&[255, 0, 255]);
        }
    }
    for index in 0..3 {
        scratch.write_picture(&format!("parts/{index}.png"), &large.view());
    }
    // So that the oracle below sees the very same inputs.
    scratch.write("line.toml", config("scaling = \"exact\"\n"));
    let document = support::document(99);
    let score_of = |geometry: Geometry| {
        let document = Document { geometry: geometry.clone(), ..document.clone() };
        scratch.write("model.onnx", support::model(&document));
        let output = scratch.run(&["run", "line.toml"]);
        let lines = json_lines(&output);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(lines.len(), 3, "one verdict for each frame: {lines:?}");
        let scores: Vec<f64> = lines.iter().map(|line| line["score"].as_f64().unwrap()).collect();
        assert!(scores.iter().all(|score| (score - scores[0]).abs() < 1e-9), "{scores:?}");
        // The oracle: each input by itself.
        let mut engine = support::engine();
        let inputs = geometry.input_from_frame(&large.view()).unwrap();
        assert_eq!(inputs.len(), geometry.input_count());
        let worst = inputs
            .iter()
            .map(|input| support::infer(&mut engine, input).score)
            .fold(f32::MIN, f32::max);
        assert!((scores[0] - f64::from(worst)).abs() < 1e-4, "{} and {worst}", scores[0]);
        scores[0]
    };
    let whole = Geometry::square(SIDE);
    let tiles = Tiles { columns: 4, rows: 3, overlap: 0.1 };
    let tiled = Geometry { tiles: Some(tiles), ..whole.clone() };
    assert!(score_of(tiled) > score_of(whole), "a tile shows what the whole does not");
}
