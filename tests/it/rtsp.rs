//! A network camera for tests: GStreamer's own RTSP server, in this process or in one that can be killed.

use std::process::{Child, Command, Stdio};

use gstreamer::{self as gst, glib};
use gstreamer_rtsp_server::{self as rtsp, prelude::*};

/// Names the port to the process that [`Server`] starts.
const PORT: &str = "SIGHTLINE_TEST_RTSP_PORT";
/// A key picture each 10 of 25 frames a second.
pub const GOP_SECS: f64 = 0.4;

/// Sound comes first, as from many cameras: the preset must not take it for the picture.
const LAUNCH: &str = "( audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay0 \
     videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay1 config-interval=1 )";
/// After a second it has another size, as when somebody sets the camera.
const CHANGING: &str = "( concat name=joined ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 \
     ! rtph264pay name=pay0 config-interval=1 \
     videotestsrc is-live=true num-buffers=25 pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! joined. \
     videotestsrc is-live=true pattern=snow ! video/x-raw,width=160,height=120,framerate=25/1 ! joined. )";
/// Of the packets under `/lossy`, one of so many never arrives.
const LOST_OF: usize = 300;

/// Streams sound and H.264 until the process ends; `bound` is told the port. 0 lets the system choose it.
fn serve(port: u16, bound: impl FnOnce(u16)) {
    gst::init().unwrap();
    let server = rtsp::RTSPServer::new();
    server.set_service(&port.to_string());
    server.set_address("127.0.0.1");
    let factory = rtsp::RTSPMediaFactory::new();
    factory.set_launch(LAUNCH);
    server.mount_points().unwrap().add_factory("/line", factory);
    let lossy = rtsp::RTSPMediaFactory::new();
    lossy.set_launch(LAUNCH);
    lossy.connect_media_configure(|_factory, media| {
        let streams = media.element().downcast::<gst::Bin>().unwrap();
        // In lists and one by one.
        let sent = std::sync::atomic::AtomicUsize::new(1);
        let is_lost =
            move || sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(LOST_OF);
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let pad = streams.by_name("pay1").unwrap().static_pad("src").unwrap();
        pad.add_probe(kinds, move |_pad, info| match &mut info.data {
            Some(gst::PadProbeData::BufferList(list)) => {
                list.make_mut().foreach_mut(|buffer, _index| {
                    std::ops::ControlFlow::Continue((!is_lost()).then_some(buffer))
                });
                gst::PadProbeReturn::Ok
            }
            _ if is_lost() => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        });
    });
    server.mount_points().unwrap().add_factory("/lossy", lossy);
    let changing = rtsp::RTSPMediaFactory::new();
    changing.set_launch(CHANGING);
    server.mount_points().unwrap().add_factory("/changing", changing);
    let context = glib::MainContext::new();
    let main_loop = glib::MainLoop::new(Some(&context), false);
    let _source = server.attach(Some(&context)).unwrap();
    bound(u16::try_from(server.bound_port()).unwrap());
    main_loop.run();
}

/// A server on a thread of this process; its port.
pub fn serve_beside() -> u16 {
    let (port, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || serve(0, |bound| port.send(bound).unwrap()));
    bound.recv().unwrap()
}

/// A server in a process of its own: this test binary, told to run [`the_server_of_another_test`] alone.
pub struct Server(Child);

impl Server {
    /// Starts one on that port.
    pub fn start(port: u16) -> Self {
        let this = std::env::current_exe().unwrap();
        let test = concat!(module_path!(), "::the_server_of_another_test");
        let test = test.split_once("::").unwrap().1;
        let child = Command::new(this)
            .args(["--exact", test, "--nocapture"])
            .env(PORT, port.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_server_of_another_test() {
    if let Some(port) = std::env::var_os(PORT) {
        serve(port.to_str().unwrap().parse().unwrap(), |_port| {});
    }
}
