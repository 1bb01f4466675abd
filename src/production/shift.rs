//! Shifts: from when to when parts are counted together.
//!
//! Pure: the time and the time zone come from outside. Owns what happens when clocks are changed: a shift begins once,
//! at the first moment that its clock time names; where that is left out, as long after midnight as it would have come.
//! Invariant: shifts follow one another without gap or overlap.

use std::time::{Duration, SystemTime};

use jiff::{
    Timestamp, ToSpan as _,
    civil::Time,
    tz::{Disambiguation, TimeZone},
};

/// One an hour; more are no shifts.
const STARTS_MAX: usize = 24;
/// For a clock so wrong that no calendar has its day.
const A_DAY: Duration = Duration::from_hours(24);

/// When shifts begin, by the clock on the wall: at least one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starts(Vec<Time>);

/// One shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Its first moment.
    pub since: SystemTime,
    /// The first moment of the next one.
    pub until: SystemTime,
}

impl Default for Starts {
    /// The calendar day.
    fn default() -> Self {
        Self(vec![Time::midnight()])
    }
}

impl Starts {
    /// From words such as `06:00`; what they must be where they are not.
    pub fn new(words: &[String]) -> Result<Self, String> {
        let mut starts = Vec::new();
        for word in words {
            let start = time(word).ok_or("each is an hour and a minute, such as \"06:00\"")?;
            if starts.contains(&start) {
                return Err(format!("\"{word}\" is listed twice"));
            }
            starts.push(start);
        }
        if starts.is_empty() || starts.len() > STARTS_MAX {
            return Err(format!("there are 1 to {STARTS_MAX} of them"));
        }
        starts.sort_unstable();
        Ok(Self(starts))
    }

    /// The shift that a moment lies in.
    pub fn around(&self, now: SystemTime, zone: &TimeZone) -> Shift {
        // Only a clock that is off by millennia has no such day.
        self.find(now, zone).unwrap_or(Shift { since: now, until: now + A_DAY })
    }

    fn find(&self, now: SystemTime, zone: &TimeZone) -> Option<Shift> {
        let now = Timestamp::try_from(now).ok()?;
        let today = zone.to_datetime(now).date();
        let mut begins = Vec::new();
        // A day either side: where a start is moved by a change of clocks it may come before or after midnight.
        for days in -2..=2 {
            let day = today.checked_add(days.days()).ok()?;
            for start in &self.0 {
                let begin = zone.to_ambiguous_zoned(day.to_datetime(*start));
                begins.push(begin.disambiguate(Disambiguation::Compatible).ok()?.timestamp());
            }
        }
        begins.sort_unstable();
        let next = begins.partition_point(|begin| *begin <= now);
        Some(Shift {
            since: (*begins.get(next.checked_sub(1)?)?).into(),
            until: (*begins.get(next)?).into(),
        })
    }
}

/// `HH:MM`, and nothing else that a calendar's parser would take.
fn time(word: &str) -> Option<Time> {
    let (hours, minutes) = word.split_once(':')?;
    let number = |digits: &str| {
        let is_two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_two_digits { digits.parse::<i8>().ok() } else { None }
    };
    Time::new(number(hours)?, number(minutes)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Berlin's rules, and Lord Howe's, whose clocks change by half an hour.
    const ZONES: [&str; 3] =
        ["CET-1CEST,M3.5.0,M10.5.0/3", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "UTC0"];

    fn zone(rules: &str) -> TimeZone {
        TimeZone::posix(rules).unwrap()
    }

    fn starts(words: &[&str]) -> Starts {
        Starts::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn check(words: &[&str], now: &str, expected: [&str; 2]) {
        let moment = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
        let shift = starts(words).around(moment(now), &zone(ZONES[0]));
        let [since, until] = expected.map(moment);
        assert_eq!(shift, Shift { since, until }, "{words:?} at {now}");
    }

    #[test]
    fn a_shift_is_the_machines_own_day_or_a_part_of_it() {
        let day = &["00:00"];
        check(day, "2026-01-15T10:00:00Z", ["2026-01-14T23:00:00Z", "2026-01-15T23:00:00Z"]);
        check(day, "2026-01-14T23:00:00Z", ["2026-01-14T23:00:00Z", "2026-01-15T23:00:00Z"]);
        check(day, "2026-01-14T22:59:59Z", ["2026-01-13T23:00:00Z", "2026-01-14T23:00:00Z"]);
        let three = &["14:00", "06:00", "22:00"];
        check(three, "2026-07-15T03:59:59Z", ["2026-07-14T20:00:00Z", "2026-07-15T04:00:00Z"]);
        check(three, "2026-07-15T04:00:00Z", ["2026-07-15T04:00:00Z", "2026-07-15T12:00:00Z"]);
        check(three, "2026-07-15T21:30:00Z", ["2026-07-15T20:00:00Z", "2026-07-16T04:00:00Z"]);
    }

    #[test]
    fn a_shift_over_a_change_of_clocks_is_an_hour_shorter_or_longer() {
        let night = &["06:00", "22:00"];
        check(night, "2026-03-29T00:30:00Z", ["2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"]);
        check(night, "2026-10-25T00:30:00Z", ["2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"]);
        // 02:30 is left out in spring, and comes twice in autumn.
        let odd = &["02:30"];
        check(odd, "2026-03-29T01:29:59Z", ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z"]);
        check(odd, "2026-03-29T01:30:00Z", ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
        check(odd, "2026-10-25T00:30:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        check(odd, "2026-10-25T01:45:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn a_clock_that_no_calendar_knows_still_has_a_shift() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        let shift = Starts::default().around(far, &TimeZone::UTC);
        assert!(shift.since <= far && far < shift.until);
    }

    proptest! {
        #[test]
        fn shifts_follow_one_another(
            zone in prop::sample::select(&ZONES[..]).prop_map(zone),
            minutes in prop::collection::btree_set(0_u32..1440, 1..=5),
            seconds in 1_600_000_000_u64..1_900_000_000,
        ) {
            let words: Vec<_> =
                minutes.iter().map(|m| format!("{:02}:{:02}", m / 60, m % 60)).collect();
            let starts = Starts::new(&words).unwrap();
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let shift = starts.around(now, &zone);
            prop_assert!(shift.since <= now && now < shift.until);
            prop_assert_eq!(starts.around(shift.since, &zone), shift);
            prop_assert_eq!(starts.around(shift.until, &zone).since, shift.until);
            let before = starts.around(shift.since - Duration::from_secs(1), &zone);
            prop_assert_eq!(before.until, shift.since);
        }
    }
}
