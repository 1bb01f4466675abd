// Words and numbers for people. Pure: no elements, no requests, no clock.

const WHOLE = new Intl.NumberFormat("en-GB");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });

/** What a decision is called. */
const DECISIONS = {
  pass: "Pass",
  fail: "Reject",
  "unknown-product": "Unknown product",
  fault: "Not judged",
};

/** What a state is called, its tone, its shape, and what it means. */
const STATES = {
  starting: ["Starting", "wait", "wait", "The model is loaded and tested."],
  building: ["Preparing", "wait", "wait", "The engine is built for this machine. That takes minutes."],
  running: ["Judging", "pass", "pass", "Nothing is wrong."],
  degraded: ["Judging", "warn", "fault", "Something is wrong."],
  fault: ["Not judging", "fail", "fault", "No part is judged."],
  paused: ["Paused", "pause", "pause", "No part is judged."],
  maintenance: ["Maintenance", "pause", "pause", "No part is judged."],
  stopping: ["Stopping", "wait", "wait", "The station is being stopped."],
};

export const decisionWord = (decision) => DECISIONS[decision] ?? decision;

/** `{word, tone, shape, line}` of a state. */
export function stateWords(state) {
  const [word, tone, shape, line] = STATES[state] ?? [state, "wait", "wait", ""];
  return { word, tone, shape, line };
}

export const whole = (number) => WHOLE.format(number);

/** A share as per cent: enough digits to see one reject in a thousand, and never rounded up to 100. */
export function percent(share) {
  const floored = share < 1 ? Math.min(share, 0.9999) : 1;
  return `${(floored * 100).toFixed(share >= 1 ? 0 : floored > 0.999 ? 2 : 1)} %`;
}

/** A score with three significant digits. */
export function score(value) {
  if (value == null || !Number.isFinite(value)) return "none";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** How long ago, in one unit. */
export function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 36 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

export const clock = (time) => CLOCK.format(new Date(time));
export const day = (time) => DAY.format(new Date(time));

/** Parts, rejects and yield of a few lines of the shift; yield is `null` before the first part. */
export function shiftOf(lines) {
  const sum = (field) => lines.reduce((total, line) => total + (line[field] ?? 0), 0);
  const [passed, failed, unknown, faulted] = ["passed", "failed", "unknown", "faulted"].map(sum);
  const parts = passed + failed + unknown + faulted;
  return { passed, rejected: failed + unknown, faulted, parts, yield: parts > 0 ? passed / parts : null };
}

/** The first letter large. */
export const sentence = (text) => {
  if (text === "") return "";
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?]$/.test(begun) ? begun : `${begun}.`;
};
