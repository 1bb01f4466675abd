// The dialogue in which a product is calibrated while the line runs: begin, watch, look at suspicious frames, finish.
// Owns how often the station is asked how far it is.

import * as api from "./api.js";
import { make, say, the } from "./dom.js";
import { ago, sentence, whole } from "./words.js";

const ASK_EVERY_MS = 1_000;

export class Calibration {
  #status = { state: "none" };
  #cameras = [];
  #products = [];
  #confirm;
  #told;
  #timer = null;

  /** `confirm(title, text, yes)` asks a person; `told(line)` shows a line after the dialogue has closed. */
  constructor(confirm, told) {
    this.#confirm = confirm;
    this.#told = told;
    the("calibration-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    the("calibration-finish").addEventListener("click", () => this.#finish());
    the("calibration-cancel").addEventListener("click", () => this.#cancel());
    the("calibration").addEventListener("close", () => {
      clearInterval(this.#timer);
      this.#timer = null;
    });
  }

  /** What the station has. */
  setStation(cameras, products) {
    this.#cameras = cameras;
    this.#products = products;
  }

  /** Opens the dialogue, with a camera and a product chosen beforehand. */
  async open(camera, product) {
    fill(the("calibration-camera"), this.#cameras, camera);
    fill(the("calibration-product"), this.#products, product);
    say(the("calibration-wrong"), "");
    await this.ask();
    this.#show();
    if (!the("calibration").open) the("calibration").showModal();
    this.#timer ??= setInterval(async () => {
      await this.ask();
      this.#show();
    }, ASK_EVERY_MS);
  }

  /** Asks the station; its button tells how far it is. */
  async ask() {
    try {
      this.#status = await api.get("/calibration");
    } catch (refused) {
      say(the("calibration-wrong"), refused.message);
      return;
    }
    const { state, product, collected, wanted } = this.#status;
    const line = { collecting: `Calibrating ${product}: ${collected} of ${wanted}`, ready: `Calibrated ${product}: look`, failed: "Calibration failed" };
    say(the("calibrate"), line[state] ?? "Calibrate");
    the("calibrate").classList.toggle("is-busy", state !== "none");
  }

  #show() {
    const status = this.#status;
    const isGoing = status.state !== "none";
    the("calibration-form").hidden = isGoing;
    the("calibration-progress").hidden = !isGoing;
    say(the("calibration-title"), isGoing ? `Calibrate ${status.product} at ${status.camera}` : "Calibrate");
    say(the("calibration-last"), status.last ? `The last one: ${sentence(status.last)}` : "");
    if (!isGoing) {
      // The frames of the next collection have the same numbers.
      this.#review([]);
      return;
    }
    const { collected, wanted, seconds_left: left, missed, faults, repeats, support } = status;
    const rest = status.state === "failed" ? (status.failure ?? "it failed")
      : status.state === "ready" ? "all are there"
        : left == null ? "waiting for parts" : `about ${ago(left)} more`;
    say(the("calibration-count-line"), `${whole(collected)} of ${whole(wanted)} good parts, ${rest}`);
    const bar = the("calibration-bar");
    bar.max = Math.max(wanted, 1);
    bar.value = collected;
    say(the("calibration-support"), support ? supportLine(support) : "");
    say(the("calibration-beside"),
      `Missed ${whole(missed ?? 0)}, not judged ${whole(faults ?? 0)}, exactly as an earlier one ${whole(repeats ?? 0)}.`);
    this.#review(status.for_review ?? []);
    say(the("calibration-finish"), status.state === "collecting" ? "Finish with what there is" : "Finish and use it");
    the("calibration-finish").disabled = status.state === "failed" || collected === 0;
  }

  #review(frames) {
    const list = the("review");
    const shown = new Map([...list.children].map((item) => [item.dataset.id, item]));
    const items = frames.map((frame) => {
      let item = shown.get(String(frame.id));
      // More suspicious ones take the room of its picture, and it is said then.
      if (!item || (item.dataset.picture ?? "") !== (frame.picture ?? "")) item = this.#frame(frame);
      const box = item.querySelector("input");
      if (box !== document.activeElement) box.checked = frame.excluded;
      item.classList.toggle("is-excluded", box.checked);
      say(item.querySelector(".review__why"), sentence(frame.why));
      return item;
    });
    if (items.length !== list.children.length || items.some((item, at) => list.children[at] !== item)) list.replaceChildren(...items);
    the("review-title").hidden = items.length === 0;
    the("review-note").hidden = items.length === 0;
  }

  #frame(frame) {
    const none = () => make("span", { class: "review__none" }, "no picture");
    // Let go of since the station was asked: the next answer says so too.
    const image = frame.picture
      ? make("img", { src: frame.picture, alt: `Frame ${frame.id} beside its heat map`, onerror: (event) => event.target.replaceWith(none()) })
      : none();
    return make("li", { "data-id": frame.id, "data-picture": frame.picture ?? "" }, make("label", {}, image,
      make("span", {}, make("input", { type: "checkbox", onchange: () => this.#exclude() }), ` Frame ${frame.id} is no good part`),
      make("span", { class: "review__why note" })));
  }

  #do(path, body) {
    say(the("calibration-wrong"), "");
    return api.post(`/calibration${path}`, body).catch((refused) => {
      say(the("calibration-wrong"), sentence(refused.message));
      return null;
    });
  }

  async #begin() {
    const count = the("calibration-count").value;
    const done = await this.#do("", {
      camera: the("calibration-camera").value,
      product: the("calibration-product").value,
      every: Number(the("calibration-every").value),
      append: the("calibration-append").checked,
      ...(count ? { count: Number(count) } : {}),
    });
    if (done) {
      await this.ask();
      this.#show();
      the("calibration-finish").focus();
    }
  }

  async #exclude() {
    const frames = [...the("review").children].filter((item) => item.querySelector("input").checked).map((item) => Number(item.dataset.id));
    await this.#do("/exclude", { frames });
    await this.ask();
    this.#show();
  }

  async #finish() {
    const isPartial = this.#status.state === "collecting";
    const { product, camera } = this.#status;
    const isWanted = await this.#confirm("Use this calibration",
      `From now on ${product} at ${camera} is judged by these parts. The old calibration of ${product} is replaced.`, "Use it");
    if (!isWanted) return;
    const done = await this.#do("/finish", isPartial ? { partial: true } : {});
    if (!done) return;
    the("calibration").close();
    await this.ask();
    this.#told(`Calibrated: ${product} at ${camera}.`);
  }

  async #cancel() {
    if (!(await this.#confirm("Cancel the calibration", "What was collected is thrown away. Nothing else changes.", "Cancel it"))) return;
    if (!(await this.#do("/cancel", {}))) return;
    the("calibration").close();
    await this.ask();
    this.#told("The calibration was cancelled.");
  }
}

/** What a calibration of so many parts supports. */
function supportLine({ lowest_rate: lowest, rate, is_supported: isSupported, frames_needed: needed }) {
  const share = (value) => (value < 0.01 ? `${(value * 100).toFixed(2)} %` : `${(value * 100).toFixed(1)} %`);
  return isSupported
    ? `Enough for a false-reject rate of ${share(rate)}.`
    : `Supports ${share(lowest)} so far. The configured ${share(rate)} needs ${whole(needed)} parts.`;
}

function fill(select, names, chosen) {
  const now = chosen ?? (names.includes(select.value) ? select.value : names[0]);
  select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  if (now !== undefined) select.value = now;
}
