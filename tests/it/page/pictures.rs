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
    let take = |browser: &mut Browser, name: &str| {
        let into = Path::new(ROOT).join("docs").join(name);
        browser.picture(&into);
        assert!(std::fs::metadata(&into).unwrap().len() <= BYTES_MAX, "{name} is too large");
    };
    let settle = |browser: &mut Browser, screen: Screen, scheme: &str| {
        browser.resize(screen);
        browser.prefer(scheme);
        std::thread::sleep(Duration::from_secs(2));
    };
    let is_refused = "document.querySelector('.tile .plate').dataset.tone === 'fail'\
        && document.querySelectorAll('.thumb[data-tone=fail]').length > 3";
    let mut browser = shown(&running, PANEL, "light");
    // Two laps of the clip, so that every product has been there.
    browser.until("document.querySelectorAll('#charts figure').length === 8");
    browser.until("Number(document.getElementById('figure-passed').textContent) > 300");
    browser.until(is_refused);
    take(&mut browser, "page-panel.jpg");
    settle(&mut browser, PANEL, "dark");
    browser.until(is_refused);
    browser.value("document.querySelector('.thumb[data-tone=fail]').click()");
    std::thread::sleep(Duration::from_secs(1));
    take(&mut browser, "page-reject.jpg");
    browser.press("Escape");
    settle(&mut browser, PHONE, "dark");
    browser.until("document.querySelector('.tile .plate').dataset.tone === 'pass'");
    take(&mut browser, "page-phone.jpg");
    running.stop();
}
