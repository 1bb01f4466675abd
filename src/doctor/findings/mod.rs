//! What the facts mean for an inspector, and what is to be done: each area in a function of its own.
//!
//! Pure. Every level but `ok` comes with words that a person can act on.

mod devices;
mod engine;
mod machine;
mod resources;

use super::{Area, Facts, Finding, Level};

/// Every finding, by area, the worst of each area first.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let each = Area::ALL.into_iter().flat_map(|area| {
        // Where a look did not come back the facts are empty, which means nothing.
        if facts.late.contains(&area.name()) { vec![late(area)] } else { of_area(area, facts) }
    });
    let mut findings: Vec<_> = each.collect();
    findings.sort_by_key(|finding| (finding.area, std::cmp::Reverse(finding.level)));
    findings
}

fn of_area(area: Area, facts: &Facts) -> Vec<Finding> {
    match area {
        Area::Machine => machine::findings(&facts.system),
        Area::Engine => engine::findings(&facts.engine, &facts.system),
        Area::Gstreamer => devices::gstreamer(&facts.gstreamer),
        Area::Cameras => devices::cameras(&facts.cameras),
        Area::Network => devices::network(&facts.network),
        Area::Power => resources::power(&facts.power),
        Area::Disk => resources::places(&facts.places),
        Area::Clock => resources::clock(&facts.clock),
        Area::Permissions => devices::permissions(&facts.permissions),
    }
}

fn late(area: Area) -> Finding {
    let name = area.name();
    Finding::bad(
        area,
        format!(
            "{name} could not be looked at: a file, a driver or a library did not answer in time"
        ),
        "is a network share away, or a driver stuck? `dmesg` may tell; restart the machine",
    )
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_never_well() {
        for area in Area::ALL {
            let facts = Facts { late: vec![area.name()], ..Facts::default() };
            let findings = examine(&facts);
            let of_it: Vec<_> = findings.iter().filter(|finding| finding.area == area).collect();
            let [only] = of_it[..] else { panic!("{area:?}: {of_it:?}") };
            assert!(only.level == Level::Bad && only.what.contains("did not answer"), "{only:?}");
        }
        let findings = examine(&Facts::default());
        // A machine that tells nothing at all: each area has its say, and whatever wants action says which.
        for finding in &findings {
            assert!(finding.level < Level::Warn || finding.remedy.is_some(), "{finding:?}");
        }
        for area in Area::ALL {
            assert!(findings.iter().any(|finding| finding.area == area), "{area:?}");
        }
    }
}
