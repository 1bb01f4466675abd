//! What people do to a running line: each action has its effect, its refusals, and its place in the audit trail.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    service::{self, Running},
    support::{Scratch, stderr, stdout},
};

const JSON: &str = "Content-Type: application/json\r\n";

/// A line with recipes, and an alarm that stays: the wanted provider is not there.
fn line(scratch: &Scratch) {
    service::line(scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let more = "[engine]\nproviders = [\"cuda\", \"cpu\"]\nfall_back = true\n\
        [[recipe]]\nname = \"loose\"\nfalse_reject_rate = 0.05\n\
        [[recipe]]\nname = \"tight\"\nfalse_reject_rate = 0.0001\n\
        [[recipe]]\nname = \"cups\"\nproducts = [\"cup\"]\n";
    scratch.write("line.toml", format!("{more}{text}"));
}

impl Running {
    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        self.request(&format!("POST {path}"), JSON, &body.to_string())
    }

    fn done(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.post(path, body);
        assert_eq!(status, 200, "{path} {body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The camera in the state.
    fn top(&self) -> Value {
        self.json("/api/v1/state")["cameras"][0].clone()
    }

    fn judged(&self) -> i64 {
        self.metric("sightline_frames_judged_total{camera=\"top\"}")
    }

    /// Until so many more frames are judged.
    fn judge(&self, frames: i64) {
        let from = self.judged();
        self.until("frames are judged", |it| it.judged() >= from + frames);
    }

    fn ready(&self) {
        self.until("it runs", |it| it.get("/readyz").0 == 200);
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn nothing_is_changed_while_the_station_stops_for_no_audit_trail_would_have_it() {
    let scratch = Scratch::new();
    service::line(&scratch);
    let mut running = Running::start(&scratch, &[]);
    running.ready();
    assert_eq!(running.mode("pause").0, 200);
    // Somebody holds the ledger: it cannot be closed yet.
    running.until("it is written", |_| !events(&scratch, "mode").is_empty());
    let other = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    service::signal(&running.child, "-TERM");
    running.until("it stops", |it| it.get("/readyz").1.contains("stopping"));
    assert_eq!(running.mode("run"), (503, "the station is stopping\n".into()));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(running.child.wait().unwrap().success());
    let changes = events(&scratch, "mode");
    assert!(changes.len() == 1 && changes[0].contains("run to pause"), "{changes:?}");
}

/// The events of a kind, the oldest first: who, subject and detail.
fn events(scratch: &Scratch, kind: &str) -> Vec<String> {
    let told = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    let mut lines: Vec<String> =
        told.lines().filter(|line| line.contains(&format!(" {kind} "))).map(Into::into).collect();
    lines.reverse();
    lines
}

/// Every row of the ledger, by frame.
fn rows(scratch: &Scratch) -> Vec<Value> {
    let told = scratch.run(&["ledger", "export", "ledger.db", "--format", "json"]);
    assert!(told.status.success(), "{}", stderr(&told));
    stdout(&told).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verify(scratch: &Scratch) {
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}{}", stdout(&verified), stderr(&verified));
}

#[test]
fn an_alarm_is_acknowledged_once_by_whoever_was_first() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.ready();
    let state = running.json("/api/v1/state");
    assert_eq!((&state["state"], &state["providers"]), (&json!("degraded"), &json!(["cpu"])));
    assert_eq!(state["model"]["name"], "tiny");
    assert_eq!(state["products"], json!(["wave"]));
    let alarm = &state["alarms"][0];
    assert_eq!((&alarm["id"], &alarm["acknowledged"]), (&json!("provider"), &Value::Null));
    assert!(alarm["remedy"].as_str().unwrap().contains("engineer"), "{alarm}");
    let acknowledge = "/api/v1/alarms/provider/acknowledge";
    let first = running.done(acknowledge, &json!({}));
    assert_eq!(first["acknowledged"]["who"], "local");
    assert_eq!(first["since"], alarm["since"]);
    assert_eq!(running.done(acknowledge, &json!({})), first);
    assert_eq!(running.json("/api/v1/state")["alarms"][0], first);
    assert_eq!(running.post("/api/v1/alarms/camera.top/acknowledge", &json!({})).0, 404);
    assert_eq!(running.post("/api/v1/alarms/..%2f..%2fetc/acknowledge", &json!({})).0, 404);
    running.stop();
    let told = events(&scratch, "acknowledged");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["local", "provider", "open to acknowledged"] {
        assert!(told[0].contains(part), "{told:?}");
    }
}

#[test]
fn a_recipe_changes_between_two_frames_and_outlasts_any_end() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.ready();
    let top = running.top();
    assert_eq!(top["recipe"], Value::Null);
    assert_eq!(top["recipes"], json!(["loose", "tight", "cups"]));
    assert_eq!((&top["products"], &top["is_up"]), (&json!(["wave"]), &json!(true)));
    let path = "/api/v1/cameras/top/recipe";
    running.judge(5);
    let chosen = running.done(path, &json!({ "recipe": "loose" }));
    assert_eq!(
        chosen,
        json!({ "camera": "top", "recipe": "loose", "before": null, "is_kept": true, "text": null })
    );
    running.judge(5);
    // Refused with the reason, and nothing has changed.
    for (recipe, reason) in
        [("tight", "needs"), ("cups", "knows no product"), ("caps", "it has loose")]
    {
        let (status, text) = running.post(path, &json!({ "recipe": recipe }));
        assert!(status == 422 && text.contains(reason), "{status} {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(running.top()["recipe"], "loose");
    // Once more is no change.
    assert_eq!(running.done(path, &json!({ "recipe": "loose" }))["before"], "loose");
    // It holds after a reload, and after any end.
    assert_eq!(running.post("/api/v1/reload", &json!({})).0, 202);
    running.until("it is reloaded", |_| !events(&scratch, "model").is_empty());
    running.judge(5);
    running.kill();
    let running = Running::start(&scratch, &[]);
    running.ready();
    running.judge(5);
    assert_eq!(running.top()["recipe"], "loose");
    running.done(path, &json!({ "recipe": null }));
    running.judge(5);
    running.stop();
    verify(&scratch);
    let changes: Vec<Vec<f64>> = runs(&rows(&scratch));
    assert_eq!(changes, [vec![0.02, 0.05], vec![0.05, 0.02]]);
    let told = events(&scratch, "recipe");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("none to loose") && told[1].contains("loose to none"), "{told:?}");
    assert!(told.iter().all(|line| line.contains("local") && line.contains("top")), "{told:?}");
}

/// The rates that verdicts of each numbering rest on, in their order, without repetitions.
fn runs(rows: &[Value]) -> Vec<Vec<f64>> {
    let mut runs: Vec<(i64, Vec<f64>)> = Vec::new();
    for row in rows {
        let (Some(epoch), Some(rate)) = (row["epoch"].as_i64(), row["reject_rate"].as_f64()) else {
            continue;
        };
        if runs.last().is_none_or(|(last, _)| *last != epoch) {
            runs.push((epoch, Vec::new()));
        }
        let rates = &mut runs.last_mut().unwrap().1;
        if rates.last() != Some(&rate) {
            rates.push(rate);
        }
    }
    runs.into_iter().map(|(_, rates)| rates).collect()
}

#[test]
fn parts_begin_and_end_with_a_recipe() {
    let scratch = Scratch::new();
    line(&scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    // At 50 frames a second the second of two comes after 20 ms, the next part's first after 40.
    let pairs = "[[recipe]]\nname = \"pairs\"\npart = { frames = 2, fails = 1, within_ms = 30 }\n";
    let text = text.replace("framerate=30/1", "framerate=50/1");
    scratch.write("line.toml", format!("{pairs}{text}overflow = \"every\"\n"));
    let running = Running::start(&scratch, &[]);
    running.ready();
    let path = "/api/v1/cameras/top/recipe";
    running.judge(5);
    running.done(path, &json!({ "recipe": "pairs" }));
    running.judge(12);
    running.done(path, &json!({ "recipe": null }));
    running.judge(12);
    running.stop();
    verify(&scratch);
    let told =
        scratch.run(&["ledger", "export", "ledger.db", "--format", "json", "--rows", "parts"]);
    let parts: Vec<Value> =
        stdout(&told).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(parts.len() >= 5, "{parts:?}");
    let number = |part: &Value, field: &str| part[field].as_u64().unwrap();
    let mut next = number(&parts[0], "first_frame");
    for part in &parts {
        assert_eq!(number(part, "first_frame"), next, "{part}");
        next = number(part, "last_frame") + 1;
    }
    let frames = rows(&scratch);
    let numbers: Vec<u64> = frames.iter().map(|row| number(row, "frame")).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(next < numbers.len() as u64, "the last frames are of no part");
}

#[test]
fn a_choice_that_cannot_be_kept_holds_and_says_so() {
    let path = "/api/v1/cameras/top/recipe";
    for keeps in [false, true] {
        let scratch = Scratch::new();
        line(&scratch);
        let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
        let reason = if keeps {
            // Something is in the way.
            std::fs::create_dir(scratch.path("ledger.recipes.json")).unwrap();
            "cannot be kept"
        } else {
            scratch.write("line.toml", text.replace("[ledger]\npath = \"ledger.db\"\n", ""));
            "without [ledger] path"
        };
        let running = Running::start(&scratch, &[]);
        running.ready();
        let chosen = running.done(path, &json!({ "recipe": "loose" }));
        assert_eq!(chosen["is_kept"], false, "{chosen}");
        assert!(chosen["text"].as_str().unwrap().contains(reason), "{chosen}");
        assert_eq!(running.top()["recipe"], "loose");
        assert_eq!(running.json("/api/v1/shift")["from_ledger"], keeps);
        running.stop();
    }
}

#[test]
fn the_service_managers_folder_keeps_what_was_chosen() {
    let scratch = Scratch::new();
    line(&scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch.write("line.toml", text.replace("[ledger]\npath = \"ledger.db\"\n", ""));
    std::fs::create_dir(scratch.path("state")).unwrap();
    let folder = scratch.path("state");
    let environment = [("STATE_DIRECTORY", folder.to_str().unwrap())];
    let running = Running::start(&scratch, &environment);
    running.ready();
    let body = json!({ "recipe": "loose" });
    assert_eq!(running.done("/api/v1/cameras/top/recipe", &body)["is_kept"], true);
    // At once after the answer.
    running.kill();
    let running = Running::start(&scratch, &environment);
    running.ready();
    assert_eq!(running.top()["recipe"], "loose");
    running.stop();
}

#[test]
fn every_recipe_that_may_be_chosen_is_checked_beforehand() {
    let scratch = Scratch::new();
    line(&scratch);
    let checked = scratch.run(&["check", "line.toml"]);
    let told = stdout(&checked);
    for line in [
        "ok      judge of camera top: ",
        "ok      judge of camera top by recipe loose: ",
        "FAILED  judge of camera top by recipe tight: product \"wave\" has 99 calibration frames",
        "FAILED  judge of camera top by recipe cups: the model knows no product \"cup\"",
    ] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
}

#[test]
fn a_choice_that_the_configuration_no_longer_knows_is_told_and_ignored() {
    let scratch = Scratch::new();
    line(&scratch);
    scratch.write("ledger.recipes.json", "{\"top\": \"gone\", \"side\": \"loose\"}");
    let running = Running::start(&scratch, &[]);
    running.ready();
    assert_eq!(running.top()["recipe"], Value::Null);
    running.stop();
    let told = events(&scratch, "recipe-dropped");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|line| line.contains("top") && line.contains("gone")), "{told:?}");
    scratch.write("ledger.recipes.json", "{\"top\": ");
    let mut child = scratch.command(&["run", "line.toml"]);
    let child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("ledger.recipes.json cannot be read")));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    // What it still says must find a reader.
    let rest: Vec<String> = told.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}

#[test]
fn false_rejects_are_marked_once_and_known_after_a_restart() {
    let scratch = Scratch::new();
    line(&scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch.write("line.toml", text.replace("rate = 0.02", "rate = 0.98"));
    let running = Running::start(&scratch, &[]);
    running.ready();
    let epoch = running.top()["epoch"].as_u64().unwrap();
    // At that rate nearly every good part is refused.
    let rejects = || -> Vec<u64> {
        let is_reject =
            |row: &&Value| row["decision"] == "fail" || row["decision"] == "unknown-product";
        rows(&scratch).iter().filter(is_reject).map(|row| row["frame"].as_u64().unwrap()).collect()
    };
    running.until("parts are refused", |_| rejects().len() > 40);
    let rejects = rejects();
    let mark = |it: &Running, frame: u64, is_false: bool| {
        let path = format!("/api/v1/rejects/top/{epoch}/{frame}/false");
        it.post(&path, &json!({ "is_false": is_false }))
    };
    let marked = |it: &Running| -> u64 {
        let shift = it.json("/api/v1/shift");
        let lines = shift["lines"].as_array().unwrap().iter();
        lines.map(|line| line["false_rejects"].as_u64().unwrap()).sum()
    };
    running.until("the ledger is read", |it| it.json("/api/v1/shift")["from_ledger"] == true);
    assert_eq!(mark(&running, rejects[2], true).0, 200);
    assert_eq!(mark(&running, rejects[2], true).0, 200);
    assert_eq!(marked(&running), 1);
    assert_eq!(mark(&running, rejects[2], false).0, 200);
    assert_eq!(mark(&running, rejects[2], false).0, 200);
    assert_eq!(marked(&running), 0);
    assert_eq!(running.json("/api/v1/proposals"), json!([]));
    for frame in &rejects[..31] {
        assert_eq!(mark(&running, *frame, true).0, 200);
    }
    assert_eq!(mark(&running, 1_000_000, true).0, 404);
    let proposals = running.json("/api/v1/proposals");
    assert_eq!(
        (&proposals[0]["camera"], &proposals[0]["product"]),
        (&json!("top"), &json!("wave"))
    );
    assert!(proposals[0]["text"].as_str().unwrap().contains("Calibrate wave anew"), "{proposals}");
    running.judge(10);
    running.kill();
    let running = Running::start(&scratch, &[]);
    running.ready();
    running.until("the ledger is read", |it| it.json("/api/v1/shift")["from_ledger"] == true);
    assert_eq!(marked(&running), 31);
    assert_eq!(running.json("/api/v1/proposals"), proposals);
    // By the ledger alone, for the process has not seen it.
    assert_eq!(mark(&running, rejects[30], false).0, 200);
    assert_eq!(mark(&running, rejects[31], true).0, 200);
    assert_eq!(marked(&running), 31);
    running.stop();
    verify(&scratch);
    let told = events(&scratch, "false-reject");
    assert_eq!(told.len(), 1 + 1 + 31 + 2, "{told:?}");
    assert!(told[0].contains(&format!("top/{epoch}/{}", rejects[2])), "{told:?}");
    assert!(told[0].contains("good part of wave: no to yes"), "{told:?}");
    assert!(told[1].contains("good part of wave: yes to no"), "{told:?}");
}

#[test]
fn the_shift_counts_what_was_judged_before_and_after_a_restart() {
    let scratch = Scratch::new();
    line(&scratch);
    let counted = |it: &Running| -> i64 {
        let shift = it.json("/api/v1/shift");
        let line = |line: &Value| -> i64 {
            let words = ["passed", "failed", "unknown", "faulted"];
            words.iter().map(|word| line[*word].as_i64().unwrap()).sum()
        };
        shift["lines"].as_array().unwrap().iter().map(line).sum()
    };
    let mut before = 0;
    for _ in 0..2 {
        let running = Running::start(&scratch, &[]);
        running.ready();
        running.judge(20);
        running.until("the ledger is read", |it| it.json("/api/v1/shift")["from_ledger"] == true);
        running.mode("pause");
        running.until("nothing is in flight", |it| {
            it.metric("sightline_frames_in_flight{camera=\"top\"}") == 0
        });
        let judged = running.judged();
        assert_eq!(counted(&running), before + judged);
        before += judged;
        running.stop();
    }
    let verdicts = rows(&scratch).iter().filter(|row| row["disposition"] == "judged").count();
    assert_eq!(verdicts as i64, before);
}

#[test]
fn what_is_no_action_is_refused_with_one_line() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.ready();
    let recipe = "POST /api/v1/cameras/top/recipe";
    let reject = "POST /api/v1/rejects/top/1/1/false";
    for (first, headers, body, expected) in [
        (recipe, JSON, "{}", 422),
        (recipe, JSON, "{\"recipe\":1}", 422),
        (recipe, JSON, "{\"recipe\":\"loose\",\"for\":1}", 422),
        (recipe, JSON, "{\"recipe\":", 400),
        (recipe, "", "{\"recipe\":\"loose\"}", 415),
        ("POST /api/v1/cameras/side/recipe", JSON, "{\"recipe\":\"loose\"}", 404),
        ("GET /api/v1/cameras/top/recipe", "", "", 405),
        (reject, JSON, "{\"is_false\":\"yes\"}", 422),
        (reject, JSON, "{}", 422),
        (reject, "", "{\"is_false\":true}", 415),
        ("POST /api/v1/rejects/top/1/-1/false", JSON, "{\"is_false\":true}", 400),
        ("POST /api/v1/rejects/top/1/x/false", JSON, "{\"is_false\":true}", 400),
        ("POST /api/v1/rejects/top/99/1/false", JSON, "{\"is_false\":true}", 404),
        ("POST /api/v1/alarms/provider/acknowledge", JSON, "{\"who\":\"me\"}", 422),
        ("POST /api/v1/shift", JSON, "{}", 405),
        ("POST /api/v1/proposals", JSON, "{}", 405),
    ] {
        let (status, text) = running.request(first, headers, body);
        assert_eq!(status, expected, "{first} {body} {text}");
        assert!(text.lines().count() <= 1, "{first} {body} {text}");
    }
    assert_eq!(running.top()["recipe"], Value::Null);
    running.stop();
    for kind in ["recipe", "false-reject", "acknowledged"] {
        assert_eq!(events(&scratch, kind), Vec::<String>::new());
    }
}

#[test]
fn every_route_is_in_the_openapi_document_and_answers() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.ready();
    let document = running.json("/api/v1/openapi.json");
    assert_eq!(document["info"]["title"], "Sightline");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no sentence");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            if method == "post" {
                let body =
                    &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                let name = body.as_str().unwrap().rsplit('/').next().unwrap();
                let schema = &document["components"]["schemas"][name];
                for (field, what) in schema["properties"].as_object().into_iter().flatten() {
                    assert!(what["description"].is_string(), "{name}.{field} is not explained");
                }
            }
            let filled = path
                .replace("{camera}", "none")
                .replace("{epoch}", "1")
                .replace("{frame}", "1")
                .replace("{file}", "frame.jpg")
                .replace("{collection}", "1")
                .replace("{id}", "1");
            assert!(!filled.contains('{'), "{path}");
            if path == "/api/v1/live" {
                // Its answer goes on for as long as somebody listens.
                continue;
            }
            // As nobody may send it: the route is there, and refuses.
            let (status, text) =
                running.request(&format!("{} {filled}", method.to_uppercase()), "", "");
            // A route that is not there has no words for it.
            let is_there = match method.as_str() {
                "post" => status == 415,
                _ => status == 200 || ([400, 404].contains(&status) && !text.is_empty()),
            };
            assert!(is_there, "{method} {path}: {status} {text}");
        }
    }
    running.stop();
}
