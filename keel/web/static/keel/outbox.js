/**
 * The outbox: what is entered is first on this device, durably, and then in the record, in order, once.
 *
 * An entry gets its own UUIDv7 and its time when it is entered, is written to IndexedDB with strict durability, and is
 * sent one after the other until the server says `recorded` or `already`. The same id may be sent many times: the server
 * answers the second time as the first. What the server refuses stays and is shown until a person settles it; what it
 * cannot take now (no network, signed out, trouble) stays and is tried again. Nothing is dropped silently.
 *
 * Entries are sealed on the device (AES-GCM, a key that cannot be taken out of the browser). An entry belongs to the
 * `owner` who made it and is never sent in somebody else's session.
 *
 * To the server: POST `{id, kind, course, occurred_at, payload}` with X-CSRFToken and X-Keel-Sent-At (the device's clock
 * at sending, so that a wrong clock can be seen). Answers: 200 `{status: "recorded" | "already", id}`;
 * 4xx `{status: "refused", reasons: [{what, why, mend}]}`; 401, or 403 without reasons: kept until somebody signs in.
 *
 * @typedef {{what: string, why?: string, mend?: string}} Reason
 * @typedef {{id: string, kind: string, course: string, occurred_at: string, payload: any}} Entry
 * @typedef {Entry & {state: "waiting" | "refused" | "unreadable", reasons: Reason[]}} Held
 * @typedef {{waiting: number, refused: number, others: number, hold: "" | "away" | "sign_in" | "trouble", recorded_at: Date | null, sealed: boolean}} Standing
 */

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
const REPLY_WITHIN_MS = 20_000;
const HEARTBEAT_MS = 30_000;
/** Answers that mean "this entry, as it is, never" even without our words. Everything else is tried again. */
const REFUSALS = new Set([400, 409, 413, 422]);

let lastMs = 0;
let counter = 0;

/** A UUIDv7 that sorts in the order of making, also within a millisecond and when the clock is set back. */
export function uuid7(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  if (now > lastMs) {
    lastMs = now;
    counter = ((bytes[6] << 8) | bytes[7]) & 0x7ff;
  } else if (++counter > 0xfff) {
    lastMs += 1;
    counter = 0;
  }
  let rest = lastMs;
  for (let place = 5; place >= 0; place--) {
    bytes[place] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[6] = 0x70 | (counter >> 8);
  bytes[7] = counter & 0xff;
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const result = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });

/** @param {IDBTransaction} change */
const committed = (change) =>
  new Promise((done, fail) => {
    change.oncomplete = () => done(undefined);
    change.onabort = change.onerror = () => fail(change.error);
  });

/** @returns {Promise<IDBDatabase>} */
function openStore() {
  const request = indexedDB.open("keel", 1);
  request.onupgradeneeded = () => {
    const db = request.result;
    db.createObjectStore("entries", { keyPath: "seq", autoIncrement: true }).createIndex("id", "id", { unique: true });
    db.createObjectStore("drafts");
    db.createObjectStore("keys");
  };
  return result(request);
}

/** The key of this device, made at the first use; null where the browser has no cryptography (plain http). */
async function deviceKey(db) {
  if (!crypto.subtle) return null;
  const made = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const change = db.transaction("keys", "readwrite", { durability: "strict" });
  const keys = change.objectStore("keys");
  // Two tabs may arrive together: whoever is second takes the key of the first.
  const there = await result(keys.get("seal"));
  if (!there) keys.put(made, "seal");
  await committed(change);
  return there ?? made;
}

export class Outbox extends EventTarget {
  #db;
  #key;
  #writing = Promise.resolve();
  #timer = 0;
  #wait = FIRST_WAIT_MS;
  /** @type {Standing["hold"]} */
  #hold = "";
  #recordedAt = null;
  #channel = new BroadcastChannel("keel-outbox");

  /**
   * @param {{url: string, owner: string, csrf?: () => string}} place `url`: where entries of this page go;
   *   `owner`: an opaque name of who is signed in; `csrf`: reads the token when sending
   * @returns {Promise<Outbox>}
   */
  static async open(place) {
    const db = await openStore();
    return new Outbox(db, await deviceKey(db), place);
  }

  constructor(db, key, { url, owner, csrf = csrfToken }) {
    super();
    this.#db = db;
    this.#key = key;
    this.url = url;
    this.owner = owner;
    this.csrf = csrf;
    navigator.storage?.persist?.();
    const soon = () => this.send();
    addEventListener("online", soon);
    addEventListener("offline", () => this.#hear("away"));
    addEventListener("pageshow", soon);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.send());
    setInterval(soon, HEARTBEAT_MS);
    this.#channel.onmessage = () => this.#changed();
    soon();
  }

  /**
   * Keep an entry on this device; resolves with its id once it is durable here. Sending starts by itself.
   * @param {{kind: string, course: string, payload: any, occurred_at?: string, id?: string}} entry
   * @returns {Promise<string>}
   */
  put({ kind, course, payload, occurred_at = new Date().toISOString(), id = uuid7() }) {
    const entry = { id, kind, course, occurred_at, payload };
    const row = { id, owner: this.owner, url: this.url, state: "waiting", reasons: [] };
    // One after the other: sealing takes time, and the order on the device is the order of entering.
    const written = this.#writing.then(async () => {
      const change = await this.#change("entries", async () => ({ ...row, ...(await this.#seal(entry, id)) }));
      await change((store, sealed) => store.add(sealed));
    });
    this.#writing = written.catch(() => undefined);
    return written.then(() => {
      this.#announce();
      this.send();
      return id;
    });
  }

  /** @returns {Promise<Held[]>} what this owner entered and has not reached the record, oldest first */
  async entries() {
    const rows = await this.#rows();
    return Promise.all(rows.filter((row) => row.owner === this.owner).map((row) => this.#read(row)));
  }

  /** @returns {Promise<Standing>} */
  async standing() {
    const rows = await this.#rows();
    const mine = rows.filter((row) => row.owner === this.owner);
    const refused = mine.filter((row) => row.state === "refused").length;
    return {
      waiting: mine.length - refused,
      refused,
      others: rows.length - mine.length,
      hold: navigator.onLine ? this.#hold : "away",
      recorded_at: this.#recordedAt,
      sealed: this.#key !== null,
    };
  }

  /** A person has dealt with a refused entry: take it off this device. */
  async settle(id) {
    await this.#amend(id, (store, row) => row.state === "refused" && store.delete(row.seq));
    this.#announce();
  }

  /** Send a refused entry once more, for instance after what stood in its way was mended. */
  async again(id) {
    await this.#amend(id, (store, row) => store.put({ ...row, state: "waiting", reasons: [] }));
    this.#announce();
    this.send();
  }

  /** Keep something of this owner that is not an entry yet, such as where a form stopped. */
  async keep(name, value) {
    const label = `${this.owner}:${name}`;
    const change = await this.#change("drafts", () => this.#seal(value, label));
    await change((store, sealed) => store.put(sealed, label));
  }

  /** @returns {Promise<any>} what was kept under this name, or undefined */
  async kept(name) {
    const label = `${this.owner}:${name}`;
    const row = await result(this.#db.transaction("drafts").objectStore("drafts").get(label));
    return row && this.#open(row, label).catch(() => undefined);
  }

  async drop(name) {
    const change = this.#db.transaction("drafts", "readwrite", { durability: "strict" });
    change.objectStore("drafts").delete(`${this.owner}:${name}`);
    await committed(change);
  }

  /** Send what waits, in order. Only one tab sends at a time; the others leave it to that one. */
  async send() {
    clearTimeout(this.#timer);
    if (!navigator.onLine) return this.#hear("away");
    // Without the lock (plain http) two tabs may both send: the ids make that harmless.
    if (!navigator.locks) return this.#sendAll();
    return navigator.locks.request("keel-outbox-send", { ifAvailable: true }, (lock) =>
      lock ? this.#sendAll() : this.#later(FIRST_WAIT_MS),
    );
  }

  async #sendAll() {
    for (;;) {
      const row = (await this.#rows()).find((one) => one.owner === this.owner && one.state === "waiting");
      if (!row) return this.#hear("");
      const entry = await this.#read(row);
      if (entry.state === "unreadable") {
        await this.#amend(row.id, (store, now) => store.put({ ...now, state: "refused", reasons: [UNREADABLE] }));
        continue;
      }
      const hold = await this.#sendOne(row, entry);
      if (hold) {
        this.#hear(hold);
        this.#later(this.#wait);
        this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
        return;
      }
      this.#wait = FIRST_WAIT_MS;
      this.#hear("");
    }
  }

  /** @returns {Promise<"" | "away" | "sign_in" | "trouble">} why sending has to wait, or "" when this entry is settled */
  async #sendOne(row, { id, kind, course, occurred_at, payload }) {
    let reply;
    let said = null;
    try {
      reply = await fetch(row.url, {
        method: "POST",
        credentials: "same-origin",
        redirect: "manual",
        signal: AbortSignal.timeout(REPLY_WITHIN_MS),
        headers: {
          "Content-Type": "application/json",
          Accept: "application/json",
          "X-CSRFToken": this.csrf(),
          "X-Keel-Sent-At": new Date().toISOString(),
        },
        body: JSON.stringify({ id, kind, course, occurred_at, payload }),
      });
      said = await reply.json().catch(() => null);
    } catch {
      return "away";
    }
    // A redirect leads to a sign-in page. A 200 without our words is somebody else's page (a hotel's network, say).
    // A 403 with reasons is the record saying no to this entry; a bare one means that nobody is signed in.
    const refused = said?.status === "refused" && reply.status >= 400 && reply.status < 500;
    if (reply.type === "opaqueredirect" || reply.status === 401 || (reply.status === 403 && !refused)) return "sign_in";
    if (reply.ok && said?.id === id && (said.status === "recorded" || said.status === "already")) {
      await this.#amend(id, (store, now) => store.delete(now.seq));
      this.#recordedAt = new Date();
      this.dispatchEvent(new CustomEvent("recorded", { detail: { id, kind, course } }));
      this.#announce();
      return "";
    }
    if (!refused && !REFUSALS.has(reply.status)) return "trouble";
    const reasons = Array.isArray(said?.reasons) && said.reasons.length ? said.reasons : [unsaid(reply.status)];
    await this.#amend(id, (store, now) => store.put({ ...now, state: "refused", reasons }));
    this.dispatchEvent(new CustomEvent("refused", { detail: { id, kind, course, reasons } }));
    this.#announce();
    return "";
  }

  #later(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.send(), wait * (0.75 + Math.random() / 2));
  }

  #hear(hold) {
    if (hold === this.#hold) return;
    this.#hold = hold;
    this.#changed();
  }

  #announce() {
    this.#channel.postMessage("changed");
    this.#changed();
  }

  async #changed() {
    this.dispatchEvent(new CustomEvent("change", { detail: await this.standing() }));
  }

  #rows() {
    return result(this.#db.transaction("entries").objectStore("entries").getAll());
  }

  /** Prepare a value (sealing cannot run inside a transaction), then write it durably. */
  async #change(name, prepare) {
    const value = await prepare();
    return async (write) => {
      const change = this.#db.transaction(name, "readwrite", { durability: "strict" });
      write(change.objectStore(name), value);
      await committed(change);
    };
  }

  async #amend(id, write) {
    const change = this.#db.transaction("entries", "readwrite", { durability: "strict" });
    const store = change.objectStore("entries");
    const row = await result(store.index("id").get(id));
    if (row) write(store, row);
    await committed(change);
  }

  async #seal(value, label) {
    const plain = new TextEncoder().encode(JSON.stringify(value));
    if (!this.#key) return { plain };
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const additionalData = new TextEncoder().encode(label);
    return { iv, sealed: await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, this.#key, plain) };
  }

  async #open(row, label) {
    const additionalData = new TextEncoder().encode(label);
    const plain = row.sealed
      ? await crypto.subtle.decrypt({ name: "AES-GCM", iv: row.iv, additionalData }, this.#key, row.sealed)
      : row.plain;
    return JSON.parse(new TextDecoder().decode(plain));
  }

  async #read(row) {
    const { id, state, reasons } = row;
    try {
      return { ...(await this.#open(row, id)), state, reasons };
    } catch {
      const of = { id, kind: "", course: "", occurred_at: "", payload: null };
      return { ...of, state: state === "refused" ? state : "unreadable", reasons: reasons.length ? reasons : [UNREADABLE] };
    }
  }
}

const UNREADABLE = {
  what: "One entry cannot be read on this device",
  why: "the key that sealed it is gone",
  mend: "Enter it again, then remove this one",
};

const unsaid = (status) => ({
  what: "The record did not take this entry",
  why: `the server answered ${status} and gave no reason`,
  mend: "Enter it again, or ask your team",
});

/** The token of the cookie or, where scripts may not read that, of the page. */
export function csrfToken() {
  const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  const field = document.querySelector("input[name=csrfmiddlewaretoken]");
  return cookie ?? (field instanceof HTMLInputElement ? field.value : "");
}

/**
 * Say in `[data-outbox-says]` what is saved here and what has reached the record, and list refusals in
 * `[data-outbox-refusals]`. `data-one` and `data-many` on the root name what is counted ("answer", "answers").
 * @param {Outbox} outbox
 * @param {HTMLElement} root
 */
export function showState(outbox, root) {
  const says = root.querySelector("[data-outbox-says]");
  const list = root.querySelector("[data-outbox-refusals]");
  const { one = "entry", many = "entries" } = root.dataset;
  const count = (n) => (n === 1 ? `1 ${one} is` : `${n} ${many} are`);
  const show = async () => {
    const standing = await outbox.standing();
    if (says) {
      const [state, words] = inWords(standing, count);
      says.textContent = words;
      says.className = state ? "finding" : "";
      if (state) says.setAttribute("data-state", state);
      else says.removeAttribute("data-state");
    }
    if (list) list.replaceChildren(...(await outbox.entries()).filter((e) => e.state === "refused").map(refusal));
  };
  const refusal = ({ id, reasons, occurred_at }) => {
    const item = document.createElement("li");
    for (const { what, why, mend } of reasons) {
      const line = document.createElement("p");
      line.textContent = [what + (why ? `: ${why}` : ""), mend].filter(Boolean).map((part) => `${part}.`).join(" ");
      item.append(line);
    }
    const entered = document.createElement("p");
    entered.className = "soft small";
    entered.textContent = occurred_at ? `Entered ${new Date(occurred_at).toLocaleString()}. It is kept here until you settle it.` : "";
    const buttons = document.createElement("div");
    buttons.className = "row";
    const offer = (label, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.textContent = label;
      button.addEventListener("click", act);
      buttons.append(button);
    };
    offer("Send it once more", () => outbox.again(id));
    offer("Remove it from this device", () => outbox.settle(id));
    item.append(entered, buttons);
    return item;
  };
  outbox.addEventListener("change", show);
  show();
}

/** @param {Standing} standing @param {(n: number) => string} count @returns {["" | "kept" | "recorded", string]} */
function inWords({ waiting, refused, others, hold, recorded_at }, count) {
  const more = others ? " Entries of another person on this device wait until that person signs in." : "";
  const back = refused ? " Something was not taken: see below." : "";
  const time = recorded_at?.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (!waiting) {
    const all = time ? `Everything has reached the record, ${time}.` : "Nothing is waiting on this device.";
    return [time && !refused ? "recorded" : "", (refused ? back.trim() : all) + more];
  }
  const why = {
    "": "on the way to the record.",
    away: "saved on this device, and will be sent when there is a network.",
    sign_in: "saved on this device. Sign in again to send what waits.",
    trouble: "saved on this device. The record cannot be reached now, and we keep trying.",
  }[hold];
  return [hold ? "kept" : "", `${count(waiting)} ${why}${back}${more}`];
}
