//! `sightline ledger`: does it hold together, what is in it, how the parts went.
//!
//! Owns the tables for people and the forms of the export. Reads beside a running inspector.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::{
    cameras,
    evidence::{self, Form, Job},
    print,
};
use crate::{
    archive::store,
    fault::{Class, Fault},
    frame::FrameId,
    ledger::{
        LedgerError,
        audit::{Audit, Wanted},
    },
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Count every numbering: each frame must have exactly one disposition.
    Verify {
        /// The ledger's file.
        file: PathBuf,

        /// The archive, whose pictures are held against their rows; the folder archive beside the ledger, where there is
        /// one, when left out.
        #[arg(long, value_name = "DIR")]
        archive: Option<PathBuf>,
    },
    /// Write every row as CSV or JSON lines, or the kept pictures.
    Export(Export),
    /// Say how the parts went, by camera and product.
    Stats {
        /// The ledger's file.
        file: PathBuf,

        #[command(flatten)]
        which: Which,
    },
    /// List what happened beside the frames, the newest first.
    Events {
        /// The ledger's file.
        file: PathBuf,

        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        most: u32,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The ledger's file.
    file: PathBuf,

    #[command(flatten)]
    which: Which,

    /// What a row is.
    #[arg(long, value_enum, default_value = "frames")]
    rows: ExportRows,

    /// How rows are written.
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,

    /// Where they are written; standard output when left out.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// Pictures instead of rows.
    #[arg(long, requires = "out", conflicts_with_all = ["rows", "format"])]
    evidence: bool,

    /// What the pictures become.
    #[arg(long = "as", value_enum, default_value = "zip", requires = "evidence")]
    form: Form,

    /// The archive; the folder archive beside the ledger when left out.
    #[arg(long, value_name = "DIR", requires = "evidence")]
    archive: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ExportRows {
    /// A frame, or a run of frames without verdict.
    Frames,
    /// A part of several frames.
    Parts,
    /// A part that a PLC announced.
    Triggers,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ExportFormat {
    /// A header and comma-separated values; what is absent is empty.
    Csv,
    /// A JSON object a line; what is absent is null.
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// Of this camera.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,

    /// Captured at this time or later, such as 2026-11-25T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,

    /// Captured before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
}

impl Which {
    fn wanted(&self) -> Wanted {
        let Self { camera, since, until } = self.clone();
        Wanted { camera, since, until }
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Verify { file, archive } => verify(file, archive.as_deref()),
        Command::Export(arguments) => export(arguments),
        Command::Stats { file, which } => stats(file, which),
        Command::Events { file, most } => events(file, *most),
    }
}

fn verify(file: &Path, archive: Option<&Path>) -> anyhow::Result<()> {
    let audit = open(file)?;
    let failed = |error| cameras::ledger_failed(file, &error);
    let damage = audit.damage().map_err(failed)?;
    for line in &damage {
        print::line(&format!("DAMAGED  {line}"))?;
    }
    let mut broken = 0;
    for lane in audit.lanes().map_err(failed)? {
        let is_whole = lane.is_whole();
        broken += usize::from(!is_whole);
        print::line(&format!(
            "{}  camera {} epoch {}: frames 1 to {} = {} with a verdict + {} without + {} no longer kept{}{}",
            if is_whole { "ok    " } else { "BROKEN" },
            lane.camera,
            lane.epoch,
            lane.settled_to,
            lane.verdicts,
            lane.unjudged,
            lane.forgotten_to,
            if lane.overlaps > 0 { format!(", {} overlap", lane.overlaps) } else { String::new() },
            if lane.is_open { " (still counting)" } else { "" },
        ))?;
    }
    let unheld = verify_evidence(file, &audit, archive)?;
    if damage.is_empty() && broken == 0 && unheld == 0 {
        return Ok(());
    }
    let line = format!(
        "ledger {}: {} numberings do not add up, {} findings of damage, {unheld} pictures that are not as their rows say; keep the files and report it",
        file.display(),
        broken,
        damage.len()
    );
    Err(Fault::new(Class::Data, line).into())
}

/// Holds what is said of pictures against the frames and the archive; how many do not fit.
fn verify_evidence(file: &Path, audit: &Audit, archive: Option<&Path>) -> anyhow::Result<u64> {
    let failed = |error| cameras::ledger_failed(file, &error);
    for ((state, reason), frames) in audit.evidence().map_err(failed)? {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        print::line(&format!("        pictures of {frames} frames {state}{because}"))?;
    }
    let mut unheld = audit.refused_without_evidence().map_err(failed)?;
    if unheld > 0 {
        print::line(&format!(
            "BROKEN  {unheld} refused frames have pictures neither kept nor missing"
        ))?;
    }
    let beside = evidence::beside(file);
    let Some(root) = archive.or_else(|| beside.is_dir().then_some(&*beside)) else {
        return Ok(unheld);
    };
    let findings = || {
        let mut wrong: BTreeMap<FrameId, String> = BTreeMap::new();
        let kept = audit.kept(&Wanted::default(), |row| {
            let problem = match store::taken(root, &row.id) {
                Ok(bytes) if bytes == row.bytes => return Ok::<_, LedgerError>(()),
                Ok(bytes) => format!("{bytes} bytes instead of {}", row.bytes),
                Err(error) => error.to_string(),
            };
            wrong.insert(row.id, problem);
            Ok(())
        });
        kept.map(|()| wrong).map_err(failed)
    };
    let mut wrong = findings()?;
    if !wrong.is_empty() {
        // A line that runs beside removes rows first and files then: what was read before is looked at anew.
        let again = findings()?;
        wrong.retain(|id, _| again.contains_key(id));
    }
    for (id, problem) in &wrong {
        print::line(&format!("BROKEN  pictures of {id}: {problem}"))?;
    }
    unheld += wrong.len() as u64;
    Ok(unheld)
}

fn export(arguments: &Export) -> anyhow::Result<()> {
    let Export { file, which, rows, format, out, evidence, form, archive } = arguments;
    let audit = open(file)?;
    if let (true, Some(out)) = (evidence, out) {
        let beside = evidence::beside(file);
        let root = archive.as_deref().unwrap_or(&beside);
        let job = Job { ledger: file, audit: &audit, wanted: &which.wanted(), root, out };
        return Ok(job.export(*form)?);
    }
    let shown = out.as_ref().map_or("standard output".into(), |out| out.display().to_string());
    let failed =
        |error: io::Error| Fault::new(Class::Output, format!("{shown} cannot be written: {error}"));
    let sink: Box<dyn Write> = match out {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut table = match format {
        ExportFormat::Csv => Table::Csv(Box::new(csv::Writer::from_writer(sink))),
        ExportFormat::Json => Table::Json(sink),
    };
    let wanted = which.wanted();
    let given = match rows {
        ExportRows::Frames => audit.export(&wanted, |row| table.row(&row)),
        ExportRows::Parts => audit.parts(&wanted, |row| table.row(&row)),
        ExportRows::Triggers => audit.triggers(&wanted, |row| table.row(&row)),
    };
    given.map_err(|error: Wrong| match error {
        Wrong::Ledger(error) => cameras::ledger_failed(file, &error),
        Wrong::Out(error) => failed(error),
    })?;
    Ok(table.finish().map_err(failed)?)
}

/// Where rows go, in the form that they are wanted in.
enum Table {
    Csv(Box<csv::Writer<Box<dyn Write>>>),
    Json(Box<dyn Write>),
}

impl Table {
    fn row(&mut self, row: &impl Serialize) -> Result<(), Wrong> {
        match self {
            Self::Csv(table) => Ok(table.serialize(row)?),
            Self::Json(sink) => {
                let line = serde_json::to_string(row).map_err(io::Error::other)?;
                Ok(writeln!(sink, "{line}")?)
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Csv(mut table) => table.flush(),
            Self::Json(mut sink) => sink.flush(),
        }
    }
}

fn stats(file: &Path, which: &Which) -> anyhow::Result<()> {
    let audit = open(file)?;
    let stats =
        audit.stats(&which.wanted()).map_err(|error| cameras::ledger_failed(file, &error))?;
    for (camera, stats) in stats {
        print::line(&format!("camera {camera}"))?;
        print::line(&format!(
            "  {:16} {:>10} {:>10} {:>16} {:>10}  {:>7}",
            "product", "pass", "fail", "unknown-product", "fault", "passed"
        ))?;
        for (product, tally) in &stats.products {
            let count = |word: &str| tally.decisions.get(word).copied().unwrap_or(0);
            let judged: u64 = tally.decisions.values().sum();
            print::line(&format!(
                "  {:16} {:>10} {:>10} {:>16} {:>10}  {:>5.1} %",
                product.as_deref().unwrap_or("-"),
                count("pass"),
                count("fail"),
                count("unknown-product"),
                count("fault"),
                100.0 * count("pass") as f64 / judged.max(1) as f64
            ))?;
        }
        for ((disposition, reason), frames) in &stats.unjudged {
            print::line(&format!("  {frames} {disposition}: {reason}"))?;
        }
        if !stats.parts.is_empty() {
            let parts = stats.parts.iter().map(|(decision, parts)| format!("{parts} {decision}"));
            print::line(&format!("  parts: {}", parts.collect::<Vec<_>>().join(", ")))?;
        }
    }
    Ok(())
}

fn events(file: &Path, most: u32) -> anyhow::Result<()> {
    let audit = open(file)?;
    for [time, kind, who, subject, detail] in
        audit.events(most).map_err(|error| cameras::ledger_failed(file, &error))?
    {
        print::line(&format!("{time}  {kind:15}  {who}  {subject}: {detail}"))?;
    }
    Ok(())
}

fn open(file: &Path) -> Result<Audit, Fault> {
    if !file.is_file() {
        let line = format!("ledger {} is not there; [ledger] path names it", file.display());
        return Err(Fault::new(Class::Data, line));
    }
    Audit::open(file).map_err(|error| cameras::ledger_failed(file, &error))
}

fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("{error}; write it as 2026-11-25T06:00:00Z"))
}

/// What may go wrong between a row and its line.
enum Wrong {
    Ledger(LedgerError),
    Out(io::Error),
}

impl From<LedgerError> for Wrong {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<csv::Error> for Wrong {
    fn from(error: csv::Error) -> Self {
        Self::Out(io::Error::other(error))
    }
}
