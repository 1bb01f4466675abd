// A camera's tile: live picture, verdict of its last part, score, and the row of the parts before.
// Owns that only the newest picture is decoded: a slow machine skips, it never falls behind.

import { make, say, the } from "./dom.js";
import * as picture from "./picture.js";
import { Meter, plate, setDecision, setPlate } from "./verdict.js";
import { ago, decisionWord, sentence } from "./words.js";

/** Marks in the row of a tile. */
const MARKS = 40;
/** An older part than this is told with its age. */
const OLD_AFTER_SECS = 3;

/** What a tile says in place of a verdict, by the station's state. */
const IDLE = {
  paused: ["pause", "pause", "Paused"],
  maintenance: ["pause", "pause", "Maintenance"],
  starting: ["wait", "wait", "Starting"],
  building: ["wait", "wait", "Preparing"],
  stopping: ["wait", "wait", "Stopping"],
};

export class Tile {
  #plate = plate();
  #meter = new Meter();
  #canvas;
  #open;
  #age = make("span", { class: "tile__age" });
  #product = make("p", { class: "tile__product" }, "–");
  #words = make("p", { class: "words" });
  #latency = make("dd", {}, "–");
  #frame = make("dd", { class: "tile__frame" }, "–");
  #marks = make("div", { class: "marks", role: "img", "aria-label": "No parts yet" });
  #recipe;
  #recipeRow;
  #waiting = null;
  #isDecoding = false;
  #decoded = null;
  #shown = null;
  #shownAt = 0;
  #isUp = true;
  #state = "running";
  #isDirty = false;
  #look;
  #decisions = [];

  /** `look()` gives opacity and outline; `actions` are `open(name)` and `recipe(name, recipe, select)`. */
  constructor(name, look, actions) {
    this.name = name;
    this.#look = look;
    this.#canvas = make("canvas", { role: "img", "aria-label": `Live picture of camera ${name}` });
    this.#open = make("button", {
      type: "button", class: "tile__name", "aria-label": `${name}: show this camera alone`, onclick: () => actions.open(name),
    }, name);
    const takeBack = () => {
      this.#recipe.value = this.#recipe.dataset.now ?? "";
    };
    this.#recipe = make("select", { onchange: () => actions.recipe(name, this.#recipe.value, takeBack) });
    this.#recipeRow = make("label", { class: "pick tile__recipe", hidden: true }, "Recipe ", this.#recipe);
    for (let at = 0; at < MARKS; at += 1) this.#marks.append(make("i"));
    const facts = make("div", { class: "tile__facts", role: "group", "aria-label": `Verdict of camera ${name}` },
      this.#plate, this.#product, this.#meter.element, this.#words, this.#marks,
      make("dl", { class: "facts" },
        make("div", {}, make("dt", {}, "Frame"), this.#frame), make("div", {}, make("dt", {}, "Verdict after"), this.#latency)),
      this.#recipeRow);
    // What scrolls can be scrolled by keys.
    new ResizeObserver(() => {
      if (facts.scrollHeight > facts.clientHeight) facts.tabIndex = 0;
      else facts.removeAttribute("tabindex");
    }).observe(facts);
    this.element = make("article", { class: "tile", "aria-label": `Camera ${name}`, "data-camera": name },
      make("div", { class: "tile__picture" }, this.#canvas, this.#open, this.#age),
      facts);
    new ResizeObserver(() => this.touch()).observe(this.#canvas);
  }

  /** A row of the station's state. */
  setCamera(camera, state, mayChoose) {
    this.#isUp = camera.is_up !== false;
    this.#state = state;
    const recipes = camera.recipes ?? [];
    this.#recipeRow.hidden = recipes.length === 0;
    const now = camera.recipe ?? "";
    // The camera's own keys, where the configuration does not begin with a recipe.
    const wanted = [...(camera.may_have_none ? [""] : []), ...recipes].join("\n");
    if (this.#recipe.dataset.options !== wanted) {
      this.#recipe.dataset.options = wanted;
      this.#recipe.replaceChildren(...wanted.split("\n").map((name) => make("option", { value: name }, name || "the camera's own")));
      this.#recipe.dataset.now = undefined;
    }
    if (this.#recipe.dataset.now !== now) {
      this.#recipe.dataset.now = now;
      this.#recipe.value = now;
    }
    this.#recipe.disabled = !mayChoose;
    this.#tell();
  }

  /** A tick of the live channel. */
  setPicture(event) {
    this.#waiting = event;
    if (!this.#isDecoding) this.#decodeNewest();
  }

  async #decodeNewest() {
    this.#isDecoding = true;
    while (this.#waiting) {
      const event = this.#waiting;
      this.#waiting = null;
      try {
        const decoded = event.jpeg
          ? await picture.decode(picture.blob(event.jpeg, "image/jpeg"), event.heat ? picture.blob(event.heat, "image/png") : null)
          : null;
        this.#decoded?.image.close();
        this.#decoded = decoded;
      } catch {
        // A picture that cannot be shown is no reason to hide its verdict.
      }
      this.#shown = event;
      this.#shownAt = performance.now();
      this.touch();
      this.#tell();
    }
    this.#isDecoding = false;
  }

  /** Parts that were judged, `[{time, decision}]`, in order. */
  addParts(parts) {
    const last = this.#decisions.at(-1)?.time ?? "";
    this.#decisions.push(...parts.filter((part) => part.time > last));
    this.#decisions.splice(0, this.#decisions.length - MARKS);
    const from = MARKS - this.#decisions.length;
    [...this.#marks.children].forEach((mark, at) => {
      const decision = this.#decisions[at - from]?.decision ?? "";
      if (mark.className !== decision) mark.className = decision;
    });
    const passed = this.#decisions.filter((part) => part.decision === "pass").length;
    this.#marks.setAttribute("aria-label", `Of the last ${this.#decisions.length} parts ${passed} passed`);
    this.#tell();
  }

  /** A new numbering has begun, or the page was away: what was there is no longer the row before. */
  forgetParts() {
    this.#decisions = [];
  }

  /** What is told of the last part: by its picture, or by its row where that is newer. */
  #last() {
    const shown = this.#shown;
    const newest = this.#decisions.at(-1);
    if (shown && newest && newest.time > shown.time) return { ...newest, latency_ms: null, words: null };
    return shown;
  }

  /** Something about the drawing has changed. */
  touch() {
    if (this.#isDirty) return;
    this.#isDirty = true;
    requestAnimationFrame(() => {
      this.#isDirty = false;
      picture.show(this.#canvas, this.#decoded, this.#look());
    });
  }

  /** Whether there are others to be hidden. */
  set isOneOfMany(isSo) {
    this.#open.disabled = !isSo;
  }

  /** Called every second: the age of what is shown. */
  tick() {
    const age = this.#shown ? (performance.now() - this.#shownAt) / 1000 : 0;
    say(this.#age, age > OLD_AFTER_SECS ? `${ago(age)} ago` : "");
  }

  #tell() {
    const shown = this.#last();
    const idle = IDLE[this.#state];
    this.element.classList.toggle("is-idle", Boolean(idle) || !this.#isUp);
    if (!this.#isUp) setPlate(this.#plate, "fault", "fault", "No frames");
    else if (idle) setPlate(this.#plate, ...idle);
    else if (shown) setDecision(this.#plate, shown.decision);
    else setPlate(this.#plate, "wait", "wait", "No part yet");
    if (!shown) return;
    say(this.#product, shown.decision === "unknown-product" ? "Not recognised" : shown.product ?? "–");
    this.#meter.set(shown);
    const why = shown.words ?? shown.reason ?? "";
    say(this.#words, why ? sentence(why) : "");
    say(this.#frame, String(shown.frame));
    say(this.#latency, shown.latency_ms == null ? "–" : `${shown.latency_ms.toFixed(0)} ms`);
    this.#canvas.setAttribute("aria-label", `Live picture of camera ${this.name}: ${decisionWord(shown.decision)}`);
  }
}

/** How the tiles share their place: by their number, or one alone. */
export function arrange(tiles, alone) {
  const grid = the("cameras");
  const shown = alone && tiles.has(alone) ? 1 : tiles.size;
  grid.dataset.count = shown <= 2 ? shown : shown <= 4 ? 4 : shown <= 6 ? 6 : 8;
  for (const [name, tile] of tiles) {
    tile.isOneOfMany = tiles.size > 1;
    tile.element.hidden = shown === 1 && tiles.size > 1 && name !== alone;
  }
}
