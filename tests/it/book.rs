//! The pages keep their word: every command in them is run, every option exists, every link leads somewhere.
//!
//! A block of commands (`sh`) is run here as it stands, in a folder of its page's own, unless the comment above it says
//! otherwise: `run by: FILE` or `FILE::FUNCTION` (that file has each of its commands), `needs the board: SECTION` (of
//! tools/board-check), or `takes long: make TARGET`. What the comment names must exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::library;

/// Blocks that nothing runs, with the reason: this list is to stay short.
const NOT_RUN: [(&str, &str); 1] = [(
    "teachers.md",
    "Python's safetensors, which converts another program's file, is not installed here",
)];

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
            .filter(|it| ["sh", "bash", "console"].contains(&&*it.language))
            .map(|block| (path.clone(), commands(&block.text), block.comment))
    });
    blocks.collect()
}

/// The words of a command that decide what it does: options, and what stands before them in lower case.
fn deciding(command: &str) -> Vec<&str> {
    let ours = command.split('|').next().unwrap_or_default();
    let words = ours.split_whitespace().skip(1);
    words
        .filter(|word| word.starts_with("--") || word.chars().all(|c| c.is_ascii_lowercase()))
        .collect()
}

fn is_ours(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().is_some_and(|name| name == "sightline" || name == "sightline-train")
}

/// A comment's claim, held against the repository.
fn check_claim(page: &str, commands: &[String], comment: &str) {
    if let Some(by) = comment.strip_prefix("run by: ") {
        let (file, function) = by.split_once("::").unwrap_or((by, ""));
        let text = read(file);
        assert!(
            function.is_empty() || text.contains(&format!("fn {function}(")),
            "{page}: {file} has no {function}"
        );
        // A test that takes its commands off pages runs what stands there.
        let read_there: Vec<_> = shell_blocks()
            .into_iter()
            .filter(|(other, ..)| other != "README.md" && text.contains(&format!("\"{other}\"")))
            .flat_map(|(_, commands, _)| commands)
            .collect();
        for command in commands.iter().filter(|command| !read_there.contains(command)) {
            let is_make = command.starts_with("make ");
            if !is_ours(command) {
                let is_copy = command.starts_with("cp ");
                let found =
                    is_copy || text.contains(command.as_str()) || (is_make && is_target(command));
                assert!(found, "{page}: {file} does not run `{command}`");
                continue;
            }
            for word in deciding(command).into_iter().filter(|word| word.starts_with("--")) {
                assert!(
                    text.contains(&format!("\"{word}\"")),
                    "{page}: {file} has no {word}: {command}"
                );
            }
            let first = deciding(command)[0];
            assert!(
                text.contains(&format!("\"{first}\"")),
                "{page}: {file} has no {first}: {command}"
            );
        }
    } else if let Some(section) = comment.strip_prefix("needs the board: ") {
        let script = read("tools/board-check");
        let is_there = [format!("section {section} "), format!("camera {section} ")]
            .iter()
            .any(|it| script.contains(it));
        assert!(is_there, "{page}: tools/board-check has no section {section}");
    } else if let Some(target) = comment.strip_prefix("takes long: ") {
        assert!(is_target(target), "{page}: the Makefile has no {target}");
        for command in commands {
            let program = command.split_whitespace().next().unwrap();
            let is_tool = program.starts_with("tools/") && root().join(program).is_file();
            assert!(
                is_ours(command) || is_tool || is_target(command),
                "{page}: `{command}` is neither ours, nor a tool, nor a target"
            );
        }
    } else if let Some(reason) = comment.strip_prefix("not run: ") {
        let name = page.rsplit('/').next().unwrap();
        assert!(
            NOT_RUN.contains(&(name, reason)),
            "{page}: not among those that nothing runs: {reason}"
        );
    } else {
        panic!("{page}: a comment above commands says what runs them, not: {comment}");
    }
}

/// Whether `make TARGET ...` names a target of the Makefile.
fn is_target(command: &str) -> bool {
    let Some(target) = command.strip_prefix("make ").and_then(|it| it.split(' ').next()) else {
        return false;
    };
    read("Makefile").lines().any(|line| line.starts_with(&format!("{target}:")))
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
    let unclaimed =
        blocks(&page).into_iter().filter(|it| it.language == "sh" && it.comment.is_none());
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
        assert!(ran.status.success(), "docs/{name}: {command}: {} {told}", ran.status);
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
        let of_blocks = blocks(&page).into_iter().filter(|block| block.language == "sh");
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
