//! The registers that the PLC writes and reads, and what stands in them.
//!
//! Pure. Owns each register's place, once: encoder, decoder and the tables of `docs/plc.md` are read off [`COMMANDS`] and
//! [`STATUS`]. A camera has a block of [`BLOCK`] registers: what the PLC writes, then what it reads.

use std::fmt::Write as _;

use super::{handshake::Outputs, post::Status};
use crate::state::State;

/// Registers of one camera's block; the next camera's begins behind.
pub const BLOCK: u16 = 100;
/// Where in a block the PLC reads.
pub const STATUS_AT: u16 = 50;
/// Where in a block its flags are.
pub const FLAGS_AT: u16 = 53;
/// This map's version.
pub const VERSION: u16 = 1;
/// Registers that the PLC writes.
pub const COMMAND_WORDS: u16 = 9;
/// Registers that it reads.
pub const STATUS_WORDS: u16 = 20;

/// How a value of 32 bits lies in two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordOrder {
    /// The high word first.
    Big,
    /// The low word first.
    Little,
}

impl WordOrder {
    fn words(self, value: u32) -> [u16; 2] {
        let [a, b, c, d] = value.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match self {
            Self::Big => [high, low],
            Self::Little => [low, high],
        }
    }

    fn value(self, words: [u16; 2]) -> u32 {
        let [high, low] = match self {
            Self::Big => words,
            Self::Little => [words[1], words[0]],
        };
        u32::from(high) << 16 | u32::from(low)
    }
}

/// A register, or two that make one value.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its first register's place in the block.
    pub at: u16,
    /// 1 or 2.
    pub words: u16,
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn field(at: u16, words: u16, name: &'static str, meaning: &'static str) -> Field {
    Field { at, words, name, meaning }
}

/// What the PLC writes.
pub const COMMANDS: [Field; 7] = [
    field(0, 1, "plc_heartbeat", "Any value that changes: the PLC lives"),
    field(
        1,
        1,
        "trigger_count",
        "From 1 to 65535 and then 1 again: one more says that a part has come; 0 says that none has yet",
    ),
    field(2, 2, "part", "The part's number, which comes back with its result"),
    field(4, 1, "hint", "The code of the product that is expected; 0 for none"),
    field(5, 1, "acknowledged", "The `result_count` of the result that the PLC has taken"),
    field(
        6,
        2,
        "encoder",
        "The belt's encoder, where `[plc] encoder` is \"modbus16\" or \"modbus32\"",
    ),
    field(8, 1, "reserved", "0"),
];

/// What the PLC reads.
pub const STATUS: [Field; 15] = [
    field(50, 1, "version", "Of this map: 1"),
    field(51, 1, "heartbeat", "Changes ten times a second while the station lives"),
    field(
        52,
        1,
        "state",
        "0 starting, 1 building, 2 running, 3 degraded, 4 fault, 5 paused, 6 maintenance, 7 stopping",
    ),
    field(
        53,
        1,
        "flags",
        "Bit 0 ready, 1 busy, 2 completed (changes with each result), 3 valid, 4 safe (nothing may pass), 5 reject (the pusher strikes)",
    ),
    field(54, 1, "triggered", "The `trigger_count` that was seen last"),
    field(55, 1, "result_count", "The result's running number; write it to `acknowledged`"),
    field(56, 2, "part", "The part's number, as the PLC gave it"),
    field(
        58,
        1,
        "result",
        "0 none, 1 pass, 2 fail, 3 unknown product, 4 fault, 5 late; only 1 may go on",
    ),
    field(
        59,
        1,
        "why",
        "0 the verdict says it, 1 station does not run, 2 PLC was not there, 3 no frame in time, 4 two parts too close, \
         5 frame lost, 6 another product than announced, 7 unknown product code, 8 no verdict in time, 9 too many parts at once, 10 its time is not certain",
    ),
    field(
        60,
        1,
        "product",
        "The code of the recognised product, where the configuration gives it one",
    ),
    field(61, 2, "score", "The anomaly score, times 1,000,000; 4294967295 for none"),
    field(63, 1, "p_value", "Its p-value, times 10,000; 65535 for none"),
    field(64, 1, "waiting", "Results that wait until this one is acknowledged"),
    field(65, 2, "frame", "The lower half of the frame's number; 0 for none"),
    field(67, 3, "reserved", "0"),
];

/// What the PLC wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Changes while it lives.
    pub heartbeat: u16,
    /// Changes with each part; 0 for none yet.
    pub trigger_count: u16,
    /// The part's number.
    pub part: u32,
    /// The code of the product that is expected; 0 for none.
    pub hint: u16,
    /// The result that it has.
    pub acknowledged: u16,
    /// The belt's encoder.
    pub encoder: u32,
}

impl Commands {
    /// What those registers say. Any registers say something.
    pub fn decode(words: &[u16; COMMAND_WORDS as usize], order: WordOrder) -> Self {
        let [heartbeat, trigger_count, part_0, part_1, hint, acknowledged, belt_0, belt_1, _] =
            *words;
        Self {
            heartbeat,
            trigger_count,
            part: order.value([part_0, part_1]),
            hint,
            acknowledged,
            encoder: order.value([belt_0, belt_1]),
        }
    }

    /// The registers that say so.
    pub fn encode(&self, order: WordOrder) -> [u16; COMMAND_WORDS as usize] {
        let [part_0, part_1] = order.words(self.part);
        let [belt_0, belt_1] = order.words(self.encoder);
        let Self { heartbeat, trigger_count, hint, acknowledged, .. } = *self;
        [heartbeat, trigger_count, part_0, part_1, hint, acknowledged, belt_0, belt_1, 0]
    }
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such register, or it is not the PLC's to write.
    Address,
}

/// What the PLC wrote so far, of all cameras.
#[derive(Clone, Debug)]
pub struct Written {
    order: WordOrder,
    blocks: Vec<[u16; COMMAND_WORDS as usize]>,
    /// Which registers of each block somebody has written, a bit each.
    seen: Vec<u16>,
    /// Those without which nothing is known.
    needed: u16,
}

impl Written {
    /// Nothing, for so many cameras; whether the encoder's registers count.
    pub fn new(order: WordOrder, cameras: usize, has_encoder: bool) -> Self {
        let needed = if has_encoder { 0xff } else { 0x3f };
        let blocks = vec![[0; COMMAND_WORDS as usize]; cameras];
        Self { order, blocks, seen: vec![0; cameras], needed }
    }

    /// Another one writes from now on: what stands there is not its.
    pub fn forget(&mut self) {
        self.seen.fill(0);
    }

    /// Takes registers from that address on, all or none; the camera whose block they are in, and what they say together
    /// as soon as each has been written once.
    pub fn write(
        &mut self,
        address: u16,
        words: &[u16],
    ) -> Result<(usize, Option<Commands>), Refused> {
        let camera = usize::from(address / BLOCK);
        let first = usize::from(address % BLOCK);
        let block = self.blocks.get_mut(camera).ok_or(Refused::Address)?;
        let range = first..first.saturating_add(words.len());
        let place = block.get_mut(range).filter(|place| !place.is_empty());
        place.ok_or(Refused::Address)?.copy_from_slice(words);
        let commands = Commands::decode(block, self.order);
        let seen = self.seen.get_mut(camera).ok_or(Refused::Address)?;
        // The range lies in the block, which is shorter than a word has bits.
        *seen |= (first..first + words.len()).fold(0, |bits, place| bits | 1 << place);
        let is_whole = *seen & self.needed == self.needed;
        Ok((camera, is_whole.then_some(commands)))
    }

    /// So many registers from that address on; those that are nobody's say 0.
    pub fn read(
        &self,
        address: u16,
        count: u16,
        mut status: impl FnMut(usize) -> [u16; STATUS_WORDS as usize],
    ) -> Result<Vec<u16>, Refused> {
        let end = u32::from(address) + u32::from(count);
        let registers = self.blocks.len() * usize::from(BLOCK);
        if count == 0 || usize::try_from(end).map_or(true, |end| end > registers) {
            return Err(Refused::Address);
        }
        let mut words = Vec::with_capacity(usize::from(count));
        let mut known: Option<(usize, [u16; STATUS_WORDS as usize])> = None;
        for at in (u32::from(address)..end).filter_map(|at| u16::try_from(at).ok()) {
            let (camera, place) = (usize::from(at / BLOCK), usize::from(at % BLOCK));
            let command = self.blocks.get(camera).and_then(|block| block.get(place));
            let word = match (command, place.checked_sub(usize::from(STATUS_AT))) {
                (Some(word), _) => *word,
                (None, Some(place)) if place < usize::from(STATUS_WORDS) => {
                    let same = known.filter(|(of, _)| *of == camera);
                    let (_, status) = same.unwrap_or_else(|| (camera, status(camera)));
                    known = Some((camera, status));
                    status[place]
                }
                (None, _) => 0,
            };
            words.push(word);
        }
        Ok(words)
    }
}

/// What the PLC reads of a camera.
pub fn encode(status: &Status, order: WordOrder) -> [u16; STATUS_WORDS as usize] {
    let Status { outputs, heartbeat, state, triggered, strikes } = status;
    let Outputs { count, shown, waiting, .. } = outputs;
    let (part, end) = shown.map(|shown| (shown.part.number, shown.end)).unzip();
    let [part_0, part_1] = order.words(part.unwrap_or(0));
    let [score_0, score_1] = order.words(scaled(end.and_then(|end| end.score).map(f64::from), 1e6));
    let p_value = end.and_then(|end| end.p_value);
    let p_value =
        p_value.map_or(u16::MAX, |p| u16::try_from(scaled(Some(p), 1e4)).unwrap_or(u16::MAX));
    let frame = end.and_then(|end| end.frame).unwrap_or(0) & u64::from(u32::MAX);
    let [frame_0, frame_1] = order.words(u32::try_from(frame).unwrap_or(0));
    [
        VERSION,
        *heartbeat,
        state_code(*state),
        flags(outputs, *strikes),
        *triggered,
        *count,
        part_0,
        part_1,
        end.map_or(0, |end| end.outcome.code()),
        end.map_or(0, |end| end.why.code()),
        end.map_or(0, |end| end.product),
        score_0,
        score_1,
        p_value,
        u16::try_from(*waiting).unwrap_or(u16::MAX),
        frame_0,
        frame_1,
        0,
        0,
        0,
    ]
}

/// The register `flags`, whose bits are discrete inputs as well.
pub fn flags(outputs: &Outputs, strikes: bool) -> u16 {
    let Outputs { ready, busy, completed, safe, shown, .. } = outputs;
    let bits = [*ready, *busy, *completed, shown.is_some(), *safe, strikes];
    bits.iter().rev().fold(0, |flags, bit| flags << 1 | u16::from(*bit))
}

/// Whether the PLC that reads these flags learns from them that the pusher strikes.
pub fn strikes(flags: u16) -> bool {
    flags >> 5 & 1 == 1
}

fn state_code(state: State) -> u16 {
    let place = State::ALL.iter().position(|one| *one == state);
    place.and_then(|place| u16::try_from(place).ok()).unwrap_or(u16::MAX)
}

/// Saturated below the value that means none; what is no number is none.
fn scaled(value: Option<f64>, by: f64) -> u32 {
    let Some(value) = value.filter(|value| value.is_finite()) else { return u32::MAX };
    let scaled = (value * by).round().clamp(0.0, f64::from(u32::MAX - 1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what the register holds"
    )]
    let scaled = scaled as u32;
    scaled
}

/// The tables of `docs/plc.md`.
pub fn tables() -> String {
    let mut text = String::new();
    for (who, fields) in [("writes", &COMMANDS[..]), ("reads", &STATUS[..])] {
        // Writing to a String cannot fail.
        let _infallible: std::fmt::Result =
            write!(text, "| the PLC {who} | register | meaning |\n| --- | --- | --- |\n");
        for Field { at, words, name, meaning } in fields {
            let place =
                if *words == 1 { format!("{at}") } else { format!("{at}-{}", at + words - 1) };
            let _infallible: std::fmt::Result =
                writeln!(text, "| `{name}` | {place} | {meaning} |");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::plc::handshake::{End, Outcome, Part, Shown, Why};

    fn status() -> Status {
        let part =
            Part { trigger: 3, number: 0x0001_e240, hint: 2, at: Duration::ZERO, position: 0 };
        let end = End {
            outcome: Outcome::UnknownProduct,
            why: Why::OtherProduct,
            product: 7,
            score: Some(0.25),
            p_value: Some(0.0125),
            frame: Some(5),
        };
        let shown = Some(Shown { part, end, since: Duration::ZERO });
        let outputs = Outputs {
            ready: true,
            busy: false,
            completed: true,
            safe: false,
            count: 9,
            shown,
            waiting: 2,
        };
        Status { outputs, heartbeat: 77, state: State::Running, triggered: 3, strikes: true }
    }

    #[test]
    fn a_result_stands_in_its_registers() {
        let mut words = encode(&status(), WordOrder::Big);
        let expected =
            [1, 77, 2, 0b10_1101, 3, 9, 1, 0xe240, 3, 6, 7, 3, 0xd090, 125, 2, 0, 5, 0, 0, 0];
        assert_eq!(words, expected);
        assert!(strikes(words[3]) && !strikes(0b01_1111));
        words = encode(&status(), WordOrder::Little);
        assert_eq!((words[6], words[7]), (0xe240, 1));
        let outputs = Outputs { shown: None, ..status().outputs };
        words = encode(&Status { outputs, ..status() }, WordOrder::Big);
        assert_eq!(words[6..=13], [0, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff]);
        assert_eq!(words[3] & 0b1000, 0);
    }

    #[test]
    fn fields_lie_side_by_side() {
        for (fields, from, len) in
            [(&COMMANDS[..], 0, COMMAND_WORDS), (&STATUS[..], STATUS_AT, STATUS_WORDS)]
        {
            let end = fields.iter().fold(from, |at, field| {
                assert_eq!(field.at, at, "{}", field.name);
                at + field.words
            });
            assert_eq!(end, from + len);
        }
        const { assert!(STATUS_AT + STATUS_WORDS <= BLOCK) };
    }

    #[test]
    fn only_what_is_the_plcs_can_be_written() {
        let mut written = Written::new(WordOrder::Big, 2, false);
        assert_eq!(written.write(100, &[5, 6, 0, 7]), Ok((1, None)));
        let expected = Commands { heartbeat: 5, trigger_count: 6, part: 7, ..Commands::default() };
        assert_eq!(written.write(104, &[0, 0]), Ok((1, Some(expected))));
        // The next one who writes says each of them anew.
        written.forget();
        assert_eq!(written.write(100, &[5]), Ok((1, None)));
        let mut with_encoder = Written::new(WordOrder::Big, 1, true);
        assert_eq!(with_encoder.write(0, &[5, 6, 0, 7, 0, 0]), Ok((0, None)));
        assert_eq!(with_encoder.write(6, &[0, 0]), Ok((0, Some(expected))));
        for (address, len) in
            [(7, 3), (9, 1), (50, 1), (109, 1), (200, 1), (65_535, 1), (0, 0), (0, 123)]
        {
            assert_eq!(written.write(address, &vec![1; len]), Err(Refused::Address), "{address}");
        }
        let read = |address, count| {
            written.read(address, count, |camera| [u16::try_from(camera).unwrap(); 20])
        };
        assert_eq!(read(99, 5).unwrap(), [0, 5, 6, 0, 7]);
        assert_eq!(read(48, 3).unwrap(), [0, 0, 0]);
        assert_eq!(read(169, 2).unwrap(), [1, 0]);
        for (address, count) in [(0, 0), (199, 2), (200, 1), (65_535, 125)] {
            assert_eq!(read(address, count), Err(Refused::Address));
        }
    }

    #[test]
    fn the_page_has_these_tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plc.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- registers -->\n", "<!-- end of registers -->");
        let (head, rest) = page.split_once(begin).unwrap();
        let (found, tail) = rest.split_once(end).unwrap();
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::write(&path, format!("{head}{begin}{}{end}{tail}", tables())).unwrap();
        } else {
            assert!(found == tables(), "docs/plc.md is stale: SIGHTLINE_BLESS=1 cargo test tables");
        }
    }

    proptest! {
        #[test]
        fn commands_come_out_as_they_went_in(
            words in prop::array::uniform9(any::<u16>()),
            is_big in any::<bool>(),
        ) {
            let order = if is_big { WordOrder::Big } else { WordOrder::Little };
            let commands = Commands::decode(&words, order);
            let again = commands.encode(order);
            prop_assert_eq!(&again[..8], &words[..8]);
            prop_assert_eq!(Commands::decode(&again, order), commands);
        }

        #[test]
        fn a_score_is_never_mistaken_for_none(score in any::<f32>()) {
            prop_assert_eq!(scaled(Some(f64::from(score)), 1e6) == u32::MAX, !score.is_finite());
        }
    }
}
