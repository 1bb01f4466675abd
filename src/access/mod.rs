//! Who may do what.
//!
//! Owns the roles and the name under which somebody's actions stand in the audit trail, and what is known of those who may
//! come in: `users`, their `password`s, their `session`s, and how many `attempts` they have. No sockets, no files and no
//! clock; only `secret` is not pure, for it asks the system for randomness.

pub mod attempts;
pub mod password;
pub mod secret;
pub mod session;
pub mod users;

/// What somebody may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs the line: mode, alarms, rejects, recipes, golden frames.
    Operator,
    /// Changes what the verdicts rest on: calibration, model, configuration.
    Engineer,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Engineer];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Engineer => "engineer",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let expected = "expected \"viewer\", \"operator\" or \"engineer\"";
        Self::ALL.into_iter().find(|role| role.name() == word).ok_or(expected)
    }
}

/// Records what somebody did: who, its kind, what it happened to, and a sentence or the old and the new value.
pub type TakeNote = dyn Fn(&str, &'static str, &str, String) + Send + Sync;

/// Somebody, as a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The name in the audit trail.
    pub name: String,
    /// What he may do.
    pub role: Role,
}

impl Who {
    /// Whoever reaches the loopback address of a station without users: he sits at the machine.
    pub fn local() -> Self {
        Self { name: "local".into(), role: Role::Engineer }
    }
}
