//! Any bytes as requests of a PLC: what it writes and reads, and a result that is never a pass, for nothing is judged.
#![no_main]

use std::{collections::BTreeMap, time::Duration};

use sightline::{
    plc::{
        handshake::{self, Outcome},
        map::{Commands, WordOrder, Written},
        pairing::{self, Frames},
        post::{Post, Rule, Safe},
    },
    state::State,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let ms = Duration::from_millis;
    let mut post = Post::new(Rule {
        pairing: pairing::Rule { frames: Frames::First, delay: ms(1), within: ms(20) },
        handshake: handshake::Rule { verdict_within: ms(50), acknowledged_within: Some(ms(30)), is_alone: false },
        pusher: None,
        safe: Safe::Reject,
        encoder: None,
        watchdog: Some(ms(40)),
        products: BTreeMap::new(),
    });
    post.trust(true, ms(0));
    let mut written = Written::new(WordOrder::Big, 2, false);
    let mut now = ms(0);
    let mut rest = bytes;
    while let [high, low, len, wait, more @ ..] = rest {
        now += ms(u64::from(*wait));
        let address = u16::from_be_bytes([*high, *low]);
        let len = usize::from(*len % 16).min(more.len() / 2);
        let (words, behind) = more.split_at(len * 2);
        rest = behind;
        let words: Vec<u16> = words.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
        if let Ok((0, Some(commands))) = written.write(address, &words) {
            assert_eq!(Commands::decode(&commands.encode(WordOrder::Little), WordOrder::Little), commands);
            post.command(commands, None, now);
        }
        post.frame(u64::try_from(now.as_millis()).unwrap_or(0), now);
        let status = post.status(now, State::Running);
        assert!(status.outputs.shown.is_none_or(|shown| shown.end.outcome != Outcome::Pass));
        let _refused = written.read(address, u16::from(*wait), |_camera| [0; 20]);
        post.take_facts();
    }
});
