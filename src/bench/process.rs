//! What the kernel says about this process: processor time of each thread, and which machine it is on.
//! Resident memory is [`crate::machine`]'s.
//!
//! Owns the reading of `/proc`. What cannot be read is absent: a bench must not fail for a figure.

use std::{collections::BTreeMap, fs, time::Duration};

/// Processor time of each thread, by its id.
pub(super) type Threads = BTreeMap<u32, Thread>;

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    /// At most 15 bytes, as Linux keeps them.
    pub(super) name: String,
    pub(super) cpu: Duration,
}

/// The threads that run now.
pub(super) fn threads() -> Threads {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            Some((id, thread(&stat, ticks_per_second)?))
        })
        .collect()
}

/// From a line of `stat` (proc(5)): the name in brackets, user and system time in the 14th and 15th field.
fn thread(stat: &str, ticks_per_second: u64) -> Option<Thread> {
    // A name may hold brackets and blanks itself.
    let (before, after) = stat.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ').skip(11);
    let [user, system]: [u64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
    let cpu = Duration::from_millis((user + system) * 1000 / ticks_per_second.max(1));
    Some(Thread { name, cpu })
}

/// The processor's name.
pub(super) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name"));
    // Arm kernels give no name there, a Jetson's device tree does.
    let named = named.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
    named.unwrap_or_else(|| {
        let model = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
        let model = model.trim_end_matches('\0');
        if model.is_empty() { std::env::consts::ARCH.into() } else { model.into() }
    })
}

/// Runnable threads on the whole machine over the last minute.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_whose_name_looks_like_fields_is_read() {
        let stat = "7 (av) 1 (x) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 30 0 1";
        let expected = Thread { name: "av) 1 (x".into(), cpu: Duration::from_secs(3) };
        assert_eq!(thread(stat, 100), Some(expected));
        assert_eq!(thread("7 (short) S 1", 100), None);
    }

    #[test]
    fn this_process_is_there() {
        assert!(!threads().is_empty());
    }
}
