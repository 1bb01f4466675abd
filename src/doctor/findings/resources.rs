//! Power and heat, room on disks, and time.
//!
//! Pure.

use crate::doctor::{
    Area, Finding,
    facts::{Clock, Place, Power},
};

/// A Jetson slows down from about 95 degrees on; closer than this there is no summer's day left.
const HOT_CELSIUS: f64 = 85.0;
/// Less is full before anybody comes: an hour of pictures.
const FREE_LOW_BYTES: u64 = 1 << 30;
/// Neither ledger nor engine can be written.
const FREE_NONE_BYTES: u64 = 100 << 20;
const FREE_FILES_LOW: u64 = 10_000;
/// File systems over a network, on which SQLite's locks and its shared memory do not hold.
const NETWORKED: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph"];
/// File systems that a power cut empties.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];
/// 1 January 2025: no build of this program is older, so no right clock is.
const NO_EARLIER_SECS: u64 = 1_735_689_600;

pub(super) fn power(power: &Power) -> Vec<Finding> {
    const AREA: Area = Area::Power;
    let mut findings = Vec::new();
    if let Some(mode) = &power.mode {
        let best = power.modes.iter().find(|mode| mode.name.contains("MAXN"));
        let what = format!("power mode {}", mode.name);
        findings.push(match best.filter(|best| *best != mode) {
            Some(best) => {
                let remedy = format!(
                    "`sudo nvpmodel -m {}` is {}: faster, if power supply and cooling allow it",
                    best.id, best.name
                );
                Finding::note(AREA, what, Some(&remedy))
            }
            None => Finding::ok(AREA, what),
        });
        let moving: Vec<_> = power.clocks.iter().filter(|it| it.min_hz < it.max_hz).collect();
        if let [first, ..] = moving[..] {
            let what = format!(
                "clocks go down when the line is idle ({} from {} MHz): the first frame after a pause takes longer",
                first.name,
                first.min_hz / 1_000_000
            );
            findings.push(Finding::note(
                AREA,
                what,
                Some("`sudo jetson_clocks` keeps them up until the next start"),
            ));
        }
    }
    let hottest = power.temperatures.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((zone, celsius)) = hottest {
        let what = format!("hottest: {zone}, {celsius:.0} degrees Celsius");
        findings.push(if *celsius >= HOT_CELSIUS {
            Finding::warn(
                AREA,
                what,
                "cool it better, or choose a lower power mode: it slows down soon",
            )
        } else {
            Finding::ok(AREA, what)
        });
    }
    for (device, share) in &power.held_back {
        let what = format!("{device} is held back by {:.0} %", share * 100.0);
        findings.push(Finding::warn(AREA, what, "cool it better, or choose a lower power mode"));
    }
    for (guard, times) in &power.over_currents {
        let what = format!(
            "the over-current guard {guard} slowed the board down {times} times since its start"
        );
        findings.push(Finding::warn(
            AREA,
            what,
            "use a stronger power supply, or a lower power mode",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::note(
            AREA,
            "this machine tells neither power mode nor temperature",
            None,
        ));
    }
    findings
}

pub(super) fn places(places: &[Place]) -> Vec<Finding> {
    const AREA: Area = Area::Disk;
    if places.is_empty() {
        return vec![Finding::note(
            AREA,
            "nothing is kept: no ledger, archive or engine cache",
            None,
        )];
    }
    places.iter().flat_map(of_place).collect()
}

fn of_place(place: &Place) -> Vec<Finding> {
    const AREA: Area = Area::Disk;
    let Place { what, path, .. } = place;
    let kind = place.kind.as_deref().unwrap_or("unknown");
    let told = |trouble: &str| format!("{what} on {path} ({kind}): {trouble}");
    if place.is_late {
        return vec![Finding::bad(
            AREA,
            format!("{what} on {path}: the file system does not answer"),
            "is that on a network share that is away, or on a disk that fails? `dmesg` may tell",
        )];
    }
    let mut findings = Vec::new();
    if place.is_read_only {
        findings.push(Finding::bad(
            AREA,
            told("mounted read-only"),
            "mount it for writing; a disk that failed is mounted so: `dmesg` tells",
        ));
    } else if !place.is_writable {
        findings.push(Finding::bad(AREA, told("the service's user may not write there"), "make the folder and give it to that user: `sudo install --directory --owner=USER FOLDER`"));
    }
    if VOLATILE.contains(&kind) && what != "engines" {
        findings.push(Finding::warn(AREA, told("a power cut empties it"), "keep it on a disk"));
    }
    if NETWORKED.contains(&kind) && what == "ledger" {
        findings.push(Finding::bad(
            AREA,
            told("SQLite's locks do not hold over a network"),
            "keep the ledger on a disk of this machine",
        ));
    }
    if let Some(free) = place.free_bytes {
        let mb = free >> 20;
        if free < FREE_NONE_BYTES {
            findings.push(Finding::bad(
                AREA,
                told(&format!("only {mb} MB are free")),
                "make room: nothing can be written down any more",
            ));
        } else if free < FREE_LOW_BYTES {
            findings.push(Finding::warn(
                AREA,
                told(&format!("only {mb} MB are free")),
                "make room, or lower archive.size_max_mb and ledger.size_max_mb",
            ));
        }
    }
    if let Some(files) = place.free_files.filter(|files| *files < FREE_FILES_LOW) {
        findings.push(Finding::warn(
            AREA,
            told(&format!("only {files} files more can be made")),
            "delete small files: `df --inodes` shows where they are",
        ));
    }
    if findings.is_empty() {
        let free = place
            .free_bytes
            .map_or("free space unknown".into(), |free| format!("{} MB are free", free >> 20));
        findings.push(Finding::ok(AREA, told(&free)));
    }
    findings
}

pub(super) fn clock(clock: &Clock) -> Vec<Finding> {
    const AREA: Area = Area::Clock;
    let keeper = clock.kept_by.as_deref();
    let remedy = "`sudo timedatectl set-ntp true`, or install chrony; on a closed network name a server of the plant's";
    if clock.now_secs < NO_EARLIER_SECS {
        let what =
            format!("the clock says {} seconds after 1970, which is long ago", clock.now_secs);
        return vec![Finding::bad(
            AREA,
            what,
            format!("{remedy}; the battery of the board's clock may be missing"),
        )];
    }
    vec![match (keeper, clock.is_synchronised) {
        (Some(keeper), Some(true)) => {
            Finding::ok(AREA, format!("kept by {keeper}, and set since the start"))
        }
        (Some(keeper), Some(false)) => {
            let what = format!(
                "{keeper} runs and has not set the clock since the start: times of verdicts may be wrong"
            );
            Finding::warn(
                AREA,
                what,
                "does it reach its server? `timedatectl timesync-status` tells",
            )
        }
        (Some(keeper), None) => Finding::note(
            AREA,
            format!("kept by {keeper}"),
            Some("`chronyc tracking`, `ntpq -p` or `pmc` says how well"),
        ),
        (None, Some(true)) => Finding::note(
            AREA,
            "set since the start, by a service that is not known here",
            Some("`timedatectl` says more"),
        ),
        (None, _) => {
            Finding::warn(AREA, "nobody keeps the clock: times of verdicts will drift", remedy)
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        Level,
        facts::{Mode, Range},
    };

    #[test]
    fn a_slow_hot_board_says_what_makes_it_so() {
        let mode = |id, name: &str| Mode { id, name: name.into() };
        let slow = Power {
            mode: Some(mode(0, "15W")),
            modes: vec![mode(0, "15W"), mode(2, "MAXN_SUPER")],
            clocks: vec![Range {
                name: "17000000.gpu".into(),
                min_hz: 306_000_000,
                max_hz: 625_000_000,
            }],
            temperatures: vec![("cpu-thermal".into(), 61.0), ("gpu-thermal".into(), 91.5)],
            held_back: vec![("17000000.gpu".into(), 0.5)],
            over_currents: vec![("oc1".into(), 3)],
        };
        let found = power(&slow);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(
            levels,
            [Level::Note, Level::Note, Level::Warn, Level::Warn, Level::Warn],
            "{found:?}"
        );
        assert!(found[0].remedy.as_ref().unwrap().contains("nvpmodel -m 2"), "{found:?}");
        let fast = Power { mode: Some(mode(2, "MAXN_SUPER")), clocks: Vec::new(), ..slow };
        assert_eq!(power(&fast)[0].level, Level::Ok);
    }

    #[test]
    fn a_place_is_refused_for_what_the_ledger_cannot_stand() {
        let disk = Place {
            what: "ledger".into(),
            path: "/var/lib/sightline".into(),
            is_late: false,
            kind: Some("ext4".into()),
            free_bytes: Some(50 << 30),
            size_bytes: Some(100 << 30),
            free_files: Some(1_000_000),
            is_read_only: false,
            is_writable: true,
        };
        let check = |place: Place, level, word: &str| {
            let found = places(&[place]);
            assert_eq!((found[0].level, found.len()), (level, 1), "{found:?}");
            assert!(found[0].what.contains(word), "{found:?}");
        };
        check(disk.clone(), Level::Ok, "51200 MB");
        check(Place { kind: Some("nfs4".into()), ..disk.clone() }, Level::Bad, "SQLite");
        check(Place { kind: Some("tmpfs".into()), ..disk.clone() }, Level::Warn, "power cut");
        check(Place { is_late: true, ..disk.clone() }, Level::Bad, "does not answer");
        check(Place { is_read_only: true, ..disk.clone() }, Level::Bad, "read-only");
        check(Place { is_writable: false, ..disk.clone() }, Level::Bad, "may not write");
        check(Place { free_bytes: Some(500 << 20), ..disk.clone() }, Level::Warn, "500 MB");
        check(Place { free_bytes: Some(5 << 20), ..disk.clone() }, Level::Bad, "5 MB");
        check(Place { free_files: Some(3), ..disk }, Level::Warn, "3 files");
    }

    #[test]
    fn a_clock_that_nobody_set_is_told() {
        let check = |now_secs, kept_by: Option<&str>, is_synchronised, level| {
            let clock = Clock { now_secs, kept_by: kept_by.map(Into::into), is_synchronised };
            assert_eq!(super::clock(&clock)[0].level, level, "{clock:?}");
        };
        let now = 1_790_000_000;
        check(now, Some("systemd-timesyncd"), Some(true), Level::Ok);
        check(now, Some("systemd-timesyncd"), Some(false), Level::Warn);
        check(now, Some("chronyd"), None, Level::Note);
        check(now, Some("chronyd"), Some(true), Level::Ok);
        check(now, None, Some(true), Level::Note);
        check(now, None, None, Level::Warn);
        check(86_400, Some("chronyd"), None, Level::Bad);
    }
}
