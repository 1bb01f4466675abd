//! Who keeps the machine's time, from what time services leave in /run, and whether the kernel holds it to be set.
//!
//! Owns the one call for it, which only reads. Must not know what is made of the answer.
#![expect(unsafe_code, reason = "adjtimex, which no library of ours wraps")]

use std::{mem::MaybeUninit, time::SystemTime};

use super::Root;
use crate::doctor::facts::Clock;

/// What systemd-timesyncd makes when it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Services that keep the time, by what is there while they run.
const KEEPERS: [(&str, &str); 5] = [
    ("systemd-timesyncd", "/run/systemd/timesync"),
    // What lies in it only root sees.
    ("chronyd", "/run/chrony"),
    ("chronyd", "/run/chronyd.pid"),
    ("ntpd", "/run/ntpd.pid"),
    ("ptp4l", "/run/ptp4l"),
];

pub(super) fn look(root: &Root, now: SystemTime) -> Clock {
    let kept_by = KEEPERS.iter().find(|(_, trace)| root.has(trace)).map(|(name, _)| *name);
    let kernel = root.is_system().then(kernel_is_set);
    Clock {
        now_secs: now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        kept_by: kept_by.map(Into::into),
        is_synchronised: is_synchronised(kept_by, kernel, root.has(SYNCHRONISED)),
    }
}

/// What is known of a service's work. Each clears the kernel's mark once it has set the clock, chronyd only where its
/// `rtcsync` is on (it is in Debian's and Ubuntu's configuration), and ptp4l leaves that to phc2sys, which does not.
/// Without a kernel to ask, timesyncd's file tells, which stays when the clock is no longer kept.
fn is_synchronised(kept_by: Option<&str>, kernel: Option<bool>, has_file: bool) -> Option<bool> {
    match (kept_by, kernel) {
        (_, Some(true)) => Some(true),
        (Some("systemd-timesyncd" | "ntpd"), Some(false)) => Some(false),
        (Some("systemd-timesyncd"), None) => Some(has_file),
        (_, Some(false) | None) => None,
    }
}

/// Whether the kernel does not mark its clock as unsynchronised (adjtimex(2), `STA_UNSYNC`).
fn kernel_is_set() -> bool {
    let mut told = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all zeroes are a valid `timex`, whose `modes` of 0 makes the call only fill it.
    let (answer, told) = unsafe { (libc::adjtimex(told.as_mut_ptr()), told.assume_init()) };
    answer >= 0 && told.status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_did_is_known_where_it_or_the_kernel_tells() {
        let timesyncd = Some("systemd-timesyncd");
        assert_eq!(is_synchronised(timesyncd, None, false), Some(false));
        assert_eq!(is_synchronised(timesyncd, None, true), Some(true));
        // It was set, and is kept no longer.
        assert_eq!(is_synchronised(timesyncd, Some(false), true), Some(false));
        assert_eq!(is_synchronised(Some("ntpd"), Some(false), false), Some(false));
        assert_eq!(is_synchronised(Some("chronyd"), Some(true), false), Some(true));
        // Without `rtcsync` it leaves the mark though it has set the clock.
        assert_eq!(is_synchronised(Some("chronyd"), Some(false), false), None);
        assert_eq!(is_synchronised(Some("ptp4l"), None, false), None);
        assert_eq!(is_synchronised(None, Some(true), false), Some(true));
        assert_eq!(is_synchronised(None, Some(false), false), None);
    }
}
