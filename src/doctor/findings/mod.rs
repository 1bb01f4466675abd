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
    let mut findings = machine::findings(&facts.system);
    findings.extend(engine::findings(&facts.engine, &facts.system));
    findings.extend(devices::gstreamer(&facts.gstreamer));
    findings.extend(devices::cameras(&facts.cameras));
    findings.extend(devices::network(&facts.network));
    findings.extend(devices::permissions(&facts.permissions));
    findings.extend(resources::power(&facts.power));
    findings.extend(resources::places(&facts.places));
    findings.extend(resources::clock(&facts.clock));
    for late in &facts.late {
        let area = Area::ALL.into_iter().find(|area| area.name() == *late);
        let what = format!(
            "{late} could not be looked at: a file, a driver or a library did not answer in time"
        );
        findings.push(Finding::bad(
            area.unwrap_or(Area::Machine),
            what,
            "is a network share away, or a driver stuck? `dmesg` may tell; restart the machine",
        ));
    }
    findings.sort_by_key(|finding| (finding.area, std::cmp::Reverse(finding.level)));
    findings
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
        let facts = Facts { late: vec!["disk", "engine"], ..Facts::default() };
        let findings = examine(&facts);
        for area in [Area::Disk, Area::Engine] {
            let first = findings.iter().find(|finding| finding.area == area).unwrap();
            assert_eq!(first.level, Level::Bad, "{findings:?}");
        }
        // A machine that tells nothing at all: each area has its say, and whatever wants action says which.
        for finding in &findings {
            assert!(finding.level < Level::Warn || finding.remedy.is_some(), "{finding:?}");
        }
        for area in Area::ALL {
            assert!(findings.iter().any(|finding| finding.area == area), "{area:?}");
        }
    }
}
