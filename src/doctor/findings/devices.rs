//! GStreamer, cameras, the network that they come in by, and who may open them.
//!
//! Pure.

use std::collections::BTreeMap;

use crate::doctor::{
    Area, Finding, Level,
    facts::{Cameras, Gstreamer, Network, Permissions},
    parse,
};

/// What gstreamer-rs needs at the least; JetPack 5 has 1.16, JetPack 6 has 1.20.
const GSTREAMER_OLDEST: (u32, u32) = (1, 16);
/// Below this a 2 megapixel frame is a thousand packets and more, and each costs an interrupt.
const MTU_WANTED_BYTES: u64 = 8_000;
/// A frame of 5 megapixels in 8 bits, twice.
const BUFFER_WANTED_BYTES: u64 = 10 << 20;

pub(super) fn gstreamer(gstreamer: &Gstreamer) -> Vec<Finding> {
    const AREA: Area = Area::Gstreamer;
    let Some(version) = &gstreamer.version else {
        let failure = gstreamer.failure.as_deref().unwrap_or("GStreamer could not be asked");
        let remedy = "install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good";
        return vec![Finding::bad(AREA, failure, remedy)];
    };
    let told = format!("GStreamer {version}");
    let is_old = parse::major_minor(version).is_some_and(|version| version < GSTREAMER_OLDEST);
    let mut findings = vec![if is_old {
        Finding::bad(AREA, told, "1.16 is needed: install a newer system")
    } else {
        Finding::ok(AREA, told)
    }];
    let mut presets: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for need in &gstreamer.needs {
        presets.entry(&need.preset).or_default().push(need);
    }
    for (preset, needs) in presets {
        let missing: Vec<_> = needs.iter().filter(|need| need.found.is_none()).collect();
        if missing.is_empty() {
            findings.push(Finding::ok(AREA, format!("preset {preset}: every element is there")));
            continue;
        }
        let names: Vec<_> = missing.iter().map(|need| need.elements.join(" or ")).collect();
        let mut remedies: Vec<_> = missing.iter().map(|need| need.remedy.as_str()).collect();
        remedies.dedup();
        let what = format!("preset {preset} lacks {}", names.join(", "));
        let is_used = needs.iter().any(|need| need.is_used);
        let remedy = Some(remedies.join("; "));
        let level = if is_used { Level::Bad } else { Level::Note };
        findings.push(Finding { area: AREA, level, what, remedy });
    }
    findings
}

pub(super) fn cameras(cameras: &Cameras) -> Vec<Finding> {
    const AREA: Area = Area::Cameras;
    let mut findings = Vec::new();
    for device in &cameras.devices {
        let name = device.name.as_deref().unwrap_or("a device without a name");
        let formats = if device.formats.is_empty() {
            "no format told".into()
        } else {
            device.formats.join(" | ")
        };
        let what = format!("{} ({name}): {formats}", device.path);
        let stable = match device.stable.first() {
            Some(stable) => format!("always the one at {stable}"),
            None => "udev gives it no stable name".into(),
        };
        findings.push(Finding::note(AREA, format!("{what}; {stable}"), None));
    }
    if cameras.devices.is_empty() {
        findings.push(Finding::note(AREA, "no Video4Linux camera is plugged in", None));
    }
    for camera in &cameras.configured {
        let name = &camera.camera;
        if let (Some(device), Some(is_there)) = (&camera.device, camera.is_there) {
            let what = format!("camera {name}: {device}");
            let known = cameras.devices.iter().find(|known| known.path == *device);
            let stable = known.and_then(|known| known.stable.first()).filter(|_| is_there);
            findings.push(if let Some(stable) = stable {
                let what = format!("{what} is there, and another camera may be after a replugging");
                Finding::warn(AREA, what, format!("device = \"{stable}\" stays the same"))
            } else if is_there {
                Finding::ok(AREA, format!("{what} is there"))
            } else {
                let remedy = "plug it in; the devices that are there are listed above, and `dmesg` tells why one is not";
                Finding::bad(AREA, format!("{what} is not there"), remedy)
            });
        }
        if camera.is_argus && !cameras.has_argus {
            let what = format!("camera {name}: nvargus-daemon has no socket in /tmp");
            let remedy = "`sudo systemctl restart nvargus-daemon`; a unit with PrivateTmp does not see the socket";
            findings.push(Finding::bad(AREA, what, remedy));
        }
    }
    findings
}

pub(super) fn network(network: &Network) -> Vec<Finding> {
    const AREA: Area = Area::Network;
    if !network.is_wanted {
        let names: Vec<_> = network
            .interfaces
            .iter()
            .map(|it| format!("{} (MTU {})", it.name, it.mtu_bytes))
            .collect();
        let names = if names.is_empty() { "none".into() } else { names.join(", ") };
        let what = format!(
            "wired interfaces that are up: {names}; no camera by GigE Vision is configured"
        );
        return vec![Finding::note(AREA, what, None)];
    }
    let mut findings = Vec::new();
    if network.interfaces.is_empty() {
        // The same source serves both, and only the camera knows which it is.
        let remedy = "plug a GigE Vision camera's cable in (`ip link` shows the interfaces); one of USB3 Vision needs none";
        let what = "no wired interface is up, and a camera comes by GigE Vision or USB3 Vision";
        return vec![Finding::warn(AREA, what, remedy)];
    }
    for interface in &network.interfaces {
        let (name, mtu) = (&interface.name, interface.mtu_bytes);
        if mtu < MTU_WANTED_BYTES {
            let what = format!("{name} has an MTU of {mtu}: small packets, of which more are lost");
            let remedy = format!(
                "`sudo ip link set {name} mtu 9000` where its camera is, if switch and camera take it; keep it in the network's configuration"
            );
            findings.push(Finding::warn(AREA, what, remedy));
        } else {
            findings.push(Finding::ok(AREA, format!("{name} has an MTU of {mtu}")));
        }
        if let Some(speed) = interface.speed_mbit.filter(|speed| *speed < 1000) {
            let what = format!("{name} runs at {speed} Mbit/s");
            findings.push(Finding::warn(
                AREA,
                what,
                "change the cable or the switch: GigE Vision needs 1000",
            ));
        }
    }
    findings.push(match network.receive_buffer_max_bytes {
        Some(bytes) if bytes < BUFFER_WANTED_BYTES => Finding::warn(
            AREA,
            format!("net.core.rmem_max is {bytes} bytes: less than two frames, packets are lost while the process is busy"),
            "`sudo sysctl -w net.core.rmem_max=33554432`, and the same line in /etc/sysctl.d/60-gige.conf",
        ),
        Some(bytes) => Finding::ok(AREA, format!("net.core.rmem_max is {bytes} bytes")),
        None => Finding::note(AREA, "net.core.rmem_max cannot be read", None),
    });
    findings
}

pub(super) fn permissions(permissions: &Permissions) -> Vec<Finding> {
    const AREA: Area = Area::Permissions;
    if let Some(unknown) = &permissions.unknown {
        return vec![Finding::bad(
            AREA,
            unknown,
            "name the user that runs the service with --user",
        )];
    }
    let user = &permissions.user;
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (device, group) in &permissions.closed {
        groups.entry(group).or_default().push(device);
    }
    let mut findings: Vec<_> = groups
        .into_iter()
        .map(|(group, devices)| {
            let what = format!("{user} may not open {}", devices.join(", "));
            let remedy = if group == "root" {
                "a rule of udev's must give it to a group; then `sudo usermod --append --groups GROUP USER`".into()
            } else {
                format!("`sudo usermod --append --groups {group} {user}`, then start the service anew")
            };
            Finding::warn(AREA, what, remedy)
        })
        .collect();
    if findings.is_empty() {
        let what = match permissions.opens.len() {
            0 => format!("{user}: there is no device of a camera, a GPU or a line to open"),
            many => format!("{user} may open all {many} devices of cameras, GPU and lines"),
        };
        findings.push(Finding::ok(AREA, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::{Configured, Interface, Need};

    #[test]
    fn an_element_that_a_camera_needs_is_bad_and_another_is_a_note() {
        let need = |preset: &str, is_used, found: Option<&str>| Need {
            preset: preset.into(),
            is_used,
            elements: vec!["avdec_h264".into(), "openh264dec".into()],
            found: found.map(Into::into),
            remedy: "install the package gstreamer1.0-libav".into(),
        };
        let needs = vec![
            need("rtsp", true, None),
            need("files", false, None),
            need("usb", true, Some("openh264dec")),
        ];
        let found = gstreamer(&Gstreamer { version: Some("1.20.3".into()), failure: None, needs });
        let levels: Vec<_> = found.iter().map(|it| (it.level, it.what.as_str())).collect();
        assert_eq!(
            levels,
            [
                (Level::Ok, "GStreamer 1.20.3"),
                (Level::Note, "preset files lacks avdec_h264 or openh264dec"),
                (Level::Bad, "preset rtsp lacks avdec_h264 or openh264dec"),
                (Level::Ok, "preset usb: every element is there"),
            ]
        );
        let old = gstreamer(&Gstreamer { version: Some("1.14.5".into()), ..Gstreamer::default() });
        assert_eq!(old[0].level, Level::Bad);
    }

    #[test]
    fn a_gige_camera_wants_large_packets_and_buffers() {
        let interfaces =
            vec![Interface { name: "eth0".into(), mtu_bytes: 1500, speed_mbit: Some(100) }];
        let network =
            Network { is_wanted: true, interfaces, receive_buffer_max_bytes: Some(212_992) };
        let found = super::network(&network);
        assert!(found.iter().all(|it| it.level == Level::Warn) && found.len() == 3, "{found:?}");
        assert!(found[0].remedy.as_ref().unwrap().contains("ip link set eth0 mtu 9000"));
        let unwanted = super::network(&Network { is_wanted: false, ..network });
        assert_eq!(unwanted[0].level, Level::Note);
    }

    #[test]
    fn a_camera_that_is_not_there_and_a_closed_device_say_what_to_do() {
        let configured = vec![
            Configured {
                camera: "top".into(),
                preset: "usb".into(),
                is_argus: false,
                device: Some("serial:1".into()),
                is_there: Some(false),
            },
            Configured {
                camera: "side".into(),
                preset: "copied.toml".into(),
                is_argus: true,
                device: None,
                is_there: None,
            },
        ];
        let found = cameras(&Cameras { configured, ..Cameras::default() });
        assert_eq!(found.iter().filter(|it| it.level == Level::Bad).count(), 2, "{found:?}");
        let closed =
            vec![("/dev/video0".into(), "video".into()), ("/dev/video1".into(), "video".into())];
        let found =
            permissions(&Permissions { user: "ada".into(), closed, ..Permissions::default() });
        assert_eq!(found[0].what, "ada may not open /dev/video0, /dev/video1");
        assert!(found[0].remedy.as_ref().unwrap().contains("--groups video ada"));
    }
}
