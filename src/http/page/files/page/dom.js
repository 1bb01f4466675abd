// Elements: how they are found, made and filled, and what this browser remembers. Knows nothing of a station.

/** The element with that id. */
export const the = (id) => document.getElementById(id);

/** A new element: its attributes (`class`, `data-x`, `on...` handlers), then its children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** A new SVG element. */
export function draw(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** One of the shapes of index.html. */
export function shape(name) {
  const svg = draw("svg", { class: "shape", "aria-hidden": "true" });
  svg.append(draw("use", { href: `#shape-${name}` }));
  return svg;
}

/** Makes a drawn shape another one. */
export function reshape(svg, name) {
  const use = svg.querySelector("use");
  const href = `#shape-${name}`;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Sets a text where it differs: what is the same must not be laid out again. */
export function say(element, text) {
  const wanted = text ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** What this browser remembers under a key, or `otherwise`. */
export function remembered(key, otherwise) {
  try {
    return localStorage.getItem(key) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Remembers it, where this browser keeps anything. */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it lasts as long as the page.
  }
}
