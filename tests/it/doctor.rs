//! `doctor` on planted machines, and by the built binary on this one.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use sightline::{
    camera::{Platform, Preset},
    doctor::{
        Area, Facts, Finding, Level, Root, Wanted, examine, gather, gather::WantedCamera, worst,
    },
};

use crate::support::{Scratch, stderr, stdout};

/// A machine below a folder, from the files that Linux and JetPack would have.
struct Planted(tempfile::TempDir);

impl Planted {
    fn new(files: &[(&str, &str)]) -> Self {
        let planted = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            planted.write(path, text.as_bytes());
        }
        planted
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn link(&self, link: &str, target: &str) {
        let link = self.0.path().join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    }

    fn facts(&self, wanted: &Wanted) -> Facts {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        gather(&Root::at(self.0.path()), wanted, now)
    }
}

const PASSWD: (&str, &str) =
    ("etc/passwd", "root:x:0:0::/root:/bin/sh\nsightline:x:998:997::/:/usr/sbin/nologin\n");

/// An Orin Nano on JetPack 6.2 with a USB camera, as `find` and `cat` show it there.
fn orin_nano() -> Planted {
    let planted = Planted::new(&[
        PASSWD,
        ("etc/group", "root:x:0:\nvideo:x:44:sightline\n"),
        ("etc/os-release", "PRETTY_NAME=\"Ubuntu 22.04.5 LTS\"\nVERSION_ID=\"22.04\"\n"),
        (
            "etc/nv_tegra_release",
            "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
        ),
        (
            "proc/device-tree/model",
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        ),
        (
            "var/lib/dpkg/status",
            "Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.3-20250107174145\n\n\
             Package: nvidia-l4t-cuda\nStatus: install ok installed\nVersion: 36.4.3-20250107174145\n\n\
             Package: nvidia-l4t-kernel\nStatus: install ok installed\nVersion: 5.15.148-tegra-36.4.3-20250107174145\n\n\
             Package: nvidia-l4t-kernel-dtbs\nStatus: install ok installed\nVersion: 5.15.148-tegra-36.4.3-20250107174145\n\n\
             Package: libc6\nStatus: install ok installed\nVersion: 2.35-0ubuntu3.8\n",
        ),
        (
            "etc/nvpmodel.conf",
            "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
        ),
        ("var/lib/nvpmodel/status", "pmode:0001 fmode:quiet\n"),
        ("sys/class/devfreq/17000000.gpu/min_freq", "306000000\n"),
        ("sys/class/devfreq/17000000.gpu/max_freq", "918000000\n"),
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "52500\n"),
        ("sys/class/thermal/cooling_device0/type", "pwm-fan\n"),
        ("sys/class/thermal/cooling_device0/cur_state", "3\n"),
        ("sys/class/thermal/cooling_device0/max_state", "4\n"),
        ("sys/class/thermal/cooling_device1/type", "Fan\n"),
        ("sys/class/thermal/cooling_device1/cur_state", "1\n"),
        ("sys/class/thermal/cooling_device1/max_state", "1\n"),
        ("sys/class/thermal/cooling_device2/type", "cpu-throttle-alert\n"),
        ("sys/class/thermal/cooling_device2/cur_state", "1\n"),
        ("sys/class/thermal/cooling_device2/max_state", "1\n"),
        ("sys/class/net/eth0/type", "1\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("sys/class/net/eth0/speed", "1000\n"),
        ("sys/class/net/eth0/device/uevent", ""),
        ("sys/class/net/docker0/type", "1\n"),
        ("sys/class/net/docker0/operstate", "up\n"),
        ("sys/class/net/docker0/mtu", "1500\n"),
        ("proc/sys/net/core/rmem_max", "212992\n"),
        ("sys/class/video4linux/video0/name", "HD Pro Webcam C920\n"),
        ("sys/class/video4linux/video0/index", "0\n"),
        ("sys/class/video4linux/video1/name", "HD Pro Webcam C920\n"),
        ("sys/class/video4linux/video1/index", "1\n"),
        ("dev/video0", ""),
        ("run/systemd/timesync/synchronized", ""),
    ]);
    planted.link("dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0", "../../video0");
    planted.link("dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0", "../../video0");
    planted
}

fn of(findings: &[Finding], area: Area) -> Vec<(Level, &str)> {
    let of_area = findings.iter().filter(|finding| finding.area == area);
    of_area.map(|finding| (finding.level, finding.what.as_str())).collect()
}

#[test]
fn a_jetson_orin_nano_is_recognised_with_all_that_is_on_it() {
    let planted = orin_nano();
    let camera = |name: &str, preset: &str, device: Option<&str>| WantedCamera {
        name: name.into(),
        preset: preset.into(),
        elements: Preset::find(preset, Platform::Any).unwrap().elements(),
        location: None,
        device: device.map(Into::into),
    };
    let cameras = vec![
        camera("top", "usb", Some("/dev/video0")),
        camera("side", "usb", Some("/dev/video7")),
        camera("mipi", "csi", None),
        camera("wide", "gige", None),
    ];
    let wanted = Wanted { cameras, user: Some("sightline".into()), ..Wanted::default() };
    let facts = planted.facts(&wanted);
    assert_eq!(facts.late, [""; 0]);
    let findings = examine(&facts);
    let machine = of(&findings, Area::Machine);
    assert!(machine.contains(&(Level::Ok, "packages of L4T: 4 of 36.4.3")), "{machine:?}");
    let board = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super, JetPack 6.2 (L4T 36.4.3)";
    assert!(machine.contains(&(Level::Ok, board)), "{machine:?}");
    let power = of(&findings, Area::Power);
    assert!(power.contains(&(Level::Note, "power mode 25W")), "{power:?}");
    assert!(power.contains(&(Level::Ok, "hottest: cpu-thermal, 52 degrees Celsius")), "{power:?}");
    assert!(power.iter().any(|(_, what)| what.contains("17000000.gpu from 306 MHz")), "{power:?}");
    // A fan that turns holds nothing back.
    assert_eq!(facts.power.held_back, [("cpu-throttle-alert".to_owned(), 1.0)], "{power:?}");
    // One interface with a device behind it; the bridge is none.
    let network = of(&findings, Area::Network);
    assert_eq!(network.len(), 2, "{network:?}");
    assert!(network[0].1.contains("eth0 has an MTU of 1500") && network[0].0 == Level::Warn);
    assert!(network[1].1.contains("net.core.rmem_max is 212992"));
    assert_eq!(of(&findings, Area::Clock)[0].0, Level::Ok);
    // The node with metadata is no camera; both stable names are told.
    let [device] = &facts.cameras.devices[..] else { panic!("{:?}", facts.cameras.devices) };
    assert_eq!(device.name.as_deref(), Some("HD Pro Webcam C920"));
    assert_eq!(device.stable.len(), 2, "{device:?}");
    let cameras = of(&findings, Area::Cameras);
    // It is there, by a name that may be another camera's tomorrow.
    let top = findings
        .iter()
        .find(|finding| finding.what.starts_with("camera top: /dev/video0 is there"));
    let remedy = top.filter(|top| top.level == Level::Warn).and_then(|top| top.remedy.as_deref());
    let stable =
        "device = \"/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0\" stays the same";
    assert_eq!(remedy, Some(stable), "{cameras:?}");
    assert!(
        cameras.contains(&(Level::Bad, "camera side: /dev/video7 is not there")),
        "{cameras:?}"
    );
    assert!(cameras.iter().any(|(_, what)| what.starts_with("camera mipi: nvargus-daemon")));
    // The file of the device is whoever's runs this test.
    let closed: Vec<_> =
        facts.permissions.closed.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!((facts.permissions.user.as_str(), &closed[..]), ("sightline", &["/dev/video0"][..]));
}

#[test]
fn the_devices_of_a_gpu_ask_for_what_they_give_their_group() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let planted = orin_nano();
    std::fs::remove_file(planted.0.path().join("dev/video0")).unwrap();
    for (path, mode) in [
        ("dev/nvmap", 0o440),
        ("dev/dri/renderD128", 0o660),
        ("dev/nvgpu/igpu0/ctrl", 0o660),
        // What the driver keeps for root.
        ("dev/nvgpu/igpu0/power", 0o600),
        ("dev/gpiochip0", 0o600),
    ] {
        planted.write(path, b"");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(planted.0.path().join(path), mode).unwrap();
    }
    planted.link("dev/dri/by-path/pci-render", "../renderD128");
    let owner = std::fs::metadata(planted.0.path().join("dev/nvmap")).unwrap().gid();
    let permissions = |members: &str| {
        planted.write("etc/group", format!("render:x:{owner}:{members}\n").as_bytes());
        let wanted = Wanted { user: Some("sightline".into()), ..Wanted::default() };
        planted.facts(&wanted).permissions
    };
    let of_gpu = ["/dev/dri/renderD128", "/dev/nvgpu/igpu0/ctrl", "/dev/nvmap"];
    let paths = |closed: &[(String, String)]| -> Vec<String> {
        let mut paths: Vec<_> = closed.iter().map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths
    };
    let stranger = permissions("ada");
    let (gpio, of_group): (Vec<_>, Vec<_>) =
        stranger.closed.iter().cloned().partition(|(path, _)| path.contains("gpiochip"));
    assert_eq!((gpio.len(), paths(&of_group)), (1, of_gpu.map(String::from).to_vec()));
    assert!(of_group.iter().all(|(_, group)| group == "render"), "{of_group:?}");
    let member = permissions("ada,sightline");
    assert_eq!(paths(&member.closed), ["/dev/gpiochip0"], "nobody's group may open that");
    assert_eq!(member.opens.len(), 3, "{:?}", member.opens);
}

#[test]
fn jetpack_5_is_refused_with_the_reason_and_mixed_packages_are_told() {
    let planted = orin_nano();
    planted.write("etc/nv_tegra_release", b"# R35 (release), REVISION: 5.0, GCID: 35550185\n");
    planted.write(
        "var/lib/dpkg/status",
        b"Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 35.5.0-20240219203809\n\n\
          Package: nvidia-l4t-cuda\nStatus: install ok installed\nVersion: 35.4.1-20230801124926\n",
    );
    let findings = examine(&planted.facts(&Wanted::default()));
    let bad = findings.iter().filter(|it| it.area == Area::Machine && it.level == Level::Bad);
    let bad: Vec<_> = bad.collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].what.contains("JetPack 5 (L4T 35.5.0)"), "{bad:?}");
    assert!(bad[0].remedy.as_ref().unwrap().contains("1.16.3"), "{bad:?}");
    assert!(bad[1].what.contains("1 of 35.4.1, 1 of 35.5.0"), "{bad:?}");
    assert_eq!(worst(&findings), Level::Bad);
}

#[test]
fn a_bare_pc_is_no_error_and_an_empty_root_neither() {
    for planted in [
        Planted::new(&[
            PASSWD,
            ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("run/chrony/chronyd.pid", "411\n"),
        ]),
        Planted::new(&[]),
    ] {
        let findings = examine(&planted.facts(&Wanted::default()));
        for area in Area::ALL {
            let found = of(&findings, area);
            assert!(!found.is_empty(), "{area:?}");
            // GStreamer and ONNX Runtime are this machine's own, and are not looked for here.
            if ![Area::Engine, Area::Clock].contains(&area) {
                assert!(found.iter().all(|(level, _)| *level < Level::Warn), "{found:?}");
            }
        }
    }
}

#[test]
fn files_that_are_odd_are_taken_for_what_they_are() {
    let planted = orin_nano();
    let odd: [&[u8]; 4] =
        [b"", b"\0\xff\xfe\n\n\n", &[b'9'; 4096], b"# R (release), REVISION: , \n:::::\n<<<>>>"];
    for bytes in odd {
        for path in [
            "etc/nv_tegra_release",
            "etc/os-release",
            "etc/passwd",
            "etc/group",
            "etc/nvpmodel.conf",
            "var/lib/nvpmodel/status",
            "var/lib/dpkg/status",
            "proc/device-tree/model",
            "proc/self/mounts",
            "proc/sys/net/core/rmem_max",
            "sys/class/net/eth0/mtu",
            "sys/class/thermal/thermal_zone0/temp",
            "sys/class/video4linux/video0/index",
            "sys/class/devfreq/17000000.gpu/min_freq",
        ] {
            planted.write(path, bytes);
        }
        let facts = planted.facts(&Wanted::default());
        assert_eq!(facts.late, [""; 0]);
        for finding in examine(&facts) {
            assert!(finding.level < Level::Warn || finding.remedy.is_some(), "{finding:?}");
        }
    }
    // A pipe where a file should be would block for ever.
    let pipe = planted.0.path().join("etc/os-release");
    std::fs::remove_file(&pipe).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_eq!(planted.facts(&Wanted::default()).late, [""; 0]);
}

fn config(scratch: &Scratch, device: &Path) -> String {
    let ledger = scratch.path("state/ledger.db");
    format!(
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[ledger]\npath = \"{}\"\n\
         [[camera]]\nname = \"top\"\npreset = \"usb\"\nparameters = {{ device = \"{}\" }}\n",
        ledger.display(),
        device.display()
    )
}

#[test]
fn the_binary_tells_a_table_or_json_and_its_exit_code_says_whether_something_is_bad() {
    let scratch = Scratch::new();
    // This machine, as far as GStreamer and ONNX Runtime are concerned, has what the usual presets need.
    scratch.write("device", "");
    scratch.write("line.toml", config(&scratch, &scratch.path("device")));
    let output = scratch.run(&["doctor", "line.toml", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&report["format"], &report["sightline"]),
        (&1.into(), &env!("CARGO_PKG_VERSION").into())
    );
    let findings = report["findings"].as_array().unwrap();
    let bad = findings.iter().filter(|finding| finding["level"] == "bad").count();
    assert_eq!(output.status.code(), Some(if bad == 0 { 0 } else { 12 }), "{report:#}");
    let has = |level: &str, words: &str| {
        findings
            .iter()
            .any(|it| it["level"] == level && it["what"].as_str().unwrap().contains(words))
    };
    assert!(
        has("ok", "ONNX Runtime 1.23.2") && has("ok", "GStreamer 1.") && has("ok", "model tiny 1"),
        "{report:#}"
    );
    assert!(
        has("ok", "is there") && report["facts"]["places"].as_array().unwrap().len() == 2,
        "{report:#}"
    );
    // A ledger beside the configuration, which is named without a folder.
    let beside = config(&scratch, &scratch.path("device"));
    let path = scratch.path("state/ledger.db").display().to_string();
    scratch.write("line.toml", beside.replace(&path, "ledger.db"));
    let output = scratch.run(&["doctor", "line.toml", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let places = report["facts"]["places"].as_array().unwrap();
    assert!(places.iter().any(|place| place["what"] == "ledger"), "{places:?}");

    // A camera that is not there, a model that is none, and a library that is none: each is bad, with its remedy.
    scratch.write("model.onnx", "no model");
    scratch.write("line.toml", config(&scratch, &scratch.path("nowhere")));
    let output = scratch.run(&["doctor", "line.toml", "--onnxruntime", "nowhere.so"]);
    assert_eq!(output.status.code(), Some(12));
    let told = stdout(&output);
    for word in [
        "✗ camera top: ",
        "nowhere is not there",
        "✗ model model.onnx",
        "✗ ONNX Runtime's library nowhere.so",
        "machine\n",
    ] {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!told.contains('\u{1b}'), "no colour in a file: {told}");
    let line = stderr(&output);
    assert!(
        line.contains("things are wrong with this machine") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn a_user_that_is_none_and_a_configuration_that_is_none_are_told() {
    let scratch = Scratch::new();
    let output = scratch.run(&["doctor", "--user", "nobody-of-that-name"]);
    assert_eq!(output.status.code(), Some(12));
    assert!(
        stdout(&output).contains("there is no user nobody-of-that-name"),
        "{}",
        stdout(&output)
    );
    assert_eq!(scratch.run(&["doctor", "nowhere.toml"]).status.code(), Some(3));
}
