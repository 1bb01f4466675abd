//! Who may do what.
//!
//! Owns the roles and the name under which somebody's actions stand in the audit trail. Pure; how somebody proves who he
//! is, is elsewhere.

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
