// How a verdict looks wherever one is shown: the plate (colour, word and shape) and the score against its limit.

import { make, reshape, say, shape } from "./dom.js";
import { decisionWord, score } from "./words.js";

/** A plate that says nothing yet. */
export function plate() {
  return make("div", { class: "plate", "data-tone": "wait" }, shape("wait"), make("strong", {}, "No part yet"));
}

/** Makes a plate say something. */
export function setPlate(element, tone, drawn, word) {
  element.dataset.tone = tone;
  reshape(element.querySelector("svg"), drawn);
  say(element.querySelector("strong"), word);
}

/** Makes a plate say a decision. */
export const setDecision = (element, decision) => setPlate(element, decision, decision, decisionWord(decision));

/** The score as a bar whose middle is the limit, with its numbers. */
export class Meter {
  #bar = make("div", { class: "meter__bar" });
  #track = make("div", {
    class: "meter__track", role: "meter", "aria-label": "Score against its limit",
    "aria-valuemin": "0", "aria-valuemax": "2", "aria-valuenow": "0", "aria-valuetext": "none yet",
  }, this.#bar, make("div", { class: "meter__limit" }));
  #score = make("b", {}, "–");
  #limit = make("b", {}, "–");
  element = make("div", { class: "meter", "data-tone": "wait" }, this.#track,
    make("p", { class: "meter__numbers" }, make("span", {}, make("span", { class: "meter__word" }, "Score "), this.#score),
      make("span", {}, make("span", { class: "meter__word" }, "Limit "), this.#limit)));

  set(verdict) {
    const { threshold, decision } = verdict;
    const isRated = threshold != null && threshold > 0 && verdict.score != null;
    const share = isRated ? Math.min(Math.max(verdict.score / threshold, 0), 2) : 0;
    this.element.dataset.tone = isRated ? decision : "wait";
    this.#bar.style.transform = `scaleX(${share / 2})`;
    this.#track.setAttribute("aria-valuenow", share.toFixed(2));
    this.#track.setAttribute("aria-valuetext",
      isRated ? `${score(verdict.score)}, the limit is ${score(threshold)}` : "no score against a limit");
    say(this.#score, score(verdict.score));
    say(this.#limit, score(threshold));
  }
}
