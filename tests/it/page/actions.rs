//! Every action of the page is clicked, and its effect is seen in the API and in the ledger's events.

use serde_json::{Value, json};

use super::{
    browser::{Browser, PANEL},
    drawn, is_accessible, is_clean, shown,
};
use crate::{
    service::{self, Running},
    support::{Scratch, stdout},
};

/// A line with a recipe that refuses most good parts, and an alarm that stays: the wanted provider is not there.
fn line(scratch: &Scratch) {
    service::line(scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let more = "[engine]\nproviders = [\"cuda\", \"cpu\"]\nfall_back = true\n\
        [[recipe]]\nname = \"strict\"\nfalse_reject_rate = 0.9\n";
    scratch.write("line.toml", format!("{more}{text}"));
}

fn state(running: &Running) -> Value {
    serde_json::from_str(&running.get("/api/v1/state").1).unwrap()
}

/// Clicks, and answers the question that comes.
pub(super) fn confirm(browser: &mut Browser, selector: &str) {
    browser.click(selector);
    browser.until("document.getElementById('ask').open");
    is_accessible(browser, "a question");
    browser.click("#ask-yes");
    browser.until("!document.getElementById('ask').open");
}

/// An alarm is acknowledged, a recipe is taken back and then chosen.
fn sees_an_alarm_and_changes_a_recipe(running: &Running, browser: &mut Browser) {
    // An alarm, in plain words.
    browser.until("document.querySelectorAll('.alarm').length === 1");
    is_accessible(browser, "an alarm");
    browser.click(".alarm button");
    running
        .until("it is acknowledged", |it| state(it)["alarms"][0]["acknowledged"]["who"] == "local");
    browser.until(
        "document.querySelector('.alarm.is-seen')?.textContent.includes('seen by local') ?? false",
    );

    // A recipe: taken back first, then chosen.
    let choose = "(() => { const select = document.querySelector('.tile__recipe select'); select.value = 'strict';\
        select.dispatchEvent(new Event('change')); return 0; })()";
    browser.value(choose);
    browser.until("document.getElementById('ask').open");
    browser.click("#ask-no");
    browser.until("document.querySelector('.tile__recipe select').value === ''");
    assert_eq!(state(running)["cameras"][0]["recipe"], Value::Null);
    browser.value(choose);
    browser.until("document.getElementById('ask').open");
    browser.click("#ask-yes");
    running.until("it is chosen", |it| state(it)["cameras"][0]["recipe"] == "strict");
    browser.until("document.querySelector('.tile__recipe select').value === 'strict'");
}

/// The golden test, and the mode.
fn tests_and_stops(running: &Running, browser: &mut Browser) {
    // The golden test, and its answer.
    browser.click("#golden");
    browser.until("document.getElementById('toast').classList.contains('is-there')");

    // As many rejects as are kept.
    running.until("parts are refused", |it| {
        let rejects: Value = serde_json::from_str(&it.get("/api/v1/rejects").1).unwrap();
        rejects.as_array().unwrap().len() == 50
    });

    // Pause, maintenance, run.
    confirm(browser, "[data-mode=pause]");
    running.until("it pauses", |it| it.get("/readyz").1.starts_with("paused"));
    browser.until("document.querySelector('.tile .plate').textContent === 'Paused'");
    confirm(browser, "[data-mode=maintenance]");
    running.until("it is worked at", |it| it.get("/readyz").1.starts_with("maintenance"));
}

/// Good parts that were refused, until the page proposes to calibrate.
fn finds_false_rejects(running: &Running, browser: &mut Browser) {
    // A reject that was a good part. Nothing moves meanwhile.
    browser.until("document.querySelectorAll('.thumb').length > 0");
    browser.click(".thumb");
    browser.until("document.getElementById('reject').open");
    browser.until(&drawn("#reject-picture"));
    is_accessible(browser, "a reject");
    browser.click("#reject-false");
    browser.until("document.getElementById('reject-false').ariaPressed === 'true'");
    running.until("it is marked", |it| {
        let shift: Value = serde_json::from_str(&it.get("/api/v1/shift").1).unwrap();
        let mut lines = shift["lines"].as_array().unwrap().iter();
        lines.any(|line| line["false_rejects"] == 1)
    });
    browser.click("#reject-false");
    browser.until("document.getElementById('reject-false').ariaPressed === 'false'");
    browser.click("#reject [data-close]");

    // Many good parts refused: the page proposes to calibrate, and does it.
    let rejects: Value = serde_json::from_str(&running.get("/api/v1/rejects").1).unwrap();
    for row in rejects.as_array().unwrap().iter().skip(1).take(31) {
        let path = format!(
            "POST /api/v1/rejects/{}/{}/{}/false",
            row["camera"].as_str().unwrap(),
            row["epoch"],
            row["frame"]
        );
        let body = json!({ "is_false": true }).to_string();
        assert_eq!(running.request(&path, "Content-Type: application/json\r\n", &body).0, 200);
    }
    browser.click(".thumb");
    browser.until("document.getElementById('reject').open");
    browser.click("#reject-false");
    browser.until("document.querySelectorAll('.proposal button').length === 1");
    browser.click("#reject [data-close]");
    is_accessible(browser, "a proposal");
    confirm(browser, "[data-mode=run]");
    running.until("it judges again", |it| it.get("/readyz").0 == 200);
}

/// A calibration that is cancelled, and one that is finished.
fn calibrates(running: &Running, browser: &mut Browser) {
    browser.click(".proposal button");
    browser.until("document.getElementById('calibration').open");
    assert_eq!(browser.value("document.getElementById('calibration-product').value"), "wave");
    is_accessible(browser, "the form of a calibration");
    // Enough for the rate of 2 % with one frame taken out.
    browser.value("document.getElementById('calibration-count').focus()");
    browser.write("150");
    browser.click("#calibration-form .main");
    browser.until("!document.getElementById('calibration-progress').hidden");
    browser.click("#calibration-cancel");
    browser.until("document.getElementById('ask').open");
    browser.click("#ask-yes");
    browser.until("!document.getElementById('calibration').open");
    browser.until("document.getElementById('calibrate').textContent === 'Calibrate'");
    browser.click("#calibrate");
    browser.until("document.getElementById('calibration').open");
    browser.until("!document.getElementById('calibration-form').hidden");
    browser.click("#calibration-form .main");
    browser.until("document.querySelectorAll('#review li').length > 0");
    browser
        .until("document.getElementById('calibration-finish').textContent === 'Finish and use it'");
    is_accessible(browser, "frames to look at");
    browser.click("#review input");
    running.until("it is taken out", |it| {
        let status: Value = serde_json::from_str(&it.get("/api/v1/calibration").1).unwrap();
        let mut frames = status["for_review"].as_array().unwrap().iter();
        frames.any(|frame| frame["excluded"] == true)
    });
    browser.click("#calibration-finish");
    browser.until("document.getElementById('ask').open");
    browser.click("#ask-yes");
    browser.until("!document.getElementById('calibration').open");
}

#[test]
fn every_action_has_its_effect_and_is_in_the_audit_trail() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    let mut browser = shown(&running, PANEL, "light");
    sees_an_alarm_and_changes_a_recipe(&running, &mut browser);
    tests_and_stops(&running, &mut browser);
    finds_false_rejects(&running, &mut browser);
    calibrates(&running, &mut browser);
    assert!(scratch.path("model.calibration.json").exists());

    // What this browser remembers.
    browser.click("#theme");
    browser.click("#outline");
    browser.open(&format!("http://{}/", running.address));
    browser.until(super::IS_LIVE);
    assert_eq!(browser.value("document.documentElement.dataset.theme"), "dark");
    assert_eq!(browser.value("document.getElementById('outline').checked"), false);
    browser.click("#help-open");
    browser.until("document.getElementById('help').open");
    is_accessible(&mut browser, "the help");
    is_clean(&mut browser);
    running.stop();

    let told = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    for part in [
        "open to acknowledged",
        "none to strict",
        "golden-asked",
        "run to pause",
        "pause to maintenance",
        "maintenance to run",
        "good part of wave: no to yes",
        "good part of wave: yes to no",
        "calibration-started",
        "calibration-cancelled",
        "calibration-excluded",
        "calibration-finished",
    ] {
        let line = told.lines().find(|line| line.contains(part));
        assert!(line.is_some_and(|line| line.contains("local")), "{part} is not in {told}");
    }
}
