// The station's REST interface and its live channel. Owns requests, the token against forged ones, and when a silence is
// a loss. Knows no elements.

const ROOT = "/api/v1";
/** The station says something every second: a channel that is open and silent for longer is half dead. */
const SILENCE_MAX_MS = 6_500;
/** The station ends a channel from time to time, and the browser opens it again after a second: that is no loss. */
const REOPENED_WITHIN_MS = 3_500;
/** A channel that the browser has given up is opened again after this. */
const REOPEN_AFTER_MS = 2_000;

let csrf = null;
let loginWanted = () => {};

/** Called whenever the station wants to know who asks. */
export function onLoginWanted(callback) {
  loginWanted = callback;
}

/** A refusal, with the station's own line. */
export class Refused extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(ROOT + path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "The station does not answer.");
  }
  const text = await response.text();
  if (!response.ok) {
    if (response.status === 401 && path !== "/login") loginWanted();
    throw new Refused(response.status, lineOf(text) || `The station refused it (${response.status}).`);
  }
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}

/** What a refusal says, as text or in a JSON body. */
function lineOf(text) {
  try {
    const body = JSON.parse(text);
    return body.error ?? body.message ?? text;
  } catch {
    return text.trim();
  }
}

export const get = (path) => ask(path);

export const post = (path, body = {}) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(csrf ? { "X-Sightline-Csrf": csrf } : {}) },
    body: JSON.stringify(body),
  });

/** Who is asking; `null` for somebody who has to log in first, which is asked for. */
export async function me() {
  const who = await get("/me");
  csrf = who.csrf ?? null;
  if (who.role) return who;
  loginWanted();
  return null;
}

/** The bytes of a picture; `null` where there is none (any more). */
export async function picture(address) {
  const response = await fetch(address, { cache: "no-store", credentials: "same-origin" });
  if (response.status === 401) loginWanted();
  // 204: nothing is kept of it.
  return response.ok && response.status !== 204 ? response.blob() : null;
}

/** Full-resolution evidence of the archive. */
export const evidence = (row, file) =>
  `${ROOT}/evidence/${encodeURIComponent(row.camera)}/${row.epoch}/${row.frame}/${file}`;

/**
 * The live channel. `handlers` has one function for each kind of event, `lost(isLost)`, and `again()` for a channel that
 * was opened anew: what was told meanwhile is missing.
 * The browser opens it again by itself; where it gives up, or where an open channel is silent, this does.
 */
export class Live {
  #handlers;
  #source = null;
  #heardAt = performance.now();
  #isLost = false;
  #isFirst = true;
  #timer = null;
  #reopening = null;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  open() {
    this.close();
    this.#heardAt = performance.now();
    this.#isFirst = true;
    this.#timer = setInterval(() => this.#watch(), 500);
    this.#connect();
  }

  close() {
    clearInterval(this.#timer);
    clearTimeout(this.#reopening);
    this.#reopening = null;
    this.#source?.close();
    this.#source = null;
  }

  /** Seconds since the station said anything. */
  get silentSecs() {
    return (performance.now() - this.#heardAt) / 1000;
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource(`${ROOT}/live`);
    this.#source = source;
    for (const kind of ["state", "picture", "points", "reject", "missed"]) {
      source.addEventListener(kind, (event) => {
        this.#heardAt = performance.now();
        this.#tell(false);
        this.#handlers[kind](JSON.parse(event.data));
      });
    }
    source.addEventListener("open", () => {
      if (!this.#isFirst) this.#handlers.again();
      this.#isFirst = false;
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) this.#reopen();
    });
  }

  #watch() {
    const isOpen = this.#source?.readyState === EventSource.OPEN;
    if (performance.now() - this.#heardAt < (isOpen ? SILENCE_MAX_MS : REOPENED_WITHIN_MS)) return;
    this.#tell(true);
    // The browser does not notice a connection that is half dead.
    if (isOpen) this.#reopen();
  }

  #reopen() {
    if (this.#reopening !== null) return;
    this.#source?.close();
    this.#reopening = setTimeout(async () => {
      this.#reopening = null;
      // The refusal may mean that the session has ended: then this asks for a login.
      await me().catch(() => {});
      if (this.#timer !== null && this.#source) this.#connect();
    }, REOPEN_AFTER_MS);
  }

  #tell(isLost) {
    if (this.#isLost === isLost) return;
    this.#isLost = isLost;
    this.#handlers.lost(isLost);
  }
}
