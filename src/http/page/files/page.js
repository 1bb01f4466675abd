// The operator's page: wires the station's interface to what is shown. Owns who may see which button, the mode, alarms,
// the shift, and the keyboard. The parts of the page are modules beside it.

import * as api from "./page/api.js";
import { Calibration } from "./page/calibration.js";
import { arrange, Tile } from "./page/camera.js";
import { make, remember, remembered, reshape, say, shape, the } from "./page/dom.js";
import { Rejects } from "./page/rejects.js";
import { Trend } from "./page/trend.js";
import { ago, clock, day, percent, sentence, shiftOf, stateWords, whole } from "./page/words.js";

const ROLES = ["viewer", "operator", "engineer"];
/** Proposals change seldom: asked for after a mark, and so often. */
const PROPOSALS_EVERY_MS = 30_000;
const TOAST_MS = 6_000;
const REFRESH_AFTER_MS = 10_000;

let who = null;
let station = null;
let alone = null;
let trendOf = null;
const tiles = new Map();

const may = (role) => who !== null && ROLES.indexOf(who.role) >= ROLES.indexOf(role);
const look = () => ({ opacity: Number(the("heat").value) / 100, hasOutline: the("outline").checked });

// What is told for a moment, and what is asked first.

let toastTimer = null;
function toast(line) {
  say(the("toast"), line);
  the("toast").classList.add("is-there");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => the("toast").classList.remove("is-there"), TOAST_MS);
}

/** Ends the question that is open. Not the dialogue's own `close`, which comes late: it would answer the next question. */
let answer = () => {};

/** Asks a person; resolves to whether it is wanted. */
function confirm(title, text, yes) {
  const dialog = the("ask");
  say(the("ask-title"), title);
  say(the("ask-text"), text);
  say(the("ask-yes"), yes);
  dialog.showModal();
  the("ask-no").focus();
  return new Promise((resolve) => {
    answer(false);
    answer = resolve;
  });
}
for (const [id, isWanted] of [["ask-yes", true], ["ask-no", false]]) {
  the(id).addEventListener("click", () => {
    the("ask").close();
    answer(isWanted);
  });
}
the("ask").addEventListener("cancel", () => answer(false));
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

/** Does something; a refusal is told. */
async function attempt(path, body, done) {
  try {
    await api.post(path, body);
    if (done) toast(done);
    return true;
  } catch (refused) {
    toast(sentence(refused.message));
    return false;
  }
}

const rejects = new Rejects(look, () => askProposals());
const trend = new Trend(the("charts"));
const calibration = new Calibration(confirm, toast);

// State of the station.

function showState(state) {
  rejects.setArchive(state.has_archive);
  station = state;
  document.body.classList.remove("is-waiting");
  const { word, tone, shape: drawn, line } = stateWords(state.state);
  const alarms = state.alarms ?? [];
  setState(tone, drawn, word, wrongLine(alarms, state.troubles ?? []) ?? line);
  for (const button of the("modes").children) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === state.mode));
  }
  showAlarms(alarms);
  showCameras(state);
  if (state.shift) showShift(state.shift);
  const model = state.model;
  const judged = model ? `Model ${model.name} ${model.version}, on ${(state.providers ?? []).join(", ")}.` : "";
  say(the("about"), [judged, brokerLine(state.broker)].filter(Boolean).join(" "));
}

/** How a broker is told, in a sentence; `null` without one. */
function brokerLine(broker) {
  if (!broker) return null;
  const waiting = broker.backlog_frames > 0 ? `, ${whole(broker.backlog_frames)} frames wait` : "";
  if (broker.trouble) return `Broker ${broker.address}${waiting}: ${sentence(broker.trouble)}`;
  return `Broker ${broker.address}: ${broker.is_connected ? "connected" : "not connected"}${waiting}.`;
}

/** What is wrong, in a few words: the alarms themselves stand below in full. `null` when nothing is. */
function wrongLine(alarms, troubles) {
  if (alarms.length === 0) return troubles.length > 0 ? sentence(troubles.join("; ")) : null;
  const unseen = alarms.filter((alarm) => !alarm.acknowledged).length;
  const count = alarms.length === 1 ? "One alarm" : `${alarms.length} alarms`;
  return unseen === 0 ? `${count}, seen.` : unseen === alarms.length ? `${count}.` : `${count}, ${unseen} not seen.`;
}

function setState(tone, drawn, word, line) {
  const plate = the("state");
  plate.dataset.tone = tone;
  reshape(plate.querySelector("svg"), drawn);
  say(the("state-word"), word);
  say(the("state-line"), line);
  const title = `${word} – Sightline`;
  if (document.title !== title) document.title = title;
}

function showAlarms(alarms) {
  const list = the("alarms");
  // Told again only when something differs: a reader of screens would read it all once more.
  const key = JSON.stringify([alarms, may("operator")]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const focused = document.activeElement?.dataset?.alarm;
  list.replaceChildren(...alarms.map(alarmRow));
  // What scrolls can be scrolled by keys.
  if (list.scrollHeight > list.clientHeight) list.tabIndex = 0;
  else list.removeAttribute("tabindex");
  if (focused) list.querySelector(`[data-alarm="${CSS.escape(focused)}"]`)?.focus();
}

function alarmRow(alarm) {
  const seen = alarm.acknowledged;
  const acknowledge = make("button", {
    type: "button", "data-alarm": alarm.id, "aria-label": `Acknowledge: ${alarm.text}`,
    onclick: () => attempt(`/alarms/${encodeURIComponent(alarm.id)}/acknowledge`, {}, "Acknowledged."),
  }, "Acknowledge");
  return make("div", { class: seen ? "alarm is-seen" : "alarm" }, shape("fault"),
    make("p", {}, make("strong", {}, sentence(alarm.text)), " ", make("span", {}, alarm.remedy ? sentence(alarm.remedy) : "")),
    make("span", { class: "alarm__since" }, `since ${clock(alarm.since)}`),
    seen ? make("span", { class: "alarm__who" }, `seen by ${seen.who}, ${clock(seen.time)}`) : may("operator") ? acknowledge : null);
}

function showCameras(state) {
  const names = state.cameras.map((camera) => camera.camera);
  if (names.length !== tiles.size || names.some((name) => !tiles.has(name))) {
    tiles.clear();
    for (const name of names) tiles.set(name, new Tile(name, look, { open: toggleAlone, recipe: chooseRecipe }));
    the("cameras").replaceChildren(...[...tiles.values()].map((tile) => tile.element));
    the("trend-camera").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    the("trend-pick").hidden = names.length < 2;
    say(the("cameras-title"), names.length === 1 ? "Camera" : "Cameras");
    showAlone(names.includes(alone) ? alone : null);
    loadTrends();
  }
  for (const camera of state.cameras) tiles.get(camera.camera).setCamera(camera, state.state, may("operator"));
  const products = [...new Set([...(state.products ?? []), ...state.cameras.flatMap((camera) => camera.products ?? [])])].sort();
  calibration.setStation(names, products);
}

function showShift(shift) {
  const all = shiftOf(shift.lines);
  say(the("figure-yield"), all.yield === null ? "–" : percent(all.yield));
  say(the("figure-rejected"), whole(all.rejected));
  say(the("figure-passed"), whole(all.passed));
  say(the("shift-since"), `since ${day(shift.since)}`);
  const products = new Map();
  for (const line of shift.lines) {
    const name = line.product ?? "not recognised";
    products.set(name, [...(products.get(name) ?? []), line]);
  }
  const rows = [...products].map(([name, lines]) => [name, shiftOf(lines)]).filter(([, sums]) => sums.parts > 0)
    .sort(([one], [other]) => one.localeCompare(other));
  const key = JSON.stringify(rows);
  if (the("shift").dataset.key === key) return;
  the("shift").dataset.key = key;
  the("shift").replaceChildren(...rows.map(([name, sums]) => make("tr", {}, make("th", { scope: "row" }, name),
    ...[whole(sums.parts), whole(sums.rejected), percent(sums.yield)].map((text) => make("td", {}, text)))));
}

// Cameras: all of them, or one alone.

function showAlone(name) {
  alone = tiles.size > 1 ? name : null;
  arrange(tiles, alone);
  the("all-cameras").hidden = alone === null;
  trendOf = alone ?? (tiles.has(trendOf) ? trendOf : [...tiles.keys()][0]);
  the("trend-camera").value = trendOf;
  the("trend-pick").hidden = tiles.size < 2 || alone !== null;
}

function toggleAlone(name) {
  const before = trendOf;
  showAlone(alone === name ? null : name);
  if (trendOf !== before) loadTrend(trendOf);
}

const trends = new Map();

/** The past of every camera: its charts, and the row of marks of its tile. */
function loadTrends() {
  return Promise.all([...tiles.keys()].map(loadTrend));
}

async function loadTrend(camera) {
  try {
    const { products } = await api.get(`/trend?camera=${encodeURIComponent(camera)}`);
    trends.set(camera, products);
    if (camera === trendOf) trend.reset(products);
    const parts = Object.values(products).flat().sort((one, other) => (one.time < other.time ? -1 : 1));
    tiles.get(camera)?.forgetParts();
    tiles.get(camera)?.addParts(parts.slice(-40));
  } catch {
    // The charts begin with what comes.
  }
}

/** Points of several cameras and products, in the order in which they were judged. */
function addPoints(points) {
  for (const [camera, own] of Object.entries(Object.groupBy(points, (point) => point.camera))) {
    // A part of no known product, and one that nobody judged, has no trend.
    const known = own.filter((point) => point.product !== null);
    if (camera === trendOf) trend.add(Object.groupBy(known, (point) => point.product));
    tiles.get(camera)?.addParts(own);
  }
}

// Actions.

const QUESTIONS = {
  pause: ["Pause the station", "Parts that pass are not judged until somebody presses Run.", "Pause"],
  maintenance: ["Begin maintenance", "Nothing is judged until somebody presses Run.", "Begin"],
  run: ["End the maintenance", "Somebody works at this station. Is the place clear?", "Run"],
};

async function setMode(mode) {
  if (!station || mode === station.mode || !may("operator")) return;
  const isAsked = mode !== "run" || station.mode === "maintenance";
  if (isAsked && !(await confirm(...QUESTIONS[mode]))) return;
  await attempt("/mode", { mode });
}

async function chooseRecipe(camera, recipe, takeBack) {
  const by = recipe ? `the recipe ${recipe}` : "its own settings";
  const isWanted = await confirm(`Recipe of ${camera}`, `From now on ${camera} judges by ${by}.`, "Change it");
  const path = `/cameras/${encodeURIComponent(camera)}/recipe`;
  if (!isWanted || !(await attempt(path, { recipe: recipe || null }, `${sentence(camera).slice(0, -1)} judges by ${by}.`))) takeBack();
}

async function golden() {
  if (!may("operator")) return;
  await attempt("/golden", {}, "The golden test runs between two parts. An alarm appears here when it fails.");
}

async function askProposals() {
  let proposals;
  try {
    proposals = await api.get("/proposals");
  } catch {
    return;
  }
  const list = the("proposals");
  const key = JSON.stringify([proposals, may("engineer")]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...proposals.map(({ camera, product, text }) => make("div", { class: "proposal" },
    make("p", {}, sentence(text)),
    may("engineer")
      ? make("button", { type: "button", onclick: () => calibration.open(camera, product) }, `Calibrate ${product}`)
      : make("p", { class: "note" }, "An engineer can calibrate it."))));
}

async function acknowledgeAll() {
  const unseen = (station?.alarms ?? []).filter((alarm) => !alarm.acknowledged);
  if (!may("operator") || unseen.length === 0) return;
  for (const alarm of unseen) await attempt(`/alarms/${encodeURIComponent(alarm.id)}/acknowledge`, {}, "Acknowledged.");
}

for (const button of the("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
the("golden").addEventListener("click", golden);
the("calibrate").addEventListener("click", () => calibration.open(alone ?? undefined));
the("all-cameras").addEventListener("click", () => toggleAlone(null));
the("trend-camera").addEventListener("change", (event) => {
  trendOf = event.target.value;
  trend.reset(trends.get(trendOf) ?? {});
  loadTrend(trendOf);
});
the("help-open").addEventListener("click", () => the("help").showModal());

// What this browser remembers: heat, outline, theme, keys.

function relook() {
  remember("heat", the("heat").value);
  remember("outline", String(the("outline").checked));
  for (const tile of tiles.values()) tile.touch();
  rejects.redraw();
}
the("heat").value = remembered("heat", "100");
the("outline").checked = remembered("outline", "true") === "true";
the("heat").addEventListener("input", relook);
the("outline").addEventListener("change", relook);
the("keys-on").checked = remembered("keys", "true") === "true";
the("keys-on").addEventListener("change", (event) => remember("keys", String(event.target.checked)));

function changeTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (document.documentElement.dataset.theme ?? system) === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  remember("theme", next);
}
the("theme").addEventListener("click", changeTheme);

// The keyboard.

let heatBefore = "100";
const KEYS = [
  ["P", "Pause, or run", () => setMode(station?.mode === "run" ? "pause" : "run")],
  ["M", "Maintenance", () => setMode("maintenance")],
  ["A", "Acknowledge all alarms", acknowledgeAll],
  ["R", "Open the newest reject", () => rejects.openNewest()],
  ["G", "Golden test", golden],
  ["C", "Calibrate", () => may("engineer") && calibration.open(alone ?? undefined)],
  ["H", "Heat map on or off", () => {
    const slider = the("heat");
    if (slider.value !== "0") heatBefore = slider.value;
    slider.value = slider.value === "0" ? heatBefore : "0";
    relook();
  }],
  ["O", "Outline on or off", () => {
    the("outline").checked = !the("outline").checked;
    relook();
  }],
  ["0", "All cameras", () => toggleAlone(null)],
  ["1 to 8", "One camera alone", null],
  ["T", "Light or dark", changeTheme],
  ["?", "This help", () => the("help").showModal()],
];
the("keys").replaceChildren(...KEYS.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, what))));

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input:not([type=checkbox], [type=range]), select, textarea");
  const isElsewhere = event.ctrlKey || event.altKey || event.metaKey || isTyping || document.querySelector("dialog[open]");
  if (isElsewhere || !the("keys-on").checked || !who || event.repeat) return;
  const number = Number(event.key);
  if (number >= 1 && number <= tiles.size) {
    event.preventDefault();
    toggleAlone([...tiles.keys()][number - 1]);
    return;
  }
  const found = KEYS.find(([key]) => key === event.key.toUpperCase());
  if (found?.[2]) {
    event.preventDefault();
    found[2]();
  }
});

// The connection.

const live = new api.Live({
  state: showState,
  picture: (event) => tiles.get(event.camera)?.setPicture(event),
  points: addPoints,
  reject: (row) => rejects.add(row),
  lost: (isLost) => {
    document.body.classList.toggle("is-lost", isLost);
    the("lost").hidden = !isLost;
    say(the("lost-word"), isLost ? "No connection to the station" : "");
    if (isLost) {
      // Nothing may hide it.
      for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
      setState("lost", "lost", "No connection", "Trying again.");
      lastHeard = new Date(Date.now() - live.silentSecs * 1000);
      showSilence();
    }
  },
  // This page was too slow for some of it: what is kept there is asked for.
  missed: refreshSoon,
  again: refresh,
});
let lastHeard = new Date();

function showSilence() {
  say(the("lost-since"), `Last news ${ago(live.silentSecs)} ago, at ${clock(lastHeard)}. Trying again.`);
}

let nextRefresh = null;
/** As `refresh`, and not for each burst anew: a page that is slow already would only become slower. */
function refreshSoon() {
  nextRefresh ??= setTimeout(() => {
    nextRefresh = null;
    refresh();
  }, REFRESH_AFTER_MS);
}

/** What the live channel does not repeat. */
async function refresh() {
  loadTrends();
  askProposals();
  calibration.ask();
  try {
    rejects.reset(await api.get("/rejects"));
  } catch {
    // They come by the live channel.
  }
}

setInterval(() => {
  for (const tile of tiles.values()) tile.tick();
  if (document.body.classList.contains("is-lost")) showSilence();
}, 1_000);
setInterval(() => {
  if (who && !document.body.classList.contains("is-lost")) {
    askProposals();
    calibration.ask();
  }
}, PROPOSALS_EVERY_MS);

// Who is there.

function showWho() {
  for (const element of document.querySelectorAll("[data-needs]")) element.hidden = !may(element.dataset.needs);
  say(the("who"), who ? `${who.name}, ${who.role}` : "");
  const isNamed = Boolean(who?.has_login && who.csrf);
  the("log-out").hidden = !isNamed;
  the("log-in").hidden = !who?.has_login || isNamed;
}

function askLogin() {
  if (!the("login").hidden) return;
  who = null;
  live.close();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  document.body.classList.remove("is-lost");
  document.body.classList.add("is-out");
  the("lost").hidden = true;
  the("login").hidden = false;
  setState("wait", "wait", "Logged out", "Log in to see the line.");
  showWho();
  the("login-name").focus();
}
api.onLoginWanted(askLogin);
the("log-in").addEventListener("click", askLogin);
the("log-out").addEventListener("click", async () => {
  await attempt("/logout", {});
  askLogin();
});
the("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  say(the("login-wrong"), "");
  try {
    await api.post("/login", { name: the("login-name").value, password: the("login-password").value });
  } catch (refused) {
    say(the("login-wrong"), sentence(refused.message));
    return;
  } finally {
    the("login-password").value = "";
  }
  the("login").hidden = true;
  document.body.classList.remove("is-out");
  start();
});

async function start() {
  try {
    who = await api.me();
    if (!who) return;
  } catch (refused) {
    if (refused.status === 401) return;
    // No station, or one that is just starting: the live channel tells, and tries again.
    setTimeout(start, 2_000);
    setState("lost", "lost", "No connection", "Trying again.");
    return;
  }
  showWho();
  live.open();
  refresh();
}
start();
