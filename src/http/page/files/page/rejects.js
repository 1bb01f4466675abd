// The last rejects: thumbnails, and the dialogue of one with its frame, heat map, numbers and what may be done about it.

import * as api from "./api.js";
import { make, say, shape, the } from "./dom.js";
import * as picture from "./picture.js";
import { Meter, setDecision } from "./verdict.js";
import { clock, day, decisionWord, score, sentence } from "./words.js";

/** As many as the station keeps. */
const KEPT = 50;
/** As many as are drawn. */
const DRAWN = 24;
/** A burst of rejects is drawn so often. */
const SHOWN_EVERY_MS = 300;

/** A product that was not recognised is none, however near it came to one. */
const named = (row) => (row.decision === "unknown-product" ? "Not recognised" : row.product ?? "No product");
const keyOf = (row) => `${row.camera}/${row.epoch}/${row.frame}`;

export class Rejects {
  #rows = [];
  #slots = [];
  #pictures = new Map();
  #isLoading = false;
  #look;
  #marked;
  #open = null;
  #full = null;
  #meter = new Meter();
  #isDirty = false;
  #hasArchive = false;

  /** `look()` gives opacity and outline; `marked()` is called after a reject was marked. */
  constructor(look, marked) {
    this.#look = look;
    this.#marked = marked;
    the("reject-meter").append(this.#meter.element);
    the("reject-false").addEventListener("click", () => this.#mark());
    the("reject-full").addEventListener("click", () => this.#showFull());
    the("reject-newer").addEventListener("click", () => this.#step(-1));
    the("reject-older").addEventListener("click", () => this.#step(1));
    const dialog = the("reject");
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.#step(-1);
      if (event.key === "ArrowRight") this.#step(1);
    });
    dialog.addEventListener("close", () => {
      this.#full?.image.close();
      this.#full = null;
      this.#open = null;
    });
    new ResizeObserver(() => this.#drawOpen()).observe(the("reject-picture"));
  }

  /** Whether there is a picture at full resolution to look for. */
  setArchive(hasArchive) {
    this.#hasArchive = hasArchive;
  }

  /** All rows, newest first. */
  reset(rows) {
    this.#rows = rows.slice(0, KEPT);
    this.#touch();
  }

  /** A new one, or one that has changed. */
  add(row) {
    this.#rows = [row, ...this.#rows.filter((other) => keyOf(other) !== keyOf(row))];
    this.#rows.sort((one, other) => (one.time < other.time ? 1 : -1));
    this.#rows.length = Math.min(this.#rows.length, KEPT);
    if (this.#open && keyOf(this.#open.row) === keyOf(row)) {
      this.#open.row = row;
      this.#tell();
    }
    this.#touch();
  }

  /** The look has changed. */
  redraw() {
    for (const slot of this.#slots) slot.draw();
    this.#drawOpen();
  }

  /** Opens the newest one. */
  openNewest() {
    if (this.#rows.length > 0) this.open(keyOf(this.#rows[0]));
  }

  #touch() {
    if (this.#isDirty) return;
    this.#isDirty = true;
    setTimeout(() => {
      this.#isDirty = false;
      this.#show();
    }, SHOWN_EVERY_MS);
  }

  #show() {
    const kept = new Set(this.#rows.map(keyOf));
    for (const key of this.#pictures.keys()) if (!kept.has(key)) this.#pictures.delete(key);
    // One appears with its picture, so that none is blank while others come.
    const drawn = this.#rows.filter((row) => this.#pictures.has(keyOf(row))).slice(0, DRAWN);
    const list = the("thumbs");
    while (this.#slots.length < drawn.length) {
      const slot = new Slot((key) => this.open(key), this.#look);
      this.#slots.push(slot);
      list.append(slot.element);
    }
    this.#slots.forEach((slot, at) => {
      slot.element.hidden = at >= drawn.length;
      if (at < drawn.length) slot.set(drawn[at], this.#pictures.get(keyOf(drawn[at])));
    });
    this.#load();
    the("no-rejects").hidden = this.#rows.length > 0;
  }

  /** Pictures one after another: in a burst of rejects most are gone before their turn. */
  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    let row = this.#nextWithout();
    while (row) {
      this.#pictures.set(keyOf(row), await load(row));
      this.#touch();
      row = this.#nextWithout();
    }
    this.#isLoading = false;
  }

  #nextWithout() {
    return this.#rows.slice(0, DRAWN).find((row) => !this.#pictures.has(keyOf(row)));
  }

  open(key) {
    const row = this.#rows.find((one) => keyOf(one) === key);
    if (!row) return;
    this.#full?.image.close();
    this.#full = null;
    this.#open = { row, small: null };
    const dialog = the("reject");
    if (!dialog.open) dialog.showModal();
    this.#tell();
    say(the("reject-note"), "");
    the("reject-full").disabled = false;
    the("reject-full").hidden = !this.#hasArchive;
    const open = this.#open;
    load(row).then((small) => {
      if (this.#open !== open) return;
      open.small = small;
      if (!small) say(the("reject-note"), "Its picture is no longer kept in memory.");
      this.#drawOpen();
    });
    this.#drawOpen();
  }

  #tell() {
    const { row } = this.#open;
    say(the("reject-title"), `${named(row)} at ${row.camera}`);
    setDecision(the("reject-plate"), row.decision);
    this.#meter.set(row);
    say(the("reject-words"), sentence(row.words ?? row.reason ?? ""));
    const facts = [
      ["Time", `${day(row.time).split(" ")[0].replace(",", "")} ${clock(row.time)}`],
      ["Frame", `${row.epoch}/${row.frame}`],
      ["p-value", row.p_value == null ? "none" : row.p_value.toPrecision(2)],
      ["Of the limit", row.threshold > 0 ? `${((row.score / row.threshold) * 100).toFixed(0)} %` : "no limit"],
    ];
    the("reject-facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    say(the("reject-false"), row.is_false ? "Take it back: it was no good part" : "This part was good");
    the("reject-false").setAttribute("aria-pressed", String(Boolean(row.is_false)));
    const at = this.#rows.findIndex((one) => keyOf(one) === keyOf(row));
    the("reject-newer").disabled = at <= 0;
    the("reject-older").disabled = at < 0 || at >= this.#rows.length - 1;
  }

  #drawOpen() {
    if (this.#open) picture.show(the("reject-picture"), this.#full ?? this.#open.small, this.#look());
  }

  #step(by) {
    if (!this.#open) return;
    const at = this.#rows.findIndex((one) => keyOf(one) === keyOf(this.#open.row));
    const next = this.#rows[at + by];
    if (at >= 0 && next) this.open(keyOf(next));
  }

  async #mark() {
    const { row } = this.#open;
    const is_false = !row.is_false;
    try {
      await api.post(`/rejects/${encodeURIComponent(row.camera)}/${row.epoch}/${row.frame}/false`, { is_false });
    } catch (refused) {
      // The dialogue hides what is told for a moment.
      say(the("reject-note"), sentence(refused.message));
      return;
    }
    const marked = { ...row, is_false };
    this.add(marked);
    if (this.#open && keyOf(this.#open.row) === keyOf(row)) {
      say(the("reject-note"), is_false ? "Noted: a good part was refused." : "Noted: it was refused rightly.");
    }
    this.#marked();
  }

  async #showFull() {
    const open = this.#open;
    the("reject-full").disabled = true;
    say(the("reject-note"), "Looking in the archive.");
    const [frame, grey] = await Promise.all(
      ["frame.jpg", "heat.png"].map((file) => api.picture(api.evidence(open.row, file)).catch(() => null)));
    if (this.#open !== open) return;
    if (!frame) {
      say(the("reject-note"), "The archive has no picture of this part.");
      return;
    }
    let full;
    try {
      full = await picture.decode(frame, grey);
    } catch {
      if (this.#open === open) say(the("reject-note"), "The picture in the archive cannot be shown.");
      return;
    }
    if (this.#open !== open) {
      full.image.close();
      return;
    }
    this.#full = { image: full.image, layer: full.layer ?? open.small?.layer ?? null };
    say(the("reject-note"), `From the archive: ${full.image.width} × ${full.image.height} pixels.`);
    this.#drawOpen();
  }
}

/** A place among the thumbnails. It stays where it is, with its focus, while rejects move through it. */
class Slot {
  #canvas = make("canvas", { "aria-hidden": "true" });
  #mark = make("span", { class: "thumb__mark" });
  #label = make("span", { class: "thumb__label" });
  #time = make("span", { class: "thumb__time" });
  #more = make("span", { class: "unseen" });
  #button;
  #decoded = null;
  #look;
  row = null;

  constructor(open, look) {
    this.#look = look;
    this.#button = make("button", { type: "button", class: "thumb", onclick: () => open(this.key) },
      this.#canvas, this.#mark, this.#label, this.#time, this.#more);
    this.element = make("li", {}, this.#button);
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
  }

  get key() {
    return this.row ? keyOf(this.row) : null;
  }

  set(row, decoded) {
    this.row = row;
    const { decision, is_false: isFalse } = row;
    this.#button.dataset.tone = decision;
    const drawn = isFalse ? "pass" : decision;
    if (this.#mark.dataset.tone !== drawn) {
      this.#mark.dataset.tone = drawn;
      this.#mark.replaceChildren(shape(drawn));
    }
    say(this.#label, named(row));
    say(this.#time, isFalse ? "was good" : clock(row.time));
    say(this.#more, ` ${decisionWord(decision)} at ${row.camera}, ${clock(row.time)}, score ${score(row.score)}`);
    if (this.#decoded === decoded) return;
    this.#decoded = decoded;
    this.draw();
  }

  draw() {
    picture.show(this.#canvas, this.#decoded, this.#look());
  }
}

/** A reject's small picture with its heat map; `null` when it is no longer there. */
async function load(row) {
  try {
    if (!row.picture) return null;
    const [frame, grey] = await Promise.all([api.picture(row.picture), row.heat ? api.picture(row.heat) : null]);
    return frame ? await picture.decode(frame, grey) : null;
  } catch {
    return null;
  }
}
