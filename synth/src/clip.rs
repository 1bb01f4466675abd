//! Encodes frames to a video, as a camera's recorder would, and writes the truth beside it.
//!
//! Owns the encoder: VP8 in `WebM`, because its decoder is exact and is in GStreamer's base packages. The program
//! `gst-launch-1.0` does the work, fed through a pipe; no binding to GStreamer is needed here.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bundle::geometry::Size;

use crate::line::{Line, LineFrame};

/// Frames per second of a rendered line.
pub const FRAMES_PER_SECOND: u32 = 10;

/// A clip that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// No encoder.
    #[error(
        "gst-launch-1.0 cannot be started ({0}); install the Debian packages gstreamer1.0-tools and gstreamer1.0-plugins-good"
    )]
    NoEncoder(#[source] std::io::Error),
    /// The encoder gave up.
    #[error("the encoder failed at {}: {detail}", path.display())]
    Encoder {
        /// The clip.
        path: PathBuf,
        /// Its last words.
        detail: String,
    },
    /// A file that cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Renders a line into `clip` and its truth into `truth`; `done` is called after each frame.
pub fn write(
    line: &Line,
    size: Size,
    clip: &Path,
    truth: &Path,
    done: &mut dyn FnMut(),
) -> Result<(), ClipError> {
    for path in [clip, truth] {
        if let Some(folder) = path.parent() {
            let failed = |source| ClipError::Write { path: folder.to_path_buf(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
    }
    let unfinished = clip.with_extension("webm.tmp");
    let mut encoder = start(size, &unfinished)?;
    let mut pipe = encoder.stdin.take();
    let mut rows = String::new();
    let mut broken = None;
    for LineFrame { image, truth } in line.frames() {
        let Some(pipe) = &mut pipe else { break };
        if let Err(error) = pipe.write_all(&image.pixels) {
            broken = Some(error);
            break;
        }
        if let Ok(row) = serde_json::to_string(&truth) {
            rows.push_str(&row);
            rows.push('\n');
        }
        done();
    }
    // End of stream.
    drop(pipe);
    let output = encoder.wait_with_output().map_err(ClipError::NoEncoder)?;
    if !output.status.success() || broken.is_some() {
        let text = String::from_utf8_lossy(&output.stderr);
        let detail = text.lines().next().unwrap_or("it closed its input").to_owned();
        return Err(ClipError::Encoder { path: clip.to_path_buf(), detail });
    }
    let failed = |path: &Path, source| ClipError::Write { path: path.to_path_buf(), source };
    std::fs::write(truth, rows).map_err(|source| failed(truth, source))?;
    std::fs::rename(&unfinished, clip).map_err(|source| failed(clip, source))
}

fn start(size: Size, path: &Path) -> Result<std::process::Child, ClipError> {
    let Size { width, height } = size;
    let frame_bytes = width as usize * height as usize * 3;
    let raw = format!(
        "rawvideoparse format=rgb width={width} height={height} framerate={FRAMES_PER_SECOND}/1"
    );
    // One thread and no clock: the same frames give the same bytes.
    let encoder = "vp8enc deadline=1 threads=1 end-usage=cq cq-level=12 min-quantizer=4 max-quantizer=40 \
                   target-bitrate=3000000 keyframe-max-dist=60";
    let mut arguments = vec!["-q".to_owned(), "fdsrc".into(), format!("blocksize={frame_bytes}")];
    arguments.extend(words("!"));
    arguments.extend(words(&raw));
    arguments.extend(words("! videoconvert ! video/x-raw,format=I420,colorimetry=bt601 !"));
    arguments.extend(words(encoder));
    arguments.extend(words("! webmmux ! filesink"));
    arguments.push(format!("location={}", path.display()));
    Command::new("gst-launch-1.0")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ClipError::NoEncoder)
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_whitespace().map(str::to_owned)
}
