//! Cameras that come and go: a lost one is tried again, and no other notices.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use crate::{
    rtsp::{self, Server},
    support::{self, Scratch, stderr},
};

/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(1);

/// A line with the given cameras on the tiny model and a ledger.
fn line(scratch: &Scratch, cameras: &str) {
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n{cameras}"
        ),
    );
    scratch.write(
        "live.toml",
        "description = \"Live\"\nlive = true\nlaunch = \"videotestsrc is-live=true pattern={pattern} num-buffers={frames} \
         ! video/x-raw,width=64,height=64,framerate=5/1\"\n\
         [parameters.pattern]\ndefault = \"snow\"\nmeaning = \"The picture.\"\n\
         [parameters.frames]\ndefault = \"-1\"\nmeaning = \"Frames until the end.\"\n",
    );
}

/// A running line, and which camera each verdict was of, as they come.
struct Running {
    child: Child,
    verdicts: Receiver<String>,
}

impl Running {
    fn start(scratch: &Scratch) -> Self {
        let mut child = scratch
            .command(&["--log", "warn,onnxruntime=off", "run", "line.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (verdict, verdicts) = channel();
        std::thread::spawn(move || {
            for line in lines {
                let value: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                if verdict.send(value["camera"].as_str().unwrap().to_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, verdicts }
    }

    fn until_verdict_of(&self, camera: &str) {
        while self.verdicts.recv_timeout(PATIENCE).unwrap() != camera {}
    }

    /// Waits until nothing has come from that camera for a second, and empties what others gave meanwhile.
    fn until_silence_of(&self, camera: &str) {
        let began = Instant::now();
        let mut last = Instant::now();
        while last.elapsed() < Duration::from_secs(1) {
            assert!(began.elapsed() < PATIENCE);
            if self
                .verdicts
                .recv_timeout(Duration::from_millis(100))
                .is_ok_and(|name| name == camera)
            {
                last = Instant::now();
            }
        }
    }

    /// Asks it to stop; its exit code and what it told.
    fn stop(self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = self.child.wait_with_output().unwrap();
        (ended.status.code(), stderr(&ended))
    }
}

/// How often the camera's power is cut; `make soak` does it fifty times.
fn restarts() -> u32 {
    std::env::var("SIGHTLINE_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn a_network_camera_comes_back_after_each_power_cut_and_the_other_loses_nothing() {
    let scratch = Scratch::new();
    let port = support::free_port();
    line(
        &scratch,
        &format!(
            "[[camera]]\nname = \"top\"\npreset = \"rtsp\"\nparameters = {{ location = \"rtsp://127.0.0.1:{port}/line\" }}\n\
             stall_after_secs = 10.0\nreconnect_first_secs = 0.2\nreconnect_max_secs = 0.5\n\
             [[camera]]\nname = \"side\"\npreset = \"live.toml\"\noverflow = \"every\"\n"
        ),
    );
    // It is not there yet when the line starts, as after a power cut of the whole hall.
    let running = Running::start(&scratch);
    running.until_verdict_of("side");
    for _ in 0..restarts() {
        let server = Server::start(port);
        running.until_verdict_of("top");
        server.kill();
        running.until_silence_of("top");
        running.until_verdict_of("side");
    }
    let (code, told) = running.stop();
    assert_eq!(code, Some(0), "{told}");
    let mut back: Vec<f64> = told
        .lines()
        .filter(|line| line.contains("frames come again") && line.contains("camera=top"))
        .map(|line| {
            let of_attempt = line.split(", ").nth(1).unwrap();
            of_attempt.split(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    // A busy machine may lose it once more.
    assert!(back.len() >= restarts() as usize, "{told}");
    back.sort_by(f64::total_cmp);
    // A group of pictures, and what RTSP itself takes: its answers and the jitter buffer of 0.2 s.
    assert!(back[back.len() / 2] < rtsp::GOP_SECS + 1.5, "{back:?}");
    let side = told.lines().find(|line| line.contains("camera side: captured")).unwrap();
    assert!(side.contains("dropped 0 + faulted 0") && !side.contains("lost upstream"), "{side}");
    let events = scratch.run(&["ledger", "events", "ledger.db", "--most", "1000"]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.matches("camera-lost").count() > restarts() as usize, "{events}");
    assert_eq!(events.matches("camera-back").count(), back.len(), "{events}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn the_end_of_a_live_stream_and_a_frozen_picture_are_losses() {
    let scratch = Scratch::new();
    line(
        &scratch,
        "[[camera]]\nname = \"top\"\npreset = \"live.toml\"\nparameters = { frames = 3 }\nreconnect_first_secs = 0.1\n\
         [[camera]]\nname = \"side\"\npreset = \"live.toml\"\nparameters = { pattern = \"smpte75\" }\n\
         frozen_after_secs = 1.0\nreconnect_first_secs = 0.1\n",
    );
    let running = Running::start(&scratch);
    // Three come at each attempt: the eighth is of the third.
    for _ in 0..8 {
        running.until_verdict_of("top");
    }
    for _ in 0..12 {
        running.until_verdict_of("side");
    }
    let (code, told) = running.stop();
    assert_eq!(code, Some(0), "{told}");
    for (camera, why) in
        [("top", "the stream ended"), ("side", "the picture has not changed for 1 s")]
    {
        let lost = told
            .lines()
            .filter(|line| line.contains(&format!("camera={camera}")) && line.contains(why));
        assert!(lost.count() > 0, "{told}");
    }
}

#[test]
fn a_pipeline_that_talks_all_the_time_is_silent_when_no_frame_comes() {
    let scratch = Scratch::new();
    line(
        &scratch,
        "[[camera]]\nname = \"top\"\npreset = \"talking.toml\"\nstall_after_secs = 1.0\nreconnect_first_secs = 0.1\n",
    );
    // The loudness fifty times a second, for ever; the pictures end, and the pipeline does not.
    scratch.write(
        "talking.toml",
        "description = \"Talking\"\nlive = true\nlaunch = \"audiotestsrc is-live=true ! level interval=20000000 ! fakesink \
         videotestsrc is-live=true num-buffers=3 ! video/x-raw,width=64,height=64,framerate=5/1\"\n",
    );
    let running = Running::start(&scratch);
    // Three come at each attempt; at the third one it was told of the second.
    for _ in 0..7 {
        running.until_verdict_of("top");
    }
    let (code, told) = running.stop();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("frames come again"), "{told}");
}

#[test]
fn a_camera_that_never_comes_ends_the_process_where_that_is_wanted() {
    let scratch = Scratch::new();
    // One that is named by its serial number may be plugged in later, too.
    for (device, why) in [
        ("/dev/video99", "/dev/video99"),
        ("/dev/v4l/by-path/pci-0000:00:14.0-usb-0:9:1.0-video-index0", "by-path/pci-0000"),
        ("serial:40123456", "no camera with the serial number 40123456 is plugged in"),
    ] {
        line(
            &scratch,
            &format!(
                "[[camera]]\nname = \"top\"\npreset = \"usb\"\nparameters = {{ device = \"{device}\" }}\n\
                 reconnect_first_secs = 0.1\ngive_up_after_secs = 1.0\n\
                 [[camera]]\nname = \"side\"\npreset = \"live.toml\"\n"
            ),
        );
        let output = scratch.run(&["run", "line.toml"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(6), "{told}");
        let last = told.lines().last().unwrap();
        assert!(last.contains("camera top") && last.contains(why), "{told}");
        assert!(told.contains("given up, the process ends to be restarted"), "{told}");
    }
}

#[test]
fn a_password_comes_from_where_it_is_kept_and_is_never_told() {
    let scratch = Scratch::new();
    scratch.write("credentials/camera", "s3cret\n");
    let camera = |password: &str| {
        format!(
            "[[camera]]\nname = \"top\"\npreset = \"rtsp\"\nreconnect_first_secs = 0.1\ngive_up_after_secs = 0.1\n\
             parameters = {{ location = \"rtsp://op:s3cret@127.0.0.1:1/line\", user = \"op\", password = \"{password}\" }}\n"
        )
    };
    let run = |password: &str| {
        line(&scratch, &camera(password));
        let mut command = scratch.command(&["--log", "debug", "run", "line.toml"]);
        let command = command
            .env("CAMERA_PASSWORD", "s3cret")
            .env("CREDENTIALS_DIRECTORY", scratch.path("credentials"));
        let output = command.output().unwrap();
        (output.status.code(), stderr(&output))
    };
    for password in ["env:CAMERA_PASSWORD", "credential:camera"] {
        let (code, told) = run(password);
        assert_eq!(code, Some(6), "{told}");
        assert!(told.contains("rtsp://***@127.0.0.1:1/line") && !told.contains("s3cret"), "{told}");
    }
    for (password, why) in [
        ("env:NO_SUCH_NAME", "the environment's NO_SUCH_NAME cannot be read"),
        ("credential:other", "credentials/other cannot be read"),
    ] {
        let (code, told) = run(password);
        assert_eq!(code, Some(3), "{told}");
        assert!(told.lines().last().unwrap().contains(why), "{told}");
    }
}
