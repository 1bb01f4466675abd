//! Alarms: what is wrong, as people are told and as they answer it.
//!
//! Owns an alarm's name, its words with a remedy for whoever stands at the line, and what an acknowledgement is. Pure:
//! when something began is given from outside. What is wrong is `state`'s.

use std::{fmt::Write as _, time::SystemTime};

use crate::state::Trouble;

/// How long something has been wrong, and who has seen that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it began.
    pub since: SystemTime,
    /// The first who acknowledged it; an acknowledgement ends with the trouble.
    pub acknowledged: Option<Acknowledged>,
}

/// Who acknowledged an alarm, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The name in the audit trail.
    pub who: String,
    /// When.
    pub time: SystemTime,
}

impl Standing {
    /// Of what begins now.
    pub fn since(since: SystemTime) -> Self {
        Self { since, acknowledged: None }
    }
}

/// The name of a trouble's alarm: the same for as long as it lasts and whenever it comes again, another for each
/// trouble. Letters, digits, `-`, `_`, `.` and `~` only, so that it stands in an address as it is.
pub fn id(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Camera(camera) => format!("camera.{}", encoded(&camera.0)),
        Trouble::Engine => "engine".into(),
        Trouble::Golden => "golden".into(),
        Trouble::Provider => "provider".into(),
        Trouble::Ledger => "ledger".into(),
        Trouble::Archive => "archive".into(),
        Trouble::Plc => "plc".into(),
        Trouble::Broker => "broker".into(),
        Trouble::Drift { camera, product, figure } => {
            let figure = encoded(&figure.to_string());
            format!("drift.{}.{figure}.{}", encoded(&camera.0), encoded(product))
        }
    }
}

/// What is wrong, in a sentence for people at the line.
pub fn text(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Camera(camera) => format!("Camera {camera} gives no picture."),
        Trouble::Engine => "The network fails frame after frame: nothing is judged.".into(),
        Trouble::Golden => {
            "The network no longer computes what it was tested with: nothing is judged.".into()
        }
        Trouble::Provider => {
            "Another processor than the wanted one runs the network: it may be too slow.".into()
        }
        Trouble::Ledger => {
            "The ledger cannot be written: verdicts are given, but not kept on disk.".into()
        }
        Trouble::Broker => {
            "Results do not reach the broker: they are kept here, and verdicts go on.".into()
        }
        Trouble::Archive => "Pictures of rejects cannot be kept: verdicts go on.".into(),
        Trouble::Plc => {
            "The PLC, or a line to it, does not answer: no part is passed to it.".into()
        }
        Trouble::Drift { camera, product, figure } => format!(
            "Good parts of {product} no longer look as they did at camera {camera}: {figure} has changed."
        ),
    }
}

/// What whoever stands at the line can do about it.
pub fn remedy(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Camera(_) => {
            "Check the camera's cable and power; it is tried again by itself. If it stays away, call an engineer."
        }
        Trouble::Engine => {
            "Stop the line or inspect by hand. Restart the station; if it fails again, call an engineer."
        }
        Trouble::Golden => {
            "Stop the line or inspect by hand. It is tested again by itself every ten seconds; if it lasts, \
             restart the station and call an engineer."
        }
        Trouble::Provider => {
            "The line may go on. Call an engineer: the graphics processor or its software is missing."
        }
        Trouble::Ledger => {
            "The line may go on for a few minutes. Make room on the disk, or have it replaced; what waits is written then."
        }
        Trouble::Archive => {
            "The line may go on. Make room on the disk, or have it replaced; until then rejects are shown, and not kept at full resolution."
        }
        Trouble::Plc => {
            "Check that the PLC runs, and the cable or the lines to it. Inspection goes on, and results are given again as soon as it answers."
        }
        Trouble::Broker => {
            "The line may go on: everything is sent as soon as the broker takes it. Check the network; the page and sightline check say why it does not."
        }
        Trouble::Drift { .. } => {
            "Look at light, lens and focus: clean what is dirty, tighten what is loose. If the parts themselves have \
             changed for good, calibrate anew on good parts."
        }
    }
}

/// Text as it may stand between the dots of a name: each other byte becomes `~` and its two hexadecimal digits.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible: std::fmt::Result = write!(name, "~{byte:02x}");
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        frame::CameraId,
        judge::drift::Figure,
        state::{Condition, Event},
    };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn camera(name: &str) -> Trouble {
        Trouble::Camera(CameraId(name.into()))
    }

    fn drift(camera: &str, product: &str, figure: Figure) -> Trouble {
        Trouble::Drift { camera: CameraId(camera.into()), product: product.into(), figure }
    }

    #[test]
    fn an_alarm_has_a_name_for_an_address_and_a_remedy() {
        let all = [
            (camera("top"), "camera.top"),
            (Trouble::Engine, "engine"),
            (Trouble::Golden, "golden"),
            (Trouble::Provider, "provider"),
            (Trouble::Ledger, "ledger"),
            (Trouble::Archive, "archive"),
            (Trouble::Plc, "plc"),
            (Trouble::Broker, "broker"),
            (drift("top", "cap", Figure::Focus), "drift.top.focus.cap"),
            (drift("top", "cap, 3/4\"", Figure::Score), "drift.top.score.cap~2c~203~2f4~22"),
        ];
        for (trouble, expected) in all {
            assert_eq!(id(&trouble), expected);
            for words in [text(&trouble), remedy(&trouble).to_owned()] {
                assert!(words.ends_with('.') && !words.contains("  "), "{words}");
            }
        }
    }

    /// A trouble of each kind; a new kind does not compile before it is here, and so on the page.
    fn one_of_each() -> Vec<Trouble> {
        let all = vec![
            camera("CAMERA"),
            Trouble::Engine,
            Trouble::Golden,
            Trouble::Provider,
            Trouble::Ledger,
            Trouble::Archive,
            Trouble::Plc,
            Trouble::Broker,
            drift("CAMERA", "PRODUCT", Figure::Score),
        ];
        for trouble in &all {
            match trouble {
                Trouble::Camera(_)
                | Trouble::Engine
                | Trouble::Golden
                | Trouble::Provider
                | Trouble::Ledger
                | Trouble::Archive
                | Trouble::Plc
                | Trouble::Broker
                | Trouble::Drift { .. } => {}
            }
        }
        all
    }

    #[test]
    fn the_alarms_page_is_fresh() {
        const BEGIN: &str =
            "<!-- alarms: SIGHTLINE_BLESS=1 cargo test -p sightline --lib alarms_page -->\n";
        const END: &str = "<!-- end of alarms -->";
        let rows = one_of_each().into_iter().map(|trouble| {
            format!("| `{}` | {} | {} |\n", id(&trouble), text(&trouble), remedy(&trouble))
        });
        let head = "| alarm | the page says | at the line |\n| --- | --- | --- |\n";
        let table = format!("{head}{}", rows.collect::<String>());
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let page = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        } else {
            assert_eq!(found, table, "docs/operations.md is stale: {BEGIN}");
        }
    }

    #[test]
    fn an_acknowledgement_is_the_first_ones_and_ends_with_the_trouble() {
        let acknowledge =
            |who: &str| Event::Acknowledged { id: "camera.top".into(), who: who.into() };
        let who = |condition: &Condition| {
            let standing = &condition.troubles[&camera("top")];
            (standing.since, standing.acknowledged.as_ref().map(|by| (by.who.clone(), by.time)))
        };
        let none = Condition::starting(1).next(acknowledge("ann"), at(1));
        assert!(none.troubles.is_empty());
        let began = none.next(Event::Begins(camera("top")), at(2));
        assert_eq!(who(&began), (at(2), None));
        let seen = began.next(acknowledge("ann"), at(3)).next(acknowledge("bob"), at(4));
        let again = seen.next(Event::Begins(camera("top")), at(5));
        assert_eq!(who(&again), (at(2), Some(("ann".into(), at(3)))));
        let anew =
            again.next(Event::Ends(camera("top")), at(6)).next(Event::Begins(camera("top")), at(7));
        assert_eq!(who(&anew), (at(7), None));
    }

    /// What the twin below remembers of each trouble.
    type Twin = Vec<(usize, u64, Option<(String, u64)>)>;

    proptest! {
        #[test]
        fn alarms_are_what_a_plain_list_of_them_would_be(
            steps in prop::collection::vec((0_usize..4, 0_u8..3), 0..60),
        ) {
            let troubles =
                [camera("top"), camera("top."), drift("top", "a.b", Figure::Score), Trouble::Ledger];
            let mut condition = Condition::starting(2);
            let mut twin: Twin = Vec::new();
            for (now, (index, step)) in (0_u64..).zip(steps) {
                let trouble = troubles[index].clone();
                let found = twin.iter().position(|(other, ..)| *other == index);
                let who = format!("p{now}");
                match (step, found) {
                    (0, None) => twin.push((index, now, None)),
                    (1, Some(place)) => drop(twin.remove(place)),
                    (2, Some(place)) => {
                        twin[place].2.get_or_insert((who.clone(), now));
                    }
                    _ => {}
                }
                let event = match step {
                    0 => Event::Begins(trouble),
                    1 => Event::Ends(trouble),
                    _ => Event::Acknowledged { id: id(&trouble), who },
                };
                condition = condition.next(event, at(now));
                prop_assert_eq!(condition.troubles.len(), twin.len());
                for (index, since, seen) in &twin {
                    let standing = &condition.troubles[&troubles[*index]];
                    prop_assert_eq!(standing.since, at(*since));
                    let by = standing.acknowledged.as_ref().map(|by| (by.who.clone(), by.time));
                    prop_assert_eq!(by, seen.clone().map(|(who, time)| (who, at(time))));
                }
            }
        }

        #[test]
        fn no_two_texts_have_one_name(one in ".{0,8}", other in ".{0,8}") {
            prop_assert_eq!(encoded(&one) == encoded(&other), one == other);
        }
    }
}
