//! The pictures of `docs/page.md`, from the demo line.

use std::{path::Path, time::Duration};

use super::{
    ROOT,
    browser::{Browser, PANEL, PHONE, Screen},
    demo_line, shown,
};
use crate::{service::Running, support::Scratch};

/// What a picture in the documentation may cost a checkout.
const BYTES_MAX: u64 = 150_000;

/// `tools/page-pictures` runs it.
#[test]
#[ignore = "it writes files of the documentation"]
fn pictures_of_the_demo_line() {
    let scratch = Scratch::new();
    demo_line(&scratch);
    let running = Running::start(&scratch, &[]);
    let take = |browser: &mut Browser, screen: Screen, scheme: &str, name: &str| {
        browser.resize(screen);
        browser.prefer(scheme);
        std::thread::sleep(Duration::from_secs(2));
        let into = Path::new(ROOT).join("docs").join(name);
        browser.picture(&into);
        assert!(std::fs::metadata(&into).unwrap().len() <= BYTES_MAX, "{name} is too large");
    };
    let mut browser = shown(&running, PANEL, "light");
    // A lap of the clip, so that every product has been there.
    browser.until("document.querySelectorAll('.thumb').length > 5");
    browser.until("document.querySelectorAll('#charts figure').length === 8");
    browser.until("document.querySelector('.tile .plate').dataset.tone === 'fail'");
    take(&mut browser, PANEL, "light", "page-panel.jpg");
    browser.press("r");
    browser.until("document.getElementById('reject').open");
    take(&mut browser, PANEL, "dark", "page-reject.jpg");
    browser.press("Escape");
    take(&mut browser, PHONE, "dark", "page-phone.jpg");
    running.stop();
}
