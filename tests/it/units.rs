//! The units of `systemd/`: how exposed they are, by systemd's own measure, and that what they say of themselves holds.

use std::{path::Path, process::Command};

use sightline::fault::Class;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
/// What `systemd-analyze security` calls "OK" begins far above it; the plain unit has 9.6.
const EXPOSURE_MAX: f64 = 2.0;
/// Whose figures docs/deploy.md and jetson.conf state: other versions weigh otherwise.
const WEIGHED_BY: u32 = 252;
/// The first that takes `security --offline`.
const OFFLINE_SINCE: u32 = 250;
/// What docs/deploy.md has for a page at a port below 1024.
const LOW_PORT: &str = "[Service]\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n";

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

fn systemd_version() -> u32 {
    let output = Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .expect("systemd-analyze is in the package systemd");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.split(' ')
        .nth(1)
        .and_then(|version| version.parse().ok())
        .unwrap_or_else(|| panic!("{told}"))
}

/// The exposure of a unit with a drop-in laid over it.
fn exposure(unit: &str, drop_in: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(unit);
    std::fs::copy(Path::new(FOLDER).join(unit), &path).unwrap();
    let beside = folder.path().join(format!("{unit}.d"));
    std::fs::create_dir(&beside).unwrap();
    std::fs::write(beside.join("10-test.conf"), drop_in).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(&path)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
        .output()
        .expect("systemd-analyze is in the package systemd");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, figure) = told
        .rsplit_once("exposure level for ")
        .unwrap_or_else(|| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)));
    figure.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Directives of a drop-in, each with the figure that the comment above it states.
fn stated(drop_in: &str) -> Vec<(String, f64)> {
    let (mut section, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in drop_in.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            comment += said;
        } else if line.starts_with('[') {
            line.clone_into(&mut section);
            comment.clear();
        } else if line.contains('=') {
            let figure = comment.strip_prefix("Exposure ").and_then(|said| said.split(':').next());
            let figure = figure.unwrap_or_else(|| panic!("{line} states no exposure: {comment}"));
            found.push((format!("{section}\n{line}\n"), figure.parse().unwrap()));
            comment.clear();
        }
    }
    found
}

#[test]
fn the_units_are_exposed_as_little_as_stated() {
    let page = include_str!("../../docs/deploy.md");
    let version = systemd_version();
    if version < OFFLINE_SINCE {
        eprintln!("SKIPPED: systemd {version} does not weigh units offline, {OFFLINE_SINCE} does");
        return;
    }
    let is_stated = |shown: &str, what: &str, figure: f64| {
        let is_so = shown.contains(&what.replace("{}", &figure.to_string()));
        assert!(is_so || version != WEIGHED_BY, "stated otherwise: {what} with {figure}");
    };
    for unit in ["sightline.service", "sightline@.service"] {
        let bare = exposure(unit, "");
        assert!(bare <= EXPOSURE_MAX, "{unit}: {bare}");
        is_stated(page, &format!("| `{unit}` | {{}} |"), bare);
        // That the measure sees what is laid over a unit.
        assert!(exposure(unit, "[Service]\nNoNewPrivileges=no\nProtectSystem=no\n") > bare);

        let jetson = read("jetson.conf");
        let all = exposure(unit, &jetson);
        assert!(all <= EXPOSURE_MAX, "{unit} on a Jetson: {all}");
        is_stated(&jetson, "All of them together: exposure {}.", all);
        is_stated(page, "| either with `jetson.conf` | {} |", all);

        assert!(page.contains(LOW_PORT), "docs/deploy.md on ports below 1024");
        let low = exposure(unit, LOW_PORT);
        assert!(low > bare && low <= EXPOSURE_MAX, "{unit} at a port below 1024: {low}");
        is_stated(page, "| either at a port below 1024 | {} |", low);

        let directives = stated(&jetson);
        assert!(directives.len() >= 4);
        for (directive, figure) in directives {
            let weighed = exposure(unit, &directive);
            let is_so = (weighed - figure).abs() < 0.05;
            assert!(weighed <= EXPOSURE_MAX, "{unit}: {directive} has {weighed}");
            assert!(is_so || version != WEIGHED_BY, "{unit}: {directive} has {weighed}");
        }
    }
}

#[test]
fn a_second_line_has_the_first_ones_unit_but_for_the_names() {
    let directives = |text: &str| -> Vec<String> {
        let is_kept = |line: &&str| !line.starts_with('#') && !line.is_empty();
        text.lines().filter(is_kept).map(String::from).collect()
    };
    let named = read("sightline@.service")
        .replace("the production line %i", "a production line")
        .replace("/etc/sightline/%i.toml", "/etc/sightline/sightline.toml")
        .replace("sightline-%i", "sightline")
        .replace("sightline/%i", "sightline");
    assert_eq!(directives(&named), directives(&read("sightline.service")));
}

#[test]
fn what_does_not_mend_itself_is_not_started_again() {
    let unit = read("sightline.service");
    let codes = [Class::Usage, Class::Configuration, Class::Model]
        .map(|class| class.exit_code().to_string());
    assert!(unit.contains(&format!("\nRestartPreventExitStatus={}\n", codes.join(" "))));
}

#[test]
fn the_installed_configuration_is_one() {
    // Its paths are those of the packages, so that nothing but the keys can be held here.
    let text = include_str!("../../cross/etc/sightline.toml");
    let settings = sightline::config::read(text, Path::new("/etc/sightline")).unwrap();
    assert!(settings.cameras.iter().all(|camera| camera.repeat));
    assert!(settings.http.is_some());
}
