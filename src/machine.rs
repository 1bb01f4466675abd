//! What Linux tells about the process and the board: memory, temperatures, and whether it is held back.
//!
//! Owns the paths below /proc and /sys, and how much a thread steps back behind those that judge. A file that is not there is left out: every board tells something else.
//! Must not know what is done about it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// More than any board has, of zones and of cooling devices.
const DEVICES_MAX: usize = 64;
const HWMONS_MAX: usize = 64;

/// How much a thread steps back where processors are short: pictures and hashes may be late, verdicts may not. Linux gives
/// it a third of what another thread gets; with 10 it is a tenth, and on a machine that is busy with more it stands still.
const NICENESS: i32 = 5;

/// The calling thread, of that name, steps back from now on: on Linux each has a niceness of its own.
pub fn yield_to_others(thread: &str) {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!("the thread {thread} keeps its priority: {error}");
    }
}

/// Where the board's files lie.
#[derive(Clone, Debug)]
pub struct Machine {
    sys: PathBuf,
}

/// How far a cooling device is up.
#[derive(Clone, Debug, PartialEq)]
pub struct Cooling {
    /// Its type, such as `cpufreq-cpu0`, `17000000.gpu` or `pwm-fan`; its number behind it where several share it.
    pub device: String,
    /// From 0, nothing is done, to 1, all that it can. For a clock, anything above 0 is throttling.
    pub share: f64,
}

/// Resident memory of this process; `None` where there is no /proc.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

impl Default for Machine {
    fn default() -> Self {
        Self::at(Path::new("/sys"))
    }
}

impl Machine {
    /// A machine whose files lie below this folder.
    pub fn at(sys: &Path) -> Self {
        Self { sys: sys.to_path_buf() }
    }

    /// Name and temperature in degrees Celsius of each thermal zone: on a Jetson the processor's, the GPU's and others.
    pub fn temperatures(&self) -> Vec<(String, f64)> {
        self.thermal("thermal_zone")
            .filter_map(|folder| {
                let millis = number(&folder.join("temp"))?;
                Some((text(&folder.join("type"))?, millis / 1e3))
            })
            .collect()
    }

    /// What holds the machine back, or cools it: the kernel raises a cooling device when a zone is too hot.
    pub fn cooling(&self) -> Vec<Cooling> {
        let mut devices: Vec<Cooling> = Vec::new();
        for (number_of, folder) in self.thermal("cooling_device").enumerate() {
            let Some(device) = text(&folder.join("type")) else { continue };
            let (now, most) =
                (number(&folder.join("cur_state")), number(&folder.join("max_state")));
            let (Some(now), Some(most)) = (now, most.filter(|most| *most > 0.0)) else { continue };
            let is_taken = devices.iter().any(|other| other.device == device);
            let device = if is_taken { format!("{device}-{number_of}") } else { device };
            devices.push(Cooling { device, share: now / most });
        }
        devices
    }

    /// How often each over-current guard of a Jetson slowed the board down since its start
    /// (`oc1_event_cnt` to `oc3_event_cnt`, "Jetson Thermal Specification" and NVIDIA's developer guide).
    pub fn over_currents(&self) -> Vec<(String, u64)> {
        let Ok(entries) = fs::read_dir(self.sys.join("class/hwmon")) else { return Vec::new() };
        let folders = entries.filter_map(Result::ok).take(HWMONS_MAX);
        let mut events: Vec<_> = folders
            .flat_map(|folder| {
                (1..=3).filter_map(move |guard| {
                    let file = folder.path().join(format!("oc{guard}_event_cnt"));
                    Some((format!("oc{guard}"), text(&file)?.parse().ok()?))
                })
            })
            .collect();
        events.sort();
        events.dedup_by(|one, other| one.0 == other.0);
        events
    }

    fn thermal(&self, kind: &'static str) -> impl Iterator<Item = PathBuf> + '_ {
        (0..DEVICES_MAX)
            .map(move |index| self.sys.join("class/thermal").join(format!("{kind}{index}")))
            .take_while(|folder| folder.is_dir())
    }
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(path: &Path) -> Option<f64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_that_is_held_back_tells_so() {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // As on an Orin Nano, with a sensor that does not answer.
        write("class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write("class/thermal/thermal_zone0/temp", "98500\n");
        write("class/thermal/thermal_zone1/type", "cv0-thermal\n");
        for (index, (kind, now, most)) in [
            ("pwm-fan", 3, 3),
            ("cpufreq-cpu0", 7, 28),
            ("17000000.gpu", 0, 8),
            ("cpufreq-cpu0", 0, 28),
            ("odd", 0, 0),
        ]
        .into_iter()
        .enumerate()
        {
            let folder = format!("class/thermal/cooling_device{index}");
            write(&format!("{folder}/type"), kind);
            write(&format!("{folder}/cur_state"), &now.to_string());
            write(&format!("{folder}/max_state"), &most.to_string());
        }
        write("class/hwmon/hwmon1/oc1_event_cnt", "0\n");
        write("class/hwmon/hwmon1/oc3_event_cnt", "12\n");
        let machine = Machine::at(sys.path());
        assert_eq!(machine.temperatures(), [("cpu-thermal".to_owned(), 98.5)]);
        let told: Vec<_> =
            machine.cooling().into_iter().map(|cooling| (cooling.device, cooling.share)).collect();
        let expected = [
            ("pwm-fan", 1.0),
            ("cpufreq-cpu0", 0.25),
            ("17000000.gpu", 0.0),
            ("cpufreq-cpu0-3", 0.0),
        ];
        assert_eq!(told, expected.map(|(device, share)| (device.to_owned(), share)));
        assert_eq!(machine.over_currents(), [("oc1".to_owned(), 0), ("oc3".to_owned(), 12)]);
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_error() {
        let machine = Machine::at(Path::new("/nonexistent"));
        assert!(machine.temperatures().is_empty() && machine.cooling().is_empty());
        assert!(machine.over_currents().is_empty());
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1_000_000));
    }
}
