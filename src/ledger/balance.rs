//! The ledger's equation: `captured = judged + dropped + faulted + in flight`.
//!
//! Pure. Owns the reasons for which a frame is not judged.

use std::fmt;

/// Why a frame was taken out unjudged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The engine was slower than the camera, under the policy `latest`.
    QueueFull,
    /// The station was paused.
    Paused,
    /// Somebody worked at the station.
    Maintenance,
    /// The software trigger chose another frame, or saw no part.
    NotTriggered,
    /// The software trigger learned the empty belt from it.
    Learning,
    /// The PLC announced no part that it could be of.
    NoPart,
}

impl DropReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::Paused,
        Self::Maintenance,
        Self::NotTriggered,
        Self::Learning,
        Self::NoPart,
    ];

    /// The word in summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::Paused => "paused",
            Self::Maintenance => "maintenance",
            Self::NotTriggered => "not triggered",
            Self::Learning => "learning the empty belt",
            Self::NoPart => "no part",
        }
    }
}

/// Why a frame could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultReason {
    /// It could not be decoded.
    Decode,
    /// The engine failed, or returned what is not a number.
    Engine,
    /// The engine's thread was gone before it could take the frame.
    Abandoned,
    /// The process ended before anybody could say what became of it: found when the ledger is opened again.
    Crash,
}

impl FaultReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Engine, Self::Abandoned, Self::Crash];

    /// The word in summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Engine => "engine",
            Self::Abandoned => "abandoned",
            Self::Crash => "crash",
        }
    }
}

/// What a software trigger saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Parts that came.
    pub seen: u64,
    /// Those whose frame has no verdict, or the verdict `fault`.
    pub missed: u64,
    /// How often one had stayed for as long as no part does: two that touch, a belt that stopped, another light.
    pub too_long: u64,
}

/// One camera's account at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Numbers given.
    pub captured: u64,
    /// Frames with a verdict.
    pub judged: u64,
    /// Frames taken out, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Frames that could not be judged, in the order of [`FaultReason::ALL`].
    pub faulted: [u64; FaultReason::ALL.len()],
    /// Frames that the pipeline lost before they could be numbered; no part of the equation.
    pub lost_upstream: u64,
    /// What its software trigger saw, where it has one; no part of the equation.
    pub parts: Option<Parts>,
}

impl Balance {
    /// Frames taken out for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Frames that could not be judged for any reason.
    pub fn faulted_total(&self) -> u64 {
        self.faulted.iter().sum()
    }

    /// Frames that have a number and no disposition yet; `None` when more were disposed of than captured,
    /// which is a bug.
    pub fn in_flight(&self) -> Option<u64> {
        self.captured.checked_sub(self.judged + self.dropped_total() + self.faulted_total())
    }

    /// Whether every number has exactly one disposition: what must hold after a drain.
    pub fn is_settled(&self) -> bool {
        self.in_flight() == Some(0)
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = |counts: &[u64], names: &[&str]| {
            let named: Vec<_> = std::iter::zip(counts, names)
                .filter(|(count, _)| **count > 0)
                .map(|(count, name)| format!("{count} {name}"))
                .collect();
            if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
        };
        let dropped = reasons(&self.dropped, &DropReason::ALL.map(DropReason::name));
        let faulted = reasons(&self.faulted, &FaultReason::ALL.map(FaultReason::name));
        write!(
            f,
            "captured {} = judged {} + dropped {}{dropped} + faulted {}{faulted}",
            self.captured,
            self.judged,
            self.dropped_total(),
            self.faulted_total(),
        )?;
        match self.in_flight() {
            Some(0) => {}
            Some(count) => write!(f, " + in flight {count}")?,
            None => write!(f, " (the account does not balance: please report it)")?,
        }
        if self.lost_upstream > 0 {
            write!(f, "; lost upstream {}", self.lost_upstream)?;
        }
        if let Some(Parts { seen, missed, too_long }) = self.parts {
            write!(f, "; parts {seen} seen, {missed} missed, {too_long} too long")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_told_as_its_equation() {
        let balance = Balance {
            captured: 10,
            judged: 6,
            dropped: [2, 0, 0, 0, 0, 0],
            faulted: [1, 0, 0, 0],
            lost_upstream: 4,
            parts: None,
        };
        assert_eq!(
            balance.to_string(),
            "captured 10 = judged 6 + dropped 2 (2 queue full) + faulted 1 (1 decode) + in flight 1; lost upstream 4"
        );
        let parts = Some(Parts { seen: 7, missed: 1, too_long: 2 });
        let told = Balance { captured: 9, lost_upstream: 0, parts, ..balance }.to_string();
        assert!(told.ends_with("(1 decode); parts 7 seen, 1 missed, 2 too long"), "{told}");
        assert!(!balance.is_settled());
        assert!(Balance { captured: 9, ..balance }.is_settled());
        assert_eq!(Balance { captured: 8, ..balance }.in_flight(), None);
    }

    #[test]
    fn reasons_index_their_counters() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, reason) in FaultReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
