//! The pages keep their word: every command in them is run, every option exists, every link leads somewhere.
//!
//! A block of commands (`sh`, `bash`, `console`) is run here as it stands, in a folder of its page's own, unless the comment above it says
//! otherwise: `run by: FILE` (a script) or `FILE::FUNCTION` (which has each of its commands with every option),
//! `needs the board: SECTION` (of tools/board-check), or `takes long: make TARGET` (which runs each of them), or
//! `not run: REASON` (one of `NOT_RUN`). What the comment names must exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::library;

/// Blocks that nothing runs, with the reason: this list is to stay short.
const NOT_RUN: [(&str, &str); 3] = [
    (
        "jetson.md",
        "ONNX Runtime is built for hours, on a machine with the board's CUDA and TensorRT",
    ),
    (
        "teachers.md",
        "Python's safetensors, which converts another program's file, is not installed here",
    ),
    ("README.md", "it plays until Ctrl-C; `run --loop` is started and ended by tests/it/live.rs"),
];
/// Commands that what runs a page's block does in another way: page, command, why.
const WAIVED: [(&str, &str, &str); 1] = [(
    "report.md",
    "cp models/demo.onnx demo.onnx",
    "the test calibrates and evaluates a model of its own making; the copy spares the shipped one",
)];
/// The languages of blocks that are commands.
const SHELL: [&str; 3] = ["sh", "bash", "console"];

/// The line of a page that shows none: a moment of a test picture, which is no known product.
const LINE: &str = "[model]\npath = \"models/demo.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
    [output]\nformat = \"json\"\n[ledger]\npath = \"ledger.db\"\n[archive]\npath = \"archive\"\npasses_every = 3\n\
    [[camera]]\nname = \"top\"\npreset = \"test\"\nparameters = { frames = 20 }\noverflow = \"every\"\n";
/// Parts of every product, for a page that makes a training folder of what passed.
const CLIP: (&str, &str) = (
    "preset = \"test\"\nparameters = { frames = 20 }",
    "preset = \"files\"\nparameters = { location = \"models/demo.webm\" }",
);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages by their paths in the repository.
fn pages() -> BTreeMap<String, String> {
    let folder = std::fs::read_dir(root().join("docs")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter_map(|name| Some(format!("docs/{}.md", name.strip_suffix(".md")?)));
    pages.chain(["README.md".to_owned()]).map(|path| (path.clone(), read(&path))).collect()
}

/// A fenced block with the comment right above it.
#[derive(Debug)]
struct Block {
    language: String,
    text: String,
    comment: Option<String>,
}

impl Block {
    fn is_shell(&self) -> bool {
        SHELL.contains(&self.language.as_str())
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut above = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let comment = above.trim().strip_prefix("<!-- ").and_then(|it| it.strip_suffix(" -->"));
            let text = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
            let text = text.map(|line| format!("{line}\n")).collect();
            blocks.push(Block {
                language: language.into(),
                text,
                comment: comment.map(Into::into),
            });
            above = "";
        } else if !line.trim().is_empty() {
            above = line;
        }
    }
    blocks
}

/// The commands of a block: continued lines joined, comments taken off.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let bare = joined.lines().map(|line| match line.split_once(" #") {
        Some((command, _)) => command.trim(),
        None => line.trim(),
    });
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Into::into).collect()
}

/// The shell blocks of every page: page, commands, comment.
fn shell_blocks() -> Vec<(String, Vec<String>, Option<String>)> {
    let pages = pages();
    let blocks = pages.iter().flat_map(|(path, page)| {
        blocks(page)
            .into_iter()
            .filter(Block::is_shell)
            .map(|block| (path.clone(), commands(&block.text), block.comment))
    });
    blocks.collect()
}

fn is_ours(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().is_some_and(|name| name == "sightline" || name == "sightline-train")
}

/// The words that choose a subcommand: those in lower case before anything else.
fn subcommands(command: &str) -> Vec<&str> {
    let words = command.split_whitespace().skip(1);
    words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect()
}

fn options(command: &str) -> Vec<&str> {
    let ours = command.split(['|', '>']).next().unwrap_or_default();
    ours.split_whitespace().filter(|word| word.starts_with("--")).collect()
}

/// The body of a function or constant of a Rust file, as rustfmt lays it out.
fn item<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let function = text.find(&format!("fn {name}(")).or_else(|| text.find(&format!("fn {name}<")));
    let (from, end) = match function {
        Some(from) => (from, "\n}\n"),
        None => (text.find(&format!("const {name}:"))?, ";\n"),
    };
    Some(&text[from..from + text[from..].find(end)?])
}

/// A function with whatever of the same file it uses.
fn body(file: &str, function: &str) -> String {
    let text = read(file);
    let mut names = vec![function.to_owned()];
    let mut bodies = String::new();
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        at += 1;
        let Some(item) = item(&text, &name) else { continue };
        bodies.push_str(item);
        for word in item.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let is_name = word.len() > 2 && !names.iter().any(|name| name == word);
            if is_name && self::item(&text, word).is_some() {
                names.push(word.to_owned());
            }
        }
    }
    assert!(!bodies.is_empty(), "{file} has no {function}");
    bodies
}

/// A script without its comments.
fn script(path: &str) -> String {
    let text = read(path);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What `make TARGET` does itself: its recipe, and the tools that stand there.
fn recipe(target: &str) -> String {
    let makefile = read("Makefile");
    let after = makefile.split_once(&format!("\n{target}:")).map_or("", |(_, after)| after);
    let lines = after.lines().skip(1).take_while(|line| line.starts_with('\t'));
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
        let tool = line.trim_start_matches(['\t', '@']);
        if tool.starts_with("tools/") && root().join(tool).is_file() {
            text.push_str(&script(tool));
        }
    }
    text
}

/// A comment's claim, held against the repository.
fn check_claim(page: &str, commands: &[String], comment: &str) {
    let name = page.rsplit('/').next().unwrap();
    if let Some(by) = comment.strip_prefix("run by: ") {
        let (text, is_rust) = match by.split_once("::") {
            Some((file, function)) => (body(file, function), true),
            None => (script(by), false),
        };
        let is_whole_file = !is_rust && Path::new(by).extension().is_some_and(|it| it == "rs");
        assert!(!is_whole_file, "{page}: name the function of {by}");
        // A test that takes its commands off pages runs what stands there.
        let read_there: Vec<_> = shell_blocks()
            .into_iter()
            .filter(|(other, ..)| other != "README.md" && text.contains(&format!("{other}\"")))
            .flat_map(|(_, commands, _)| commands)
            .collect();
        for command in commands.iter().filter(|command| !read_there.contains(command)) {
            if WAIVED.iter().any(|(page, waived, _why)| (*page, *waived) == (name, &**command)) {
                continue;
            }
            if !is_ours(command) {
                assert!(text.contains(command.as_str()), "{page}: {by} does not run `{command}`");
                continue;
            }
            for word in subcommands(command).into_iter().chain(options(command)) {
                let is_there = text.contains(&format!("\"{word}\""));
                assert!(is_there, "{page}: {by} has no {word}: {command}");
            }
        }
    } else if let Some(section) = comment.strip_prefix("needs the board: ") {
        let script = read("tools/board-check");
        let is_there = [format!("section {section} "), format!("camera {section} ")]
            .iter()
            .any(|it| script.contains(it));
        assert!(is_there, "{page}: tools/board-check has no section {section}");
    } else if let Some(make) = comment.strip_prefix("takes long: ") {
        let recipe = recipe(make.trim_start_matches("make "));
        assert!(!recipe.is_empty(), "{page}: the Makefile has no {make}");
        for command in commands.iter().filter(|command| *command != make) {
            let is_there = if is_ours(command) {
                let mut words = vec!["sightline"];
                words.extend(subcommands(command).into_iter().chain(options(command)));
                words.iter().all(|word| recipe.contains(word))
            } else if let Some(target) = command.strip_prefix("make ") {
                let own = self::recipe(target);
                !own.is_empty() && own.lines().all(|line| recipe.contains(line.trim()))
            } else {
                recipe.contains(command.as_str())
            };
            assert!(is_there, "{page}: {make} does not run `{command}`");
        }
    } else if let Some(reason) = comment.strip_prefix("not run: ") {
        assert!(
            NOT_RUN.contains(&(name, reason)),
            "{page}: not among those that nothing runs: {reason}"
        );
    } else {
        panic!("{page}: a comment above commands says what runs them, not: {comment}");
    }
}

#[test]
fn a_claim_holds_for_the_function_that_it_names_only() {
    let this =
        "tests/it/calibrate.rs::a_folder_of_good_parts_is_measured_too_and_more_can_be_added";
    let other = "tests/it/calibrate.rs::what_cannot_be_calibrated_is_told_and_nothing_is_written";
    let fails = |command: &str, comment: &str| {
        let (commands, comment) = ([command.to_owned()], comment.to_owned());
        std::panic::catch_unwind(move || check_claim("docs/x.md", &commands, &comment)).is_err()
    };
    let by = |function: &str| format!("run by: {function}");
    assert!(!fails("sightline calibrate line.toml --product cap --append", &by(this)));
    assert!(fails("sightline calibrate line.toml --product cap --append", &by(other)));
    assert!(fails("sightline calibrate line.toml --camera top", &by(this)));
    assert!(fails("make run ARGS=--loop", &by(this)) && fails("cp a b", &by(this)));
    assert!(fails("sightline calibrate", "run by: tests/it/calibrate.rs"));
    assert!(fails("make soak", "takes long: make bench-report"));
    assert!(!fails("tools/measure-anomalib", "takes long: make bench-report"));
}

#[test]
fn what_a_page_says_of_its_commands_holds() {
    let mut claims = 0;
    for (page, commands, comment) in shell_blocks() {
        assert!(!commands.is_empty(), "{page}: an empty block");
        if let Some(comment) = comment {
            check_claim(&page, &commands, &comment);
            claims += 1;
        }
    }
    assert!(claims >= 10, "{claims} claims only: are the blocks still found?");
}

/// The folder in which a page's commands are run: the demo's files, the page's line or ours.
fn folder(page: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("models"), folder.path().join("models")).unwrap();
    let own = blocks(page).into_iter().find(|block| block.language == "toml");
    let line = match own {
        Some(own) if own.text.contains("[[camera]]") => own.text,
        Some(own) if own.text.starts_with('[') => {
            // The page's own table in the place of ours.
            let head = own.text.lines().next().unwrap();
            let ours = LINE.split("\n[").filter(|table| !table.starts_with(&head[1..]));
            format!("{}\n{}", ours.collect::<Vec<_>>().join("\n["), own.text)
        }
        _ => LINE.to_owned(),
    };
    let line = if page.contains("--as mvtec") || page.contains("sightline capture") {
        line.replace(CLIP.0, CLIP.1)
    } else {
        line
    };
    std::fs::write(folder.path().join("line.toml"), line).unwrap();
    folder
}

fn run(folder: &Path, command: &str) -> Output {
    let binaries = Path::new(env!("CARGO_BIN_EXE_sightline")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    // For whatever asks for a password.
    std::fs::write(folder.join(".input"), "correct horse battery staple\n".repeat(2)).unwrap();
    let input = std::fs::File::open(folder.join(".input")).unwrap();
    Command::new("timeout")
        .args(["--kill-after=10", "300", "sh", "-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("SIGHTLINE_ONNXRUNTIME", library())
        .stdin(Stdio::from(input))
        .output()
        .unwrap()
}

/// Runs what a page says in the order in which it says it; how many commands that were.
fn run_page(name: &str) -> usize {
    let page = read(&format!("docs/{name}"));
    let folder = folder(&page);
    let unclaimed = blocks(&page).into_iter().filter(|it| it.is_shell() && it.comment.is_none());
    let commands: Vec<_> = unclaimed.flat_map(|block| commands(&block.text)).collect();
    // Pages on what a line leaves behind need one that has run.
    if commands.iter().any(|it| it.contains("ledger.db"))
        && !commands.iter().any(|it| it.contains(" run "))
    {
        let ran = run(folder.path(), "sightline run line.toml --fast > verdicts.jsonl");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    for command in &commands {
        let ran = run(folder.path(), command);
        let told = String::from_utf8_lossy(&ran.stderr);
        // Doctor says what is wrong with the machine that this runs on, which may be something.
        let is_well = ran.status.success()
            || (command.starts_with("sightline doctor") && ran.status.code() == Some(12));
        assert!(is_well, "docs/{name}: {command}: {} {told}", ran.status);
    }
    commands.len()
}

/// Pages with commands that are run here; each in a test of its own, beside one another.
const RUN_HERE: [&str; 7] = [
    "access.md",
    "archive.md",
    "doctor.md",
    "ledger.md",
    "operations.md",
    "quick-start.md",
    "train-your-own.md",
];

#[test]
fn every_page_whose_commands_nobody_else_runs_is_run_here() {
    let found: BTreeSet<_> = shell_blocks()
        .into_iter()
        .filter(|(.., comment)| comment.is_none())
        .map(|(page, ..)| page)
        .collect();
    let listed: BTreeSet<_> =
        RUN_HERE.iter().chain(&["prepare.md"]).map(|name| format!("docs/{name}")).collect();
    assert_eq!(
        found, listed,
        "list it in RUN_HERE and add its test, or say above the block what runs it"
    );
}

#[test]
fn the_commands_of_access_run() {
    assert!(run_page(RUN_HERE[0]) >= 5);
}

#[test]
fn the_commands_of_archive_run() {
    assert!(run_page(RUN_HERE[1]) >= 2);
}

#[test]
fn the_commands_of_doctor_and_prepare_run() {
    assert!(run_page(RUN_HERE[2]) + run_page("prepare.md") >= 4);
}

#[test]
fn the_commands_of_ledger_run() {
    assert!(run_page(RUN_HERE[3]) >= 6);
}

#[test]
fn the_commands_of_operations_run() {
    assert!(run_page(RUN_HERE[4]) >= 5);
}

#[test]
fn the_commands_of_quick_start_run() {
    assert!(run_page(RUN_HERE[5]) >= 7);
}

#[test]
fn the_commands_of_train_your_own_run() {
    assert!(run_page(RUN_HERE[6]) >= 4);
}

/// Text between backticks on one line, outside of blocks.
fn spans(page: &str) -> Vec<String> {
    let mut is_block = false;
    let mut spans = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(Into::into));
        }
    }
    spans
}

/// The help of our commands, asked for once each.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, path: &[String]) -> &str {
        self.0.entry(path.to_vec()).or_insert_with(|| {
            let help =
                Command::new(env!("CARGO_BIN_EXE_sightline")).args(path).arg("--help").output();
            String::from_utf8(help.unwrap().stdout).unwrap()
        })
    }

    fn has_command(&mut self, path: &[String], word: &str) -> bool {
        let help = self.of(path).split_once("\nCommands:\n");
        help.is_some_and(|(_, commands)| {
            let commands = commands.lines().take_while(|line| !line.is_empty());
            commands.filter_map(|line| line.split_whitespace().next()).any(|known| known == word)
        })
    }

    /// Panics where a command of ours, as a page has it, knows no such command or option.
    fn check(&mut self, page: &str, command: &str) {
        let ours = command.split(['|', '>']).next().unwrap();
        let mut path = Vec::new();
        let mut words = ours.split_whitespace().skip(1).peekable();
        while let Some(word) = words.peek().filter(|word| self.has_command(&path, word)) {
            path.push((*word).to_owned());
            words.next();
        }
        let is_none = words.peek().is_none_or(|word| word.starts_with('-'));
        assert!(!path.is_empty() || is_none, "{page}: `{command}` is no command of ours");
        for option in words.filter(|word| word.starts_with("--")) {
            let option = option.trim_end_matches([',', ';', ']']).split('=').next().unwrap();
            let help = self.of(&path);
            let is_known = help
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .any(|word| word == option);
            assert!(is_known, "{page}: `{command}`: there is no {option}");
        }
    }
}

/// All of the trainer's sources: its program is not built where there is no libtorch.
fn trainer_sources() -> String {
    fn collect(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|it| it == "rs") {
                into.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(&root().join("trainer/src"), &mut text);
    text
}

#[test]
fn every_command_and_option_of_ours_exists() {
    let (mut help, trainer) = (Help::default(), trainer_sources());
    let mut checked = 0;
    for (path, page) in pages() {
        let of_blocks = blocks(&page).into_iter().filter(Block::is_shell);
        let of_blocks = of_blocks.flat_map(|block| commands(&block.text));
        for command in of_blocks.chain(spans(&page)) {
            let command = command.trim_start_matches("sudo -u sightline ");
            match command.split_whitespace().next() {
                Some("sightline") => help.check(&path, command),
                Some("sightline-train") => {
                    for option in command.split_whitespace().filter(|it| it.starts_with("--")) {
                        let name = option.trim_start_matches('-').replace('-', "_");
                        assert!(
                            trainer.contains(&name),
                            "{path}: `{command}`: there is no {option}"
                        );
                    }
                }
                _ => continue,
            }
            checked += 1;
        }
    }
    assert!(checked >= 60, "{checked} commands only: are they still found?");
}

/// A heading as GitHub and mdBook name its place.
fn slug(heading: &str) -> String {
    let plain = heading.to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn places(page: &str) -> BTreeSet<String> {
    let mut is_block = false;
    let mut places = BTreeSet::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        }
        if line.starts_with('#') && !is_block {
            places.insert(slug(line.trim_start_matches('#').trim()));
        }
    }
    places
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut links = 0;
    for (path, page) in &pages {
        let folder = Path::new(path).parent().unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.is_empty() {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { PathBuf::from(path) } else { folder.join(file) };
            assert!(root().join(&target).exists(), "{path}: {link} leads nowhere");
            // A page of the book that points out of it would be a dead link there.
            assert!(
                !path.starts_with("docs/") || !file.contains(".."),
                "{path}: {link} leaves the book"
            );
            if !place.is_empty() {
                let target = read(&target.display().to_string());
                assert!(places(&target).contains(place), "{path}: {link}: no such heading");
            }
            links += 1;
        }
    }
    assert!(links >= 100, "{links} links only: are they still found?");
}

#[test]
fn every_page_is_in_the_book() {
    let summary = read("docs/SUMMARY.md");
    for path in pages().keys().filter_map(|path| path.strip_prefix("docs/")) {
        assert!(
            path == "SUMMARY.md" || summary.contains(&format!("({path})")),
            "{path} is not in docs/SUMMARY.md"
        );
    }
    for link in summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        // A chapter without a link is one that is still to be written.
        assert!(
            link.is_empty() || root().join("docs").join(link).is_file(),
            "docs/SUMMARY.md: {link}"
        );
    }
}
