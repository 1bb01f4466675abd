//! Power mode, clocks and heat, from nvpmodel's files and /sys.

use super::Root;
use crate::{
    doctor::{
        facts::{Mode, Power, Range},
        parse,
    },
    machine::Machine,
};

/// Where GPUs and memories tell their clocks, in hertz.
const DEVFREQ: &str = "/sys/class/devfreq";
/// Where processors do, in kilohertz; all of a cluster share one.
const CPUFREQ: &str = "/sys/devices/system/cpu/cpufreq";

pub(super) fn look(root: &Root) -> Power {
    let modes = root.text("/etc/nvpmodel.conf").map(|text| parse::power_modes(&text));
    let modes = modes.unwrap_or_default();
    let now = root.text("/var/lib/nvpmodel/status").and_then(|text| parse::power_mode_id(&text));
    let mode = now.map(|id| {
        let known = modes.iter().find(|mode| mode.id == id).cloned();
        known.unwrap_or_else(|| Mode { id, name: format!("number {id}") })
    });
    let machine = Machine::at(&root.path("/sys"));
    let cooling = machine.cooling().into_iter();
    let held_back = cooling.filter(|it| it.share > 0.0 && slows(&it.device));
    Power {
        mode,
        modes,
        clocks: clocks(root),
        temperatures: machine.temperatures(),
        held_back: held_back.map(|it| (it.device, it.share)).collect(),
        over_currents: machine
            .over_currents()
            .into_iter()
            .filter(|(_, times)| *times > 0)
            .collect(),
    }
}

/// Whether a cooling device cools by computing less: fans that turn, displays and warnings of a hot surface do not.
fn slows(device: &str) -> bool {
    let device = device.to_lowercase();
    ["cpu", "gpu", "processor", "throttle", "devfreq", "powerclamp"]
        .iter()
        .any(|part| device.contains(part))
}

fn clocks(root: &Root) -> Vec<Range> {
    let gpus = root.names(DEVFREQ).into_iter().filter(|name| name.contains("gpu"));
    let gpus = gpus.filter_map(|name| {
        let min_hz = root.number(&format!("{DEVFREQ}/{name}/min_freq"))?;
        let max_hz = root.number(&format!("{DEVFREQ}/{name}/max_freq"))?;
        Some(Range { name, min_hz, max_hz })
    });
    let processors = root.names(CPUFREQ).into_iter().filter_map(|name| {
        let min = root.number(&format!("{CPUFREQ}/{name}/scaling_min_freq"))?;
        let max = root.number(&format!("{CPUFREQ}/{name}/scaling_max_freq"))?;
        Some(Range { name, min_hz: min.saturating_mul(1000), max_hz: max.saturating_mul(1000) })
    });
    gpus.chain(processors).collect()
}
