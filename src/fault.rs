//! Classes of faults and the exit codes that stand for them.
//!
//! Owns the table of exit codes; `docs/exit-codes.md` is tested against it. Knows no error type:
//! a module says which class its errors belong to, the command line turns the class into a number.

/// What kind of thing went wrong, as far as the person who must act is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// At least one part was refused, and the command was asked to say so by its exit code.
    Rejected,
    /// The command line itself.
    Usage,
    /// The configuration file, a preset, or a rate that the calibration cannot support.
    Configuration,
    /// The model file: missing, truncated, without our metadata, of another version, or refused by its golden frames.
    Model,
    /// ONNX Runtime's library, an execution provider, or the inference itself.
    Engine,
    /// A camera or its pipeline.
    Camera,
    /// Images and folders.
    Data,
    /// Standard output or a file that cannot be written.
    Output,
    /// A GPU that only a new process can use again.
    Gpu,
    /// An address to listen at that another program holds, or that this machine does not have (yet).
    Address,
    /// The machine lacks something that an inspector needs.
    Machine,
    /// A bug in Sightline.
    Bug,
}

impl Class {
    /// Every class, in the order of the exit codes.
    pub const ALL: [Self; 12] = [
        Self::Rejected,
        Self::Usage,
        Self::Configuration,
        Self::Model,
        Self::Engine,
        Self::Camera,
        Self::Data,
        Self::Output,
        Self::Gpu,
        Self::Address,
        Self::Machine,
        Self::Bug,
    ];

    /// The exit code of a process that ends for this reason.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Rejected => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Model => 4,
            Self::Engine => 5,
            Self::Camera => 6,
            Self::Data => 7,
            Self::Output => 8,
            // 9 is the trainer's.
            Self::Gpu => 10,
            Self::Address => 11,
            Self::Machine => 12,
            // EX_SOFTWARE of sysexits.h.
            Self::Bug => 70,
        }
    }

    /// The word that the documentation uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Usage => "usage",
            Self::Configuration => "configuration",
            Self::Model => "model",
            Self::Engine => "engine",
            Self::Camera => "camera",
            Self::Data => "data",
            Self::Output => "output",
            Self::Gpu => "gpu",
            Self::Address => "address",
            Self::Machine => "machine",
            Self::Bug => "bug",
        }
    }
}

/// An error of any kind with the class that decides the exit code.
///
/// Its text is the error's own: one line that names the thing and the remedy.
#[derive(Debug)]
pub struct Fault {
    /// Decides the exit code.
    pub class: Class,
    line: String,
}

/// More is not read by anybody: what is beyond was the input's, not ours.
const LINE_CHARS_MAX: usize = 2_000;

impl Fault {
    /// A fault of `class`, told in `line`; what an input brought into it cannot break the line nor steer a terminal.
    pub fn new(class: Class, line: impl Into<String>) -> Self {
        Self { class, line: plain(&line.into(), LINE_CHARS_MAX) }
    }
}

/// The text as one line of at most `chars_max` characters: control characters escaped, the end cut off.
pub fn plain(text: &str, chars_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(4 * chars_max));
    for (index, c) in text.chars().enumerate() {
        if index == chars_max {
            line.push('…');
            break;
        }
        match c {
            '\n' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Fault {}

/// Gives an error the class that it has for this caller.
pub trait OrFault<T> {
    /// Turns the error into a [`Fault`] of `class`, with the whole chain of its sources in one line.
    fn or_fault(self, class: Class) -> Result<T, Fault>;
}

impl<T, E: std::error::Error> OrFault<T> for Result<T, E> {
    fn or_fault(self, class: Class) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(class, one_line(&error)))
    }
}

/// The error and its sources, joined by colons; a source whose text its parent already carries is left out.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line.replace('\n', " ")
}

/// Why a file or folder cannot be written, with the remedy that a service's sandbox calls for.
pub fn why_unwritable(cause: &std::io::Error) -> String {
    if cause.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
        return format!(
            "{cause}; a service writes only what its unit names, add the folder by ReadWritePaths= (docs/deploy.md)"
        );
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_documented() {
        let page = include_str!("../docs/exit-codes.md");
        let mut seen = std::collections::BTreeSet::new();
        for class in Class::ALL {
            assert!(seen.insert(class.exit_code()), "{class:?} shares its exit code");
            let row = format!("| {} | {} |", class.exit_code(), class.name());
            assert!(page.contains(&row), "docs/exit-codes.md lacks `{row}`");
        }
    }

    #[test]
    fn a_line_stays_one_line_of_bounded_length_whatever_is_in_it() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Fault::new(Class::Usage, text).to_string(), expected);
        };
        check("a\nb\r\0\u{1b}[31mü", "a b\\r\\u{0}\\u{1b}[31mü");
        let long = Fault::new(Class::Usage, "ü".repeat(1 << 20)).to_string();
        assert_eq!(long.chars().count(), LINE_CHARS_MAX + 1);
    }

    #[test]
    fn a_read_only_file_system_has_a_remedy() {
        let why = |kind: std::io::ErrorKind| why_unwritable(&kind.into());
        assert!(why(std::io::ErrorKind::ReadOnlyFilesystem).contains("ReadWritePaths="));
        assert!(!why(std::io::ErrorKind::PermissionDenied).contains("ReadWritePaths="));
    }

    #[test]
    fn a_chain_becomes_one_line_without_repetition() {
        let inner = std::io::Error::other("disk\nfull");
        let outer = std::io::Error::other(inner);
        assert_eq!(one_line(&outer), "disk full");
    }
}
