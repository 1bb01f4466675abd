//! Who keeps the machine's time, from what time services leave in /run.

use std::time::SystemTime;

use super::Root;
use crate::doctor::facts::Clock;

/// What systemd-timesyncd makes when it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Services that keep the time, by what is there while they run.
const KEEPERS: [(&str, &str); 5] = [
    ("systemd-timesyncd", "/run/systemd/timesync"),
    ("chronyd", "/run/chrony/chronyd.pid"),
    ("chronyd", "/run/chronyd.pid"),
    ("ntpd", "/run/ntpd.pid"),
    ("ptp4l", "/run/ptp4l"),
];

pub(super) fn look(root: &Root, now: SystemTime) -> Clock {
    let kept_by = KEEPERS.iter().find(|(_, trace)| root.has(trace)).map(|(name, _)| *name);
    let is_timesyncd = kept_by == Some("systemd-timesyncd");
    Clock {
        now_secs: now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        kept_by: kept_by.map(Into::into),
        is_synchronised: is_timesyncd.then(|| root.has(SYNCHRONISED)),
    }
}
