/**
 * Follows the journal's tail. `<body data-live="/live?ticket=…" data-live-after="EVENT_ID">` is enough:
 * each event becomes `keel:<kind>` on the body (and `keel:event`, whatever its kind), so `hx-trigger="keel:dose_given from:body"` works, and
 * `keel:live` says whether the page is in touch (`{state: "in_touch" | "away", since}`).
 *
 * The server sends each event as an unnamed message whose data is JSON with at least `id` and `kind`, and whose
 * SSE id is the event's id. The browser resumes by Last-Event-ID while it keeps the connection object; when that is
 * given up (server restart, ticket run out, sleep) we open a new one with `after=<last id>` and miss nothing.
 */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** The newest ids seen, so that an event sent twice across a reconnect is told once. */
const REMEMBERED = 2_000;

export class Tail extends EventTarget {
  /**
   * @param {string} address where the stream is
   * @param {{after?: string, ticket?: () => Promise<string>, target?: EventTarget}} [options]
   *   `after`: the last event the page already shows; `ticket`: gives a fresh address when the old one is refused
   */
  constructor(address, { after = "", ticket, target = document.body } = {}) {
    super();
    this.address = address;
    this.after = after;
    this.ticket = ticket;
    this.target = target;
    this.state = "away";
    this.wait = FIRST_WAIT_MS;
    this.seen = new Set();
    this.source = null;
    this.timer = 0;
    this.stopped = false;
    addEventListener("online", () => this.#again(0));
    addEventListener("offline", () => this.#tell("away"));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.state === "away") this.#again(0);
    });
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.#again(0));
    this.#open();
  }

  stop() {
    this.stopped = true;
    this.#drop();
  }

  #drop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  #open() {
    if (this.stopped) return;
    this.#drop();
    const url = new URL(this.address, location.href);
    if (this.after) url.searchParams.set("after", this.after);
    const source = new EventSource(url);
    this.source = source;
    source.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.#tell("in_touch");
    };
    source.onmessage = (message) => this.#hear(message);
    source.onerror = () => {
      this.#tell("away");
      // CONNECTING: the browser is already trying again, with Last-Event-ID. CLOSED: it has given up, so we go on.
      if (source.readyState === EventSource.CLOSED) this.#again(this.wait);
    };
  }

  #again(wait) {
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
      try {
        if (this.ticket) this.address = await this.ticket();
        this.#open();
      } catch {
        this.#again(this.wait);
      }
    }, wait * (0.75 + Math.random() / 2));
  }

  /** @param {MessageEvent<string>} message */
  #hear(message) {
    if (message.lastEventId) this.after = message.lastEventId;
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      console.warn("A live message was not JSON and was left out:", message.data);
      return;
    }
    if (this.seen.has(event.id)) return;
    this.seen.add(event.id);
    if (this.seen.size > REMEMBERED) this.seen.delete(this.seen.values().next().value);
    this.target.dispatchEvent(new CustomEvent(`keel:${event.kind}`, { detail: event, bubbles: true }));
    this.target.dispatchEvent(new CustomEvent("keel:event", { detail: event, bubbles: true }));
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
  }

  #tell(state) {
    if (state === this.state) return;
    this.state = state;
    const detail = { state, since: new Date() };
    this.target.dispatchEvent(new CustomEvent("keel:live", { detail, bubbles: true }));
  }
}

/** Say on the page whether it is in touch: `[data-live-says]` holds the words. */
function sayState(root) {
  document.body.addEventListener("keel:live", (event) => {
    const { state, since } = /** @type {CustomEvent} */ (event).detail;
    const time = since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    for (const place of root.querySelectorAll("[data-live-says]")) {
      place.textContent = state === "in_touch" ? "Up to date" : `Out of touch since ${time}. Trying again.`;
      place.dataset.state = state === "in_touch" ? "done" : "caution";
    }
  });
}

const { live, liveAfter, liveTicket } = document.body?.dataset ?? {};
if (live) {
  sayState(document);
  const ticket = liveTicket
    ? async () => {
        const answer = await fetch(liveTicket, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(`no ticket: ${answer.status}`);
        return (await answer.json()).live;
      }
    : undefined;
  new Tail(live, { after: liveAfter, ticket });
}
