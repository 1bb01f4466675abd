//! The operator's page in Debian's Chromium, against a line that really runs.
//!
//! Each test fails on whatever a console would show: an error, a warning, a refusal by the content security policy.

mod actions;
mod browser;
mod people;
mod pictures;

use std::{fmt::Write as _, path::Path, time::Duration};

use serde_json::Value;

use self::browser::{Browser, DESKTOP, PANEL, PHONE};
use crate::{
    service::{self, Running},
    support::{self, Scratch},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// How far what is seen may jump after the first paint.
const SHIFT_MAX: f64 = 0.02;
/// Notes what the browser itself tells only by events.
const WATCH: &str = "window.shifts = []; window.refused = [];\
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput)\
    shifts.push([entry.value, ...entry.sources.map((source) => source.node?.outerHTML?.slice(0, 90) ?? '')]); })\
    .observe({ type: 'layout-shift', buffered: true });\
    document.addEventListener('securitypolicyviolation', (event) =>\
    refused.push(`${event.violatedDirective} ${event.blockedURI}`));";
/// A frame's number stands on the page.
const IS_LIVE: &str = "Number(document.querySelector('.tile__frame')?.textContent) > 0";

/// The shipped model on the shipped clip, over and over: eight products, some of them defective.
fn demo_line(scratch: &Scratch) {
    std::fs::copy(Path::new(ROOT).join("models/demo.onnx"), scratch.path("model.onnx")).unwrap();
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [[camera]]\nname = \"belt\"\npreset = \"files\"\nloop = true\n\
             parameters = {{ location = \"{ROOT}/models/demo.webm\" }}\n"
        ),
    );
}

/// A browser that shows the page of that line.
fn shown(running: &Running, screen: browser::Screen, scheme: &str) -> Browser {
    running.until("it judges", |it| it.get("/readyz").0 == 200);
    let mut browser = Browser::start(screen);
    browser.before_pages(WATCH);
    browser.prefer(scheme);
    browser.open(&format!("http://{}/", running.address));
    browser.until(IS_LIVE);
    browser
}

/// Whether a canvas has a picture in its middle.
fn drawn(selector: &str) -> String {
    format!(
        "(() => {{ const canvas = document.querySelector({selector:?}); const spot = new OffscreenCanvas(1, 1);\
         const context = spot.getContext('2d', {{ willReadFrequently: true }});\
         context.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1);\
         return context.getImageData(0, 0, 1, 1).data[3] === 255; }})()"
    )
}

/// A picture that a more suspicious frame took the room of between the list and its loading; the page says "no picture" then.
const OVERTAKEN: &str = "/api/v1/calibration/pictures/";

/// Nothing was complained about.
fn is_clean(browser: &mut Browser) {
    browser.complaints.retain(|it| !(it.contains("404") && it.contains(OVERTAKEN)));
    assert_eq!(browser.complaints, Vec::<String>::new());
    assert_eq!(browser.value("refused"), Value::Array(Vec::new()));
}

/// Whether axe-core finds nothing wrong with what is seen now.
fn is_accessible(browser: &mut Browser, what: &str) {
    let path = Path::new(ROOT).join(".deps/page/axe.min.js");
    let axe = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; tools/install-page-checks", path.display()));
    browser.value(&format!("{axe};0"));
    let found = browser.value(
        "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }).then((result) =>\
         result.violations.flatMap((violation) => violation.nodes.map((node) =>\
         `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`)))",
    );
    assert_eq!(found, Value::Array(Vec::new()), "{what}");
}

#[test]
fn a_running_line_is_seen_live_at_three_sizes_in_light_and_dark() {
    let scratch = Scratch::new();
    demo_line(&scratch);
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "light");
    for (screen, scheme) in [
        (PANEL, "light"),
        (PANEL, "dark"),
        (PHONE, "light"),
        (PHONE, "dark"),
        (DESKTOP, "light"),
        (DESKTOP, "dark"),
    ] {
        let what = format!("{screen:?} {scheme}");
        browser.resize(screen);
        browser.prefer(scheme);
        browser.open(&format!("http://{}/", running.address));
        browser.until(IS_LIVE);
        // The picture is drawn, and goes on.
        browser.until(&drawn(".tile canvas"));
        let seen = browser.value("Number(document.querySelector('.tile__frame').textContent)");
        browser.until(&format!(
            "Number(document.querySelector('.tile__frame').textContent) > {seen} + 5"
        ));
        browser.until("document.getElementById('state-word').textContent === 'Judging'");
        browser.until("document.querySelectorAll('#charts figure').length > 0");
        browser.until("/^[0-9.]+ %$/.test(document.getElementById('figure-yield').textContent)");
        // A verdict has its word and its shape.
        let is_told = "(() => { const plate = document.querySelector('.tile .plate');\
            const words = { pass: 'Pass', fail: 'Reject', 'unknown-product': 'Unknown product', fault: 'Not judged' };\
            return words[plate.dataset.tone] === plate.querySelector('strong').textContent\
            && plate.querySelector('use').getAttribute('href') === `#shape-${plate.dataset.tone}`; })()";
        browser.until(is_told);
        let shifts = browser.value("shifts");
        let total: f64 = shifts.as_array().unwrap().iter().map(|it| it[0].as_f64().unwrap()).sum();
        assert!(total < SHIFT_MAX, "{what}: {shifts}");
        let over = browser.value("document.scrollingElement.scrollWidth - innerWidth");
        assert!(over.as_i64().unwrap() <= 0, "{what}: it scrolls sideways by {over}");
        let dark = browser.value("getComputedStyle(document.body).backgroundColor");
        assert_eq!(dark == "rgb(15, 21, 25)", scheme == "dark", "{what}: {dark}");
        is_accessible(&mut browser, &what);
        is_clean(&mut browser);
    }
    running.stop();
}

#[test]
fn many_alarms_leave_the_pictures_their_place_and_all_can_be_read() {
    let scratch = Scratch::new();
    service::line(&scratch);
    let mut text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    for number in 0..14 {
        write!(
            text,
            "[[camera]]\nname = \"gone{number}\"\npreset = \"rtsp\"\n\
             parameters = {{ location = \"rtsp://127.0.0.1:9/none\" }}\n"
        )
        .unwrap();
    }
    scratch.write("line.toml", text);
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "light");
    browser.until("document.querySelectorAll('.alarm').length === 14");
    let height = browser.value("document.getElementById('cameras').clientHeight");
    assert!(height.as_i64().unwrap() > 200, "{height} pixels are left for the pictures");
    browser.until("(() => { const list = document.getElementById('alarms');\
        list.scrollTop = list.scrollHeight; const last = list.lastElementChild.getBoundingClientRect();\
        return last.bottom <= innerHeight && last.top >= list.getBoundingClientRect().top; })()");
    is_accessible(&mut browser, "many alarms");
    is_clean(&mut browser);
    running.stop();
}

#[test]
fn the_colours_of_heat_are_those_of_the_overlays() {
    let scratch = Scratch::new();
    service::line(&scratch);
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "light");
    let table = browser.value(
        "import('/page/heat.js').then((heat) => Array.from({ length: 256 }, (_, value) =>\
         heat.colour(value / heat.LIMIT)))",
    );
    for (value, colour) in table.as_array().unwrap().iter().enumerate() {
        let part = |at: usize| colour[at].as_f64().unwrap();
        for grey in [0_u8, 100, 255] {
            let expected = bundle::heat::heated([grey; 3], value as f32 / 128.0);
            for (channel, expected) in expected.into_iter().enumerate() {
                let mixed = f64::from(grey) * (1.0 - part(3)) + part(channel) * part(3);
                assert!((mixed - f64::from(expected)).abs() <= 1.0, "{value} {grey} {channel}");
            }
        }
    }
    // A square above the limit has a closed line around it.
    let lines = browser.value(
        "import('/page/heat.js').then(({ outline }) => { const values = new Uint8Array(36);\
         for (const at of [14, 15, 20, 21]) values[at] = 255; return outline(values, 6, 6); })",
    );
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.len(), 8);
    for line in lines {
        let end = (line[2].clone(), line[3].clone());
        assert!(lines.iter().any(|other| (other[0].clone(), other[1].clone()) == end
            || (other != line && (other[2].clone(), other[3].clone()) == end)));
    }
    is_clean(&mut browser);
    running.stop();
}

#[test]
fn a_page_that_stands_still_says_so_until_the_station_is_back() {
    let scratch = Scratch::new();
    service::line(&scratch);
    // The same before and after.
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let port = support::free_port();
    scratch.write("line.toml", text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "dark");
    // A process that hangs keeps its connections open.
    service::signal(&running.child, "-STOP");
    let is_lost = "!document.getElementById('lost').hidden\
        && document.getElementById('state-word').textContent === 'No connection'";
    browser.until(is_lost);
    is_accessible(&mut browser, "without a connection");
    service::signal(&running.child, "-CONT");
    let is_back = "document.getElementById('lost').hidden\
        && document.getElementById('state-word').textContent === 'Judging'";
    browser.until(is_back);
    // One that has ended does not.
    running.stop();
    browser.until(is_lost);
    let running = Running::start(&scratch, &[]);
    browser.until(is_back);
    let seen = browser.value("document.querySelector('.tile__frame').textContent");
    browser.until(&format!("document.querySelector('.tile__frame').textContent !== {seen}"));
    assert_eq!(browser.value("refused"), Value::Array(Vec::new()));
    running.stop();
}

#[test]
fn the_keyboard_alone_reaches_everything() {
    let scratch = Scratch::new();
    service::line(&scratch);
    // Most parts are refused, so that there is something to walk over.
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch.write("line.toml", text.replace("rate = 0.02", "rate = 0.9"));
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "light");
    browser.until("document.querySelectorAll('.thumb').length > 3");
    // What moves under the fingers is another test's.
    running.mode("pause");
    browser.until("document.getElementById('state-word').textContent === 'Paused'");
    std::thread::sleep(Duration::from_secs(1));
    let wanted = "[...document.querySelectorAll('button, input, select')].filter((element) =>\
        element.checkVisibility() && !element.disabled && !element.closest('dialog, .login'))";
    browser.value("window.reached = new Set(); window.unseen = []; document.activeElement.blur()");
    let count = browser.value(&format!("{wanted}.length")).as_u64().unwrap();
    assert!(count > 10, "{count}");
    for _ in 0..2 * count {
        browser.press("Tab");
        browser.value(
            "(() => { const at = document.activeElement; reached.add(at); const style = getComputedStyle(at);\
             if (at !== document.body && (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2))\
             unseen.push(at.outerHTML.slice(0, 120)); return 0; })()",
        );
    }
    let missed = browser
        .value(&format!("{wanted}.filter((one) => !reached.has(one)).map((one) => one.outerHTML)"));
    assert_eq!(missed, Value::Array(Vec::new()), "never has the focus");
    assert_eq!(browser.value("unseen"), Value::Array(Vec::new()), "has it unseen");
    // Single keys, and a question that is answered by Tab and Enter.
    browser.value("document.activeElement.blur()");
    browser.press("?");
    browser.until("document.getElementById('help').open");
    browser.press("Escape");
    browser.until("!document.getElementById('help').open");
    browser.press("p");
    running.until("it runs again", |it| it.get("/readyz").0 == 200);
    browser.until("document.querySelector('[data-mode=run]').ariaPressed === 'true'");
    browser.press("m");
    browser.until("document.getElementById('ask').open");
    browser.press("Enter");
    browser.until("!document.getElementById('ask').open");
    assert_eq!(running.get("/readyz").0, 200, "the first answer changes nothing");
    browser.press("m");
    browser.until("document.getElementById('ask').open");
    browser.press("Tab");
    browser.press("Enter");
    running.until("it is worked at", |it| it.get("/readyz").1.starts_with("maintenance"));
    browser.press("r");
    browser.until("document.getElementById('reject').open");
    let title = browser.value("document.getElementById('reject-facts').textContent");
    browser.press("ArrowRight");
    browser.until(&format!("document.getElementById('reject-facts').textContent !== {title}"));
    browser.press("Escape");
    browser.until("!document.getElementById('reject').open");
    // Who types by voice or by mistake can switch single keys off.
    browser.press("?");
    browser.until("document.getElementById('help').open");
    browser.click("#keys-on");
    browser.press("Escape");
    browser.until("!document.getElementById('help').open");
    browser.press("h");
    assert_eq!(browser.value("document.getElementById('heat').value"), "100");
    is_clean(&mut browser);
    running.stop();
}
