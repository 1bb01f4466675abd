//! Who comes in by the page: the form, what a role may see and do, and the way out.

use super::{
    IS_LIVE, WATCH,
    actions::confirm,
    browser::{Browser, PANEL},
    is_accessible, is_clean,
};
use crate::{
    access,
    service::Running,
    support::{Scratch, stdout},
};

fn log_in(browser: &mut Browser, name: &str, password: &str) {
    browser.until("!document.getElementById('login').hidden");
    browser.value("document.getElementById('login-name').value = ''");
    browser.click("#login-name");
    browser.write(name);
    browser.click("#login-password");
    browser.write(password);
    browser.click("#login-form button");
}

fn sees(browser: &mut Browser, id: &str, expected: bool) {
    browser.until(&format!("document.getElementById({id:?}).hidden === {}", !expected));
}

#[test]
fn a_person_logs_in_sees_what_the_role_may_and_is_out_again() {
    let scratch = Scratch::new();
    access::user(&scratch, "vic", "viewer");
    access::user(&scratch, "oda", "operator");
    access::line(&scratch, "listen = \"127.0.0.1:0\"\nusers = \"users.toml\"");
    let running = Running::start(&scratch, &[]);
    running.until("it judges", |it| it.get("/readyz").0 == 200);
    let mut browser = Browser::start(PANEL);
    browser.before_pages(WATCH);
    browser.open(&format!("http://{}/", running.address));
    browser.until("document.getElementById('login')?.hidden === false");
    browser.until("document.querySelectorAll('.tile').length === 0");
    is_accessible(&mut browser, "the form");
    log_in(&mut browser, "vic", "not vic's");
    browser.until("document.getElementById('login-wrong').textContent.includes('password')");
    is_accessible(&mut browser, "a wrong password");
    // Chromium itself writes down the one refusal.
    assert!(browser.complaints.iter().all(|line| line.contains("401")), "{:?}", browser.complaints);
    browser.complaints.clear();

    // Passwords are what `access::user` makes of names.
    log_in(&mut browser, "vic", "vicvicvic");
    browser.until(IS_LIVE);
    browser.until("document.getElementById('who').textContent === 'vic, viewer'");
    for id in ["modes", "golden", "calibrate"] {
        sees(&mut browser, id, false);
    }
    browser.click("#log-out");
    log_in(&mut browser, "oda", "odaodaoda");
    browser.until("document.getElementById('who').textContent === 'oda, operator'");
    for (id, expected) in [("modes", true), ("golden", true), ("calibrate", false)] {
        sees(&mut browser, id, expected);
    }
    confirm(&mut browser, "[data-mode=pause]");
    running.until("it pauses", |it| it.get("/readyz").1.starts_with("paused"));
    is_clean(&mut browser);
    browser.click("#log-out");
    browser.until("!document.getElementById('login').hidden");
    drop(browser);
    running.stop();
    let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    for (who, kind) in [("vic", "login"), ("vic", "logout"), ("oda", "mode"), ("oda", "logout")] {
        let is_told = events.lines().any(|line| line.contains(who) && line.contains(kind));
        assert!(is_told, "{who} {kind}: {events}");
    }
}
