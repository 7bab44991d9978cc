/**
 * The board of a session. What is tapped is on this device first and then in the record (outbox.js); what others write
 * comes by the live tail, and only the parts that changed are put in place, never one that a hand is in.
 *
 * Forms: `data-entry` goes through the outbox (observations: they are true whether or not there is a network);
 * `data-online` is sent to the record at once (the dose and the release: a rule has to say yes before they happen).
 * Parts: `[data-part][id]` are replaced when the server draws them differently.
 */
import { Outbox, showState, uuid7 } from "./outbox.js";

/** Parts are fetched at most this often, and kept pages (board and emergency sheets) renewed at most that often. */
const REFRESH_MS = 700;
const KEEP_MS = 60_000;
const TICK_MS = 5_000;
/** Time alone changes a board, too: what is due becomes late, a break is over. */
const RENEW_MS = 60_000;
/** How far a typed time may lie ahead before it is taken for yesterday's, on a night that passed midnight. */
const AHEAD_MS = 5 * 60_000;

const { entries = "", owner = "" } = document.body.dataset;
const main = /** @type {HTMLElement} */ (document.getElementById("main"));

// ---- times ---------------------------------------------------------------------------------------------------

/** "1 h 32 min" */
function length(ms) {
  const minutes = Math.floor(Math.abs(ms) / 60_000);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
}

/** Since and until, beside the exact time that the server wrote. */
function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-since], time[data-until]")) {
    const node = /** @type {HTMLTimeElement} */ (time);
    node.dataset.clock ??= node.textContent ?? "";
    const left = new Date(node.dateTime).getTime() - now;
    let words = length(left);
    if ("until" in node.dataset) words = left >= 60_000 ? `in ${words}, ${node.dataset.clock}` : left > -60_000 ? `now, ${node.dataset.clock}` : `${words} late, ${node.dataset.clock}`;
    if (node.textContent !== words) node.textContent = words;
  }
}

/** The moment of a typed time of day; now where none was typed. */
function momentOf(text) {
  const now = new Date();
  if (!text) return now;
  const [hours, minutes, seconds = 0] = text.split(":").map(Number);
  const moment = new Date(now);
  moment.setHours(hours, minutes, seconds, 0);
  if (moment.getTime() > now.getTime() + AHEAD_MS) moment.setDate(moment.getDate() - 1);
  return moment;
}

// ---- writing -------------------------------------------------------------------------------------------------

const NEITHER = new Set(["csrfmiddlewaretoken", "id", "kind", "course", "time"]);
const LISTS = new Set(["areas", "watches"]);

/** @param {HTMLFormElement} form @param {HTMLElement | null} button */
function entryOf(form, button) {
  const data = new FormData(form, /** @type {any} */ (button));
  /** @type {Record<string, any>} */
  const payload = {};
  for (const [name, value] of data) {
    if (NEITHER.has(name)) continue;
    if (LISTS.has(name)) (payload[name] ??= []).push(value);
    else payload[name] = value;
  }
  const kind = String(data.get("kind"));
  const numbers = ["systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm", "temperature_c"].map((name) => payload[name]).filter(Boolean);
  // What the line on this device says until the record says it.
  payload.says = kind === "vitals" ? `Vital signs ${numbers.join(", ")}` : [button?.getAttribute("aria-label") ?? button?.textContent?.trim(), payload.words ?? payload.said ?? payload.piece].filter(Boolean).join(": ");
  return { kind, course: String(data.get("course") ?? ""), payload, occurred_at: momentOf(String(data.get("time") ?? "")).toISOString() };
}

/** @param {Outbox} outbox */
function takeOver(outbox) {
  main.addEventListener("submit", async (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const button = /** @type {HTMLElement | null} */ (event.submitter);
    if ("online" in form.dataset) return atOnce(event, form);
    if (!("entry" in form.dataset)) return;
    event.preventDefault();
    // A finger that presses twice means one entry; another button of the same form means another, however fast it comes.
    const pressed = button ?? form;
    if (pressed.dataset.busy) return;
    pressed.dataset.busy = "yes";
    try {
      const id = await outbox.put(entryOf(form, button));
      form.dispatchEvent(new CustomEvent("keel:kept", { detail: { id }, bubbles: true }));
      form.reset();
      offerUndo(form, id, button);
      const drawer = form.closest("details.vitals-entry");
      if (drawer instanceof HTMLDetailsElement) {
        drawer.open = false;
        drawer.querySelector("summary")?.focus();
      }
    } catch (error) {
      say(form, "This device could not keep the entry. Write it on paper and reload the board.");
      console.warn("An entry was not kept:", error);
    } finally {
      delete pressed.dataset.busy;
    }
  });
}

/** What was just entered can be taken back with one tap: a finger in the dark goes wrong. */
function offerUndo(form, id, button) {
  const undo = form.closest("[data-person], [data-shared]")?.querySelector("form[data-undo]");
  if (!(undo instanceof HTMLFormElement)) return;
  const again = undo.querySelector("button");
  if (form === undo) {
    if (undo.contains(document.activeElement)) undo.parentElement?.querySelector("summary")?.focus();
    undo.hidden = true;
  } else if (again && ["vitals", "moment", "room", "come_in", "go_out"].includes(form.elements.namedItem("kind")?.value)) {
    undo.elements.namedItem("entry").value = id;
    again.textContent = `Take back: ${form.matches("[data-vitals]") ? "Vital signs" : button?.textContent?.trim()}`;
    undo.hidden = false;
  }
}

/** The dose and the release wait for the record: without a network the page says so and keeps what was typed. */
function atOnce(event, form) {
  if (!navigator.onLine) {
    event.preventDefault();
    say(form, "This step asks the record first and there is no network. Note time and person on paper and enter it afterwards.");
    return;
  }
  const id = form.querySelector("input[name=id]");
  if (id instanceof HTMLInputElement) id.value = uuid7();
}

function say(form, words) {
  let line = form.querySelector("[data-says]");
  if (!line) {
    line = document.createElement("p");
    line.setAttribute("data-says", "");
    line.setAttribute("role", "alert");
    line.className = "finding";
    line.setAttribute("data-state", "caution");
    form.append(line);
  }
  line.textContent = words;
}

/** What is on this device and not in the record yet, at the person whom it is about. @param {Outbox} outbox */
async function showWaiting(outbox) {
  const held = (await outbox.entries()).filter((entry) => entry.state === "waiting");
  for (const list of document.querySelectorAll("[data-waiting]")) {
    const course = list.closest("[data-person]")?.getAttribute("data-person") ?? "";
    const mine = held.filter((entry) => entry.course === course);
    list.replaceChildren(
      ...mine.map((entry) => {
        const line = document.createElement("li");
        line.className = "finding";
        line.dataset.state = "kept";
        line.dataset.entry = entry.id;
        const at = new Date(entry.occurred_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
        line.textContent = `${at} ${entry.payload?.says ?? entry.kind}, on this device`;
        return line;
      }),
    );
  }
}

/** The drawer of the vital signs opens with the focus in its first field at once: digits typed right after it are not lost. */
function openVitals(event) {
  const drawer = event.target instanceof Element ? event.target.closest("summary")?.parentElement : null;
  if (!(drawer instanceof HTMLDetailsElement) || !drawer.matches(".vitals-entry") || drawer.open) return;
  event.preventDefault();
  drawer.open = true;
  /** @type {HTMLElement | null} */ (drawer.querySelector("input[inputmode]"))?.focus();
}

/** Digits lead on: after three digits of a pressure (two where the first says that two are enough) the next field. */
function leadOn(event) {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || !field.closest("form[data-vitals]") || field.inputMode !== "numeric") return;
  const whole = field.value.length >= 3 || (field.value.length === 2 && field.value[0] > "2");
  if (!whole) return;
  const fields = [...(field.form?.querySelectorAll("input[inputmode]") ?? [])];
  const next = fields[fields.indexOf(field) + 1] ?? field.form?.querySelector("button");
  /** @type {HTMLElement | null} */ (next)?.focus();
}

/** Plays files that are chosen on this device, one after the other, and logs each piece to the second as it begins. */
function playFiles(outbox) {
  const player = /** @type {HTMLElement | null} */ (document.querySelector("[data-player]"));
  const [files, list, audio] = ["input", "[data-pieces]", "audio"].map((part) => player?.querySelector(part));
  if (!player || !(files instanceof HTMLInputElement) || !list || !(audio instanceof HTMLAudioElement)) return;
  let playing = -1;
  const log = (piece) => outbox.put({ kind: "room", course: "", payload: { moment: "music", piece, says: `Music: ${piece}` } });
  const play = (place) => {
    const file = files.files?.[place];
    if (!file) return log("stopped");
    URL.revokeObjectURL(audio.src);
    audio.src = URL.createObjectURL(file);
    audio.hidden = false;
    playing = place;
    audio.play().then(() => log(file.name.replace(/\.[^.]+$/, "").slice(0, 200)), (error) => say(player, `This piece cannot be played here (${error.name}).`));
  };
  audio.addEventListener("ended", () => play(playing + 1));
  files.addEventListener("change", () => {
    const pieces = [...(files.files ?? [])].map((file, place) => {
      const button = node("button", "button", file.name);
      button.setAttribute("type", "button");
      button.addEventListener("click", () => play(place));
      const item = node("li", "", "");
      item.append(button);
      return item;
    });
    list.replaceChildren(...pieces);
  });
  player.hidden = false;
}

// ---- reading -------------------------------------------------------------------------------------------------

/** Who is due next, at its place on top: the earliest of what the people's own parts say. */
function sayNext() {
  const place = document.getElementById("part-next");
  if (!place) return;
  const heads = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-due]")]).sort((a, b) => (a.dataset.due ?? "").localeCompare(b.dataset.due ?? ""));
  const [first, second] = heads;
  if (!first) {
    place.replaceChildren(node("span", "soft", "Nothing is due."));
    return;
  }
  const what = node("span", "finding", "");
  what.dataset.state = first.dataset.dueState ?? "planned";
  const words = node("span", "", first.dataset.due ? "vital signs " : "vital signs before the dose");
  what.append(words);
  if (first.dataset.due) {
    const time = /** @type {HTMLTimeElement} */ (node("time", "", first.dataset.clock ?? ""));
    time.dateTime = first.dataset.due;
    time.dataset.until = "";
    words.append(time);
  }
  const then = second?.dataset.due ? node("span", "soft", ` then ${second.dataset.called} ${second.dataset.clock}`) : "";
  place.replaceChildren(node("strong", "", first.dataset.called ?? ""), " ", what, then);
}

function node(name, kind, words) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = words;
  return made;
}

/** A part as it reads: without the tokens that every drawing makes anew. */
function essence(part) {
  const copy = /** @type {HTMLElement} */ (part.cloneNode(true));
  for (const token of copy.querySelectorAll("input[name=id], input[name=csrfmiddlewaretoken], [data-says]")) token.remove();
  for (const time of copy.querySelectorAll("time[data-since], time[data-until]")) time.textContent = "";
  for (const time of copy.querySelectorAll("time")) time.removeAttribute("data-clock");
  return new XMLSerializer().serializeToString(copy);
}

/** Whether a hand is in it: something typed, a drawer opened, or the focus on a field. */
function inUse(part) {
  const here = document.activeElement;
  const typing = here instanceof HTMLElement && part.contains(here) && here.matches("input:not([type=hidden]), textarea, select");
  const changed = [...part.querySelectorAll("input:not([type=hidden], [type=checkbox]), textarea")].some((field) => field.value !== field.defaultValue);
  return typing || changed || part.querySelector("details[open]") !== null || part.matches(":active") || part.querySelector(":active") !== null;
}

/** How a person stands, also at the border of their part and in the line on top, which is in sight when the part is not. */
function stand(head) {
  const person = head.closest("[data-person]");
  const jump = document.querySelector(`[data-jump="${person?.dataset.person}"]`);
  for (const place of [person, jump]) place?.setAttribute("data-state", head.dataset.state ?? "");
  const words = jump?.querySelector(".unseen");
  if (words) words.textContent = `: ${head.dataset.says ?? ""}`;
}

class Fresh {
  #timer = 0;
  #last = 0;
  #running = false;
  #keptAt = 0;
  /** The people who moved since the last drawing; `whole` when the room did, or when it is not known who. */
  #moved = new Set();
  #whole = false;

  /**
   * Draw anew soon: at once where nothing was drawn lately, else when the pause is over.
   * @param {string} [course] who moved; without it the whole board is drawn
   */
  soon(course) {
    if (course) this.#moved.add(course);
    else this.#whole = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#now(), Math.max(0, this.#last + REFRESH_MS - Date.now()));
  }

  async #now() {
    if (this.#running) return;
    this.#running = true;
    this.#last = Date.now();
    const whole = location.pathname + location.search;
    const only = `${whole}${location.search ? "&" : "?"}only=`;
    const addresses = this.#whole || this.#moved.size > 2 ? [whole] : [...this.#moved].map((course) => only + course);
    this.#whole = false;
    this.#moved.clear();
    try {
      for (const address of addresses) {
        const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html" }, redirect: "manual" });
        if (answer.ok) this.#place(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch {
      // Away: the tail says so, and the whole board is drawn when it is back.
    } finally {
      this.#running = false;
      if (this.#whole) this.soon();
      else for (const course of this.#moved) this.soon(course);
    }
  }

  /** @param {Document} drawn */
  #place(drawn) {
    let left = false;
    for (const part of drawn.querySelectorAll("[data-part][id]")) {
      const here = document.getElementById(part.id);
      if (!here || essence(here) === essence(part)) continue;
      if (inUse(here)) {
        left = true;
        continue;
      }
      const focused = here.contains(document.activeElement);
      here.replaceWith(document.adoptNode(part));
      if (focused) /** @type {HTMLElement | null} */ (part.querySelector("button, a, summary"))?.focus({ preventScroll: true });
      if (part.id.startsWith("head-")) stand(part);
    }
    sayNext();
    tick();
    this.keep();
    if (left) setTimeout(() => this.soon(), 5 * REFRESH_MS);
  }

  /** Renew what opens without a network: this board, and everybody's emergency sheet. */
  async keep() {
    if (!("serviceWorker" in navigator) || Date.now() - this.#keptAt < KEEP_MS) return;
    this.#keptAt = Date.now();
    const sheets = [...document.querySelectorAll("a[data-sheet]")].map((link) => /** @type {HTMLAnchorElement} */ (link).href);
    (await navigator.serviceWorker.ready).active?.postMessage({ type: "keep", addresses: [location.href.split("#")[0], ...sheets] });
  }
}

async function start() {
  tick();
  setInterval(tick, TICK_MS);
  const fresh = new Fresh();
  let inTouch = false;
  document.body.addEventListener("keel:event", (event) => {
    const [kind, subject] = /** @type {CustomEvent} */ (event).detail.stream.split(":");
    fresh.soon(kind === "course" ? subject : undefined);
  });
  document.body.addEventListener("keel:live", (event) => {
    inTouch = /** @type {CustomEvent} */ (event).detail.state === "in_touch";
    if (inTouch) fresh.soon();
  });
  main.addEventListener("input", leadOn);
  main.addEventListener("click", openVitals);
  const outbox = await Outbox.open({ url: entries, owner });
  takeOver(outbox);
  playFiles(outbox);
  showState(outbox, /** @type {HTMLElement} */ (document.querySelector("[data-outbox-state]")));
  outbox.addEventListener("change", () => showWaiting(outbox));
  // In touch, the tail tells of it in a moment; without it this device asks for itself.
  outbox.addEventListener("recorded", (event) => inTouch || fresh.soon(/** @type {CustomEvent} */ (event).detail.course || undefined));
  setInterval(() => document.visibilityState === "visible" && fresh.soon(), RENEW_MS);
  await showWaiting(outbox);
  main.dataset.ready = "yes";
  fresh.keep();
}

start();
