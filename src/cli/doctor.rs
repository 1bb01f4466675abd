//! `sightline doctor`: says what this machine has of what an inspector needs, and for each trouble the remedy.
//!
//! Owns the options, what a configuration wants of a machine, and how findings are printed; `doctor` looks and decides.

use std::{
    io::{IsTerminal as _, stdout},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::{Global, cameras, load, print};
use crate::{
    camera::{Platform, Preset},
    config::{CameraSettings, EngineSettings, ModelSettings, Settings},
    doctor::{
        Area, Facts, Finding, Level, Root, Wanted, examine, gather,
        gather::{LIBRARIES_WITHIN, WantedCamera, in_time},
        worst,
    },
    engine::OnnxOptions,
    fault::{Class, Fault, plain},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration whose cameras, folders and model are looked at; without one, the machine as it is.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// The user that the service runs as; without one, whoever asks.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// One JSON object instead of a table (docs/doctor.md).
    #[arg(long)]
    json: bool,
}

/// The version of the JSON object: it changes when a field goes or means something else, not when one is added.
const FORMAT: u32 = 1;
/// Where the package keeps the service's state, and its engines.
const STATE: &str = "/var/lib/sightline";
const CACHE: &str = "/var/cache/sightline";
/// What a driver or a file brings into a line is cut off here.
const LINE_CHARS_MAX: usize = 600;

#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    sightline: &'static str,
    level: Level,
    findings: &'a [Finding],
    facts: &'a Facts,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let settings = arguments.config.as_deref().map(cameras::read).transpose()?;
    let wanted = wanted(settings.as_ref(), arguments.user.clone(), global);
    let facts = gather(&Root::system(), &wanted, SystemTime::now());
    let mut findings = examine(&facts);
    findings.extend(settings.map(|settings| model(settings.model)));
    findings.sort_by_key(|finding| (finding.area, std::cmp::Reverse(finding.level)));
    let level = worst(&findings);
    if arguments.json {
        let sightline = env!("CARGO_PKG_VERSION");
        let report =
            Report { format: FORMAT, sightline, level, findings: &findings, facts: &facts };
        let json = serde_json::to_string_pretty(&report)
            .map_err(|error| Fault::new(Class::Bug, format!("the report: {error}")))?;
        print::line(&json)?;
    } else {
        let has_colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print::line(&table(&findings, has_colour))?;
    }
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Bad).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let line = match bad.len() {
        1 => first.what.clone(),
        many => format!("{many} things are wrong with this machine, the first: {}", first.what),
    };
    let remedy = first.remedy.as_deref().map_or(String::new(), |remedy| format!("; {remedy}"));
    Err(Fault::new(Class::Machine, format!("{line}{remedy}")).into())
}

/// What the machine is wanted for.
fn wanted(settings: Option<&Settings>, user: Option<String>, global: &Global) -> Wanted {
    let engine = settings.map_or_else(
        || EngineSettings::without_file(OnnxOptions::default()),
        |settings| settings.engine.clone(),
    );
    let places = places(settings, &engine, user.is_some());
    Wanted {
        cameras: settings.map_or_else(Vec::new, |it| it.cameras.iter().map(camera).collect()),
        places,
        providers: settings.map_or_else(Vec::new, |it| it.engine.wish.providers.clone()),
        search: load::search(global, &engine),
        user,
    }
}

/// What is kept, and where. Of what the configuration leaves to systemd, the service's folders are looked at where they
/// are there: another user's own are not this one's.
fn places(
    settings: Option<&Settings>,
    engine: &EngineSettings,
    is_for_another: bool,
) -> Vec<(String, PathBuf)> {
    let installed = |folder: &str| Path::new(folder).is_dir().then(|| PathBuf::from(folder));
    let engines = match &engine.cache {
        None if is_for_another => installed(CACHE),
        _ => Some(load::cache_path(engine)),
    };
    let ledger = settings.and_then(|it| cameras::ledger_path(&it.ledger)).map(|path| folder(&path));
    let archive = settings.and_then(|it| cameras::archive_path(&it.archive));
    let each = [
        ("ledger", ledger.or_else(|| installed(STATE))),
        ("archive", archive),
        ("engines", engines),
    ];
    each.into_iter().filter_map(|(what, path)| Some((what.to_owned(), path?))).collect()
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn camera(settings: &CameraSettings) -> WantedCamera {
    let found = Preset::find(&settings.preset, Platform::here()).ok();
    let filled = found.as_ref().and_then(|preset| preset.with(&settings.parameters).ok());
    let value = |name| filled.as_ref().and_then(|filled| filled.value(name)).map(Into::into);
    WantedCamera {
        name: settings.name.clone(),
        preset: settings.preset.clone(),
        elements: found.as_ref().map_or_else(Vec::new, Preset::elements),
        location: value("location"),
        device: value("device"),
    }
}

/// Whether the model file can be read; what it computes is for `prepare` and `check`.
fn model(settings: ModelSettings) -> Finding {
    let path = settings.path.display().to_string();
    let (level, what, remedy) = match in_time(LIBRARIES_WITHIN, move || {
        load::Model::read(&settings)
    }) {
        None => {
            let secs = LIBRARIES_WITHIN.as_secs();
            let what = format!("model {path} cannot be read within {secs} s");
            let remedy = "is it on a network share that is away, or is the disk slow or busy? Keep it on a fast disk of this machine";
            (Level::Bad, what, Some(remedy.to_owned()))
        }
        Some(Ok(model)) => {
            let name = &model.file.document.model;
            let what = format!("model {} {} ({})", name.name, name.version, model.path.display());
            let remedy = "`sightline prepare CONFIG` builds and verifies its engine";
            (Level::Ok, what, Some(remedy.to_owned()))
        }
        Some(Err(fault)) => {
            let remedy = "correct model.path, or copy the file anew";
            (Level::Bad, fault.to_string(), Some(remedy.to_owned()))
        }
    };
    Finding { area: Area::Engine, level, what, remedy }
}

/// A heading for each area, a line for each finding, and its remedy below it.
fn table(findings: &[Finding], has_colour: bool) -> String {
    let mut lines = Vec::new();
    for area in Area::ALL {
        let of_area: Vec<_> = findings.iter().filter(|finding| finding.area == area).collect();
        if of_area.is_empty() {
            continue;
        }
        lines.push(area.name().to_owned());
        for finding in of_area {
            let (mark, colour) = match finding.level {
                Level::Ok => ("✓", 32),
                Level::Note => ("·", 36),
                Level::Warn => ("!", 33),
                Level::Bad => ("✗", 31),
            };
            let mark =
                if has_colour { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.into() };
            lines.push(format!("  {mark} {}", plain(&finding.what, LINE_CHARS_MAX)));
            if let Some(remedy) = &finding.remedy {
                lines.push(format!("      {}", plain(remedy, LINE_CHARS_MAX)));
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_mark_for_each_level_and_no_colour_where_it_is_kept() {
        let finding = |level, what: &str, remedy: Option<&str>| Finding {
            area: Area::Disk,
            level,
            what: what.into(),
            remedy: remedy.map(Into::into),
        };
        let findings = [
            finding(Level::Bad, "full\u{1b}[2J", Some("make room")),
            finding(Level::Ok, "fast", None),
        ];
        assert_eq!(table(&findings, false), "disk\n  ✗ full\\u{1b}[2J\n      make room\n  ✓ fast");
        assert!(table(&findings, true).contains("\u{1b}[31m✗\u{1b}[0m full"));
    }
}
