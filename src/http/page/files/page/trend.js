// Strip charts: the score against its limit, the last 300 parts of each product of one camera. Refused parts stand on stems.

import { draw, make, say } from "./dom.js";

/** Parts in a chart. */
const PARTS = 300;
/** The chart's own units: one per part, and from 0 to twice the limit. */
const HEIGHT = 100;

const y = (point) => {
  const share = point.threshold > 0 && Number.isFinite(point.score) ? point.score / point.threshold : 2;
  return (HEIGHT * (1 - Math.min(Math.max(share, 0), 2) / 2)).toFixed(1);
};

class Chart {
  #line = draw("polyline", { class: "chart__line" });
  #stems = draw("path", { class: "chart__stems" });
  #dots = draw("path", { class: "chart__dots" });
  #count = make("span", { class: "chart__count" });
  #svg = draw("svg", { viewBox: `0 0 ${PARTS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });

  constructor(product) {
    this.product = product;
    this.#svg.append(draw("path", { class: "chart__limit", d: `M0 ${HEIGHT / 2}H${PARTS}` }), this.#stems, this.#line, this.#dots);
    this.element = make("figure", { class: "chart" }, make("figcaption", {}, make("b", {}, product), this.#count), this.#svg);
  }

  set(points) {
    const from = PARTS - points.length;
    this.#line.setAttribute("points", points.map((point, at) => `${from + at},${y(point)}`).join(" "));
    const refused = points.map((point, at) => [point, from + at]).filter(([point]) => point.decision !== "pass");
    this.#stems.setAttribute("d", refused.map(([point, x]) => `M${x} ${HEIGHT / 2}V${y(point)}`).join(""));
    this.#dots.setAttribute("d", refused.map(([point, x]) => `M${x} ${y(point)}h0`).join(""));
    say(this.#count, String(refused.length));
    this.#svg.setAttribute("aria-label", `${this.product}: ${refused.length} of the last ${points.length} parts rejected`);
  }
}

/** The charts of one camera. */
export class Trend {
  #into;
  #products = new Map();
  #charts = new Map();
  #isDirty = false;

  constructor(into) {
    this.#into = into;
  }

  /** Takes the place of everything: `{product: points}`. */
  reset(products) {
    this.#products = new Map(Object.entries(products).map(([product, points]) => [product, points.slice(-PARTS)]));
    this.#touch();
  }

  /** Adds points to those that are there. */
  add(products) {
    for (const [product, points] of Object.entries(products)) {
      const before = this.#products.get(product) ?? [];
      const last = before.at(-1)?.time ?? "";
      this.#products.set(product, [...before, ...points.filter((point) => point.time > last)].slice(-PARTS));
    }
    this.#touch();
  }

  #touch() {
    if (this.#isDirty) return;
    this.#isDirty = true;
    requestAnimationFrame(() => {
      this.#isDirty = false;
      this.#show();
    });
  }

  #show() {
    const names = [...this.#products.keys()].sort();
    const isSame = names.length === this.#charts.size && names.every((name) => this.#charts.has(name));
    if (!isSame) {
      this.#charts = new Map(names.map((name) => [name, this.#charts.get(name) ?? new Chart(name)]));
      this.#into.replaceChildren(...[...this.#charts.values()].map((chart) => chart.element));
    }
    for (const [name, chart] of this.#charts) chart.set(this.#products.get(name));
  }
}
