/**
 * A questionnaire, one item at a time. Every answer is on the device the moment it is given and goes to the record by the
 * outbox; after a reload or a lost connection the form goes on where it stopped. Without this script the same form is
 * posted item by item and the server shows the next one.
 *
 * Where many questions share their answers (`data-matrix`) and the screen is wide, they may all stand on one page, each in
 * a row of its own, if the person wants that; it is kept on the device for the next time.
 *
 * Entries: `answer_given` `{response, instrument, version, item, value}` (value null: left out), and at the end
 * `response_finished` `{response, instrument, version, answered}`.
 */
import { Outbox, showState } from "./outbox.js";

/** Typing is kept on the device this long after the last key; it becomes an entry when the field is left. */
const TYPING_MS = 400;
const WIDE = matchMedia("(min-width: 48rem)");

class Questionnaire {
  /** @param {HTMLFormElement} form @param {Outbox} outbox */
  constructor(form, outbox) {
    this.form = form;
    this.outbox = outbox;
    const { course = "", response = "", instrument = "", version = "1" } = form.dataset;
    this.course = course;
    this.about = { response, instrument, version: Number(version) };
    this.draft = `response:${response}`;
    this.items = /** @type {HTMLFieldSetElement[]} */ ([...form.querySelectorAll("fieldset[data-item]")]);
    /** @type {Record<string, string | null>} */
    this.answers = {};
    this.next = /** @type {HTMLButtonElement} */ (form.querySelector("[data-next]"));
    this.nextLabel = this.next.textContent ?? "";
    this.back = /** @type {HTMLButtonElement} */ (form.querySelector("[data-back]"));
    this.progress = /** @type {HTMLProgressElement} */ (form.querySelector("[data-progress]"));
    this.howFar = /** @type {HTMLElement} */ (form.querySelector("[data-how-far]"));
    this.switch = /** @type {HTMLButtonElement | null} */ (form.querySelector("[data-matrix-switch]"));
    this.wanted = false;
    this.finished = false;
    this.leaving = false;
    this.typing = 0;
    /** @type {Promise<void>} */
    this.giving = Promise.resolve();
  }

  async start() {
    const kept = (await this.outbox.kept(this.draft)) ?? { answers: {}, at: "" };
    const waiting = new Set();
    for (const { kind, payload } of await this.outbox.entries())
      if (kind === "answer_given" && payload.response === this.about.response) waiting.add(payload.item);
    for (const item of this.items) {
      const id = item.dataset.item ?? "";
      const served = value(item);
      // What the server shows is newer than what we kept, unless ours has not been sent yet.
      if (id in kept.answers && (served === null || waiting.has(id))) this.answers[id] = kept.answers[id];
      else if (served !== null) this.answers[id] = served;
      fill(item, this.answers[id] ?? kept.typed?.[id] ?? null);
    }
    const served = this.items.find((item) => !item.hidden);
    this.here = this.items.find((item) => item.dataset.item === kept.at && this.asked(item)) ?? served ?? this.items[0];
    this.wanted = (await this.outbox.kept("matrix")) === true;
    this.switch?.addEventListener("click", () => this.turn());
    WIDE.addEventListener("change", () => this.finished || this.show({ focus: false }));
    this.form.addEventListener("submit", (event) => this.step(event));
    this.form.addEventListener("change", (event) => this.heard(event));
    this.form.addEventListener("input", (event) => this.typed(event));
    this.show({ focus: false });
  }

  /** Whether an item is asked, given the answers so far; `data-ask-when="2:1|2"` means item 2 answered 1 or 2. */
  asked(item) {
    const rule = item.dataset.askWhen;
    if (!rule) return true;
    const [other, values] = rule.split(":");
    return values.split("|").includes(String(this.answers[other] ?? ""));
  }

  /** Whether it is open yet: the item that decides has not been answered. */
  open(item) {
    const other = item.dataset.askWhen?.split(":")[0];
    return other !== undefined && !(other in this.answers);
  }

  /** Whether all questions stand on one page. */
  get matrix() {
    return this.wanted && this.switch !== null && WIDE.matches;
  }

  async turn() {
    this.wanted = !this.wanted;
    this.show({ focus: false });
    await this.outbox.keep("matrix", this.wanted).catch(() => undefined); // then it holds for this page only
  }

  show({ focus = true } = {}) {
    const matrix = this.matrix;
    this.form.toggleAttribute("data-as-matrix", matrix);
    for (const item of this.items) item.hidden = item.disabled = matrix ? !this.asked(item) : item !== this.here;
    if (this.switch) {
      this.switch.hidden = !WIDE.matches;
      this.switch.textContent = matrix ? "One question at a time" : "All questions on one page";
    }
    const path = this.items.filter((item) => this.asked(item) || this.open(item));
    const place = path.indexOf(this.here);
    const most = path.some((item) => this.open(item)) ? "at most " : "";
    const done = path.filter((item) => (item.dataset.item ?? "") in this.answers).length;
    this.howFar.textContent = matrix ? `${done} of ${most}${path.length} answered` : `Question ${place + 1} of ${most}${path.length}`;
    this.progress.max = path.length;
    this.progress.value = matrix ? done : place;
    this.back.hidden = this.back.disabled = matrix || place === 0;
    this.leaving = false;
    this.say("");
    const last = matrix || !this.items.slice(this.items.indexOf(this.here) + 1).some((item) => this.asked(item));
    this.next.textContent = last ? (this.next.dataset.finishLabel ?? this.nextLabel) : this.nextLabel;
    if (focus) this.face(this.here);
  }

  /** @param {HTMLFieldSetElement} item */
  face(item) {
    /** @type {HTMLElement} */ (item.querySelector("legend")).focus({ preventScroll: true });
    if (this.matrix) item.scrollIntoView({ block: "center" });
    else scrollTo(0, 0);
  }

  /** @param {Event} event */
  async heard(event) {
    const item = /** @type {HTMLFieldSetElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("fieldset"));
    if (item && this.matrix) this.here = item;
    if (item !== this.here) return;
    await this.give(value(this.here)).catch(() => undefined);
    // An answer may open or close another question; but what was said about blanks in the meantime stays said.
    if (this.matrix && !this.leaving && !this.finished) this.show({ focus: false });
  }

  /** @param {Event} event */
  typed(event) {
    if (!/** @type {HTMLElement} */ (event.target).matches("textarea, [type=number]")) return;
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.remember(), TYPING_MS);
  }

  /** Record an answer, unless it is the one we have; resolves once it is durable on this device. */
  give(given) {
    const id = this.here.dataset.item ?? "";
    if (id in this.answers && this.answers[id] === given) return this.giving;
    const before = this.answers[id];
    this.answers[id] = given;
    this.leaving = false;
    this.say("");
    const payload = { ...this.about, item: id, value: given };
    this.giving = this.outbox.put({ kind: "answer_given", course: this.course, payload }).then(
      () => this.remember(),
      (error) => {
        if (before === undefined) delete this.answers[id];
        else this.answers[id] = before;
        this.say("This answer could not be saved on this device. Please try once more, or tell your team.");
        throw error;
      },
    );
    return this.giving;
  }

  async remember() {
    const typed = { [this.here.dataset.item ?? ""]: value(this.here) };
    await this.outbox.keep(this.draft, { answers: this.answers, at: this.here.dataset.item, typed });
  }

  /** Everything on the page: what was typed and not yet heard is given, and what is open is asked for once more. */
  async all() {
    const asked = this.items.filter((item) => this.asked(item));
    const open = asked.filter((item) => value(item) === null && !((item.dataset.item ?? "") in this.answers));
    if (open.length && !this.leaving) {
      this.leaving = true;
      const many = open.length === 1 ? "One question has no answer yet." : `${open.length} questions have no answer yet.`;
      this.say(`${many} Answer, or press again to leave ${open.length === 1 ? "it" : "them"} out.`);
      this.next.textContent = "Leave out and finish";
      this.here = open[0];
      return this.face(open[0]);
    }
    this.next.disabled = true;
    try {
      for (const item of asked) {
        this.here = item;
        await this.give(value(item));
      }
    } catch {
      return undefined;
    } finally {
      this.next.disabled = false;
    }
    return this.finish();
  }

  /** @param {SubmitEvent} event */
  async step(event) {
    event.preventDefault();
    if (this.matrix) return this.all();
    const at = this.items.indexOf(this.here);
    if (event.submitter === this.back) return this.go(this.items.slice(0, at).reverse().find((item) => this.asked(item)));
    const given = value(this.here);
    if (given === null && !this.leaving && !((this.here.dataset.item ?? "") in this.answers)) {
      this.leaving = true;
      this.say("You have not answered this one. Choose an answer, or press again to leave it out.");
      this.next.textContent = "Leave it out and go on";
      return undefined;
    }
    this.next.disabled = true;
    try {
      await this.give(given);
    } catch {
      return undefined; // give() has said so; the answer stays on the screen
    } finally {
      this.next.disabled = false;
    }
    const following = this.items.slice(at + 1).find((item) => this.asked(item));
    return following ? this.go(following) : this.finish();
  }

  /** @param {HTMLFieldSetElement | undefined} item */
  async go(item) {
    if (!item) return;
    this.here = item;
    this.show();
    await this.remember();
  }

  async finish() {
    const answered = Object.values(this.answers).filter((given) => given !== null).length;
    await this.outbox.put({ kind: "response_finished", course: this.course, payload: { ...this.about, answered } });
    await this.outbox.drop(this.draft);
    this.finished = true;
    for (const part of this.form.querySelectorAll("fieldset, .how-far, .lead-in, .steps, [data-while-answering]"))
      /** @type {HTMLElement} */ (part).hidden = true;
    const thanks = document.createElement("div");
    thanks.className = "stack";
    const heading = document.createElement("h2");
    heading.tabIndex = -1;
    heading.textContent = "Thank you. That was the last question.";
    const words = document.createElement("p");
    thanks.append(heading, words);
    this.form.prepend(thanks);
    heading.focus();
    const say = async () => {
      const { waiting, refused } = await this.outbox.standing();
      words.textContent = waiting
        ? "Your answers are safe on this device. They go to your team as soon as there is a network; you can close this page and open it again later."
        : refused
          ? "Some of it was not taken. Below you see why, and what to do."
          : "Your answers have reached your team.";
      if (!waiting && !refused && this.form.dataset.done) location.assign(this.form.dataset.done);
    };
    this.outbox.addEventListener("change", say);
    await say();
  }

  say(words) {
    const place = this.form.querySelector("[data-says]");
    if (place) place.textContent = words;
  }
}

/** @param {HTMLFieldSetElement} item @returns {string | null} the answer as entered, null when there is none */
function value(item) {
  const picked = item.querySelector("input[type=radio]:checked");
  if (picked) return /** @type {HTMLInputElement} */ (picked).value;
  if (item.querySelector("[data-decline]:checked")) return "prefer_not";
  const boxes = /** @type {HTMLInputElement[]} */ ([...item.querySelectorAll("input[type=checkbox]:not([data-decline])")]);
  if (boxes.length) return boxes.filter((box) => box.checked).map((box) => box.value).join(",") || null;
  const field = /** @type {HTMLInputElement | null} */ (item.querySelector("input:not([type=radio], [type=checkbox]), textarea, select"));
  if (!field || (field.type === "range" && !("touched" in field.dataset))) return null;
  return field.value.trim() === "" ? null : field.value;
}

/** @param {HTMLFieldSetElement} item @param {string | null} given */
function fill(item, given) {
  const field = /** @type {HTMLInputElement | null} */ (item.querySelector("input:not([type=radio], [type=checkbox]), textarea, select"));
  const decline = /** @type {HTMLInputElement | null} */ (item.querySelector("[data-decline]"));
  if (field && "line" in field.dataset) {
    field.type = "range";
    // A line stands somewhere before it is touched; only a touched one is an answer, also where it already stood.
    for (const touch of ["input", "pointerup", "keyup"])
      field.addEventListener(touch, (event) => {
        if (/** @type {KeyboardEvent} */ (event).key !== "Tab") field.dataset.touched = "";
      });
  }
  // An answer takes a refusal to answer back, and a refusal the answer.
  item.addEventListener("input", (event) => {
    const changed = /** @type {HTMLInputElement} */ (event.target);
    if (!decline) return;
    if (changed !== decline) decline.checked = false;
    else if (decline.checked) for (const box of others) box.checked = false;
  });
  const others = /** @type {NodeListOf<HTMLInputElement>} */ (item.querySelectorAll("input[type=checkbox]:not([data-decline])"));
  if (decline) decline.checked = given === "prefer_not";
  if (given === null || (decline && given === "prefer_not")) return;
  const boxes = others;
  for (const box of boxes) box.checked = given.split(",").includes(box.value);
  if (boxes.length) return;
  for (const radio of item.querySelectorAll("input[type=radio]"))
    /** @type {HTMLInputElement} */ (radio).checked = /** @type {HTMLInputElement} */ (radio).value === given;
  if (field) {
    field.value = given;
    field.dataset.touched = "";
  }
}

for (const form of document.querySelectorAll("form[data-questionnaire]")) {
  const { outbox: url = "", owner = "" } = /** @type {HTMLFormElement} */ (form).dataset;
  try {
    const outbox = await Outbox.open({ url, owner });
    await new Questionnaire(/** @type {HTMLFormElement} */ (form), outbox).start();
    const state = form.querySelector("[data-outbox-state]");
    if (state instanceof HTMLElement) showState(outbox, state);
    form.setAttribute("data-ready", "");
  } catch (error) {
    // No store on this device (a private window, say): the plain form still works, item by item.
    console.warn("Answers are sent by the plain form:", error);
  }
}
