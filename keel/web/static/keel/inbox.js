/**
 * The inbox follows the journal: a moved or new alert is fetched and shown. While somebody is writing in it nothing is
 * moved under their hands: a button says that something changed.
 */
const inbox = /** @type {HTMLElement} */ (document.querySelector("[data-inbox]"));
const waits = /** @type {HTMLElement} */ (document.querySelector("[data-inbox-waits]"));
let fetching = Promise.resolve();
let behind = false;

const busy = () => Boolean(inbox.querySelector("details[open]")) || inbox.contains(document.activeElement);

async function load(/** @type {boolean} */ asked) {
  behind = false;
  waits.hidden = true;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(`the inbox was not fetched: ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const menu = page.querySelector(".masthead .nav");
  if (menu) document.querySelector(".masthead .nav")?.replaceWith(menu);
  document.title = page.title;
  const fresh = page.querySelector("[data-inbox]");
  if (busy() && !asked) waits.hidden = false; // somebody began to write while it was fetched
  else if (fresh) inbox.replaceChildren(...fresh.childNodes);
}

/** One fetch at a time; what comes meanwhile asks for one more. */
function show(asked = false) {
  if (behind) return;
  behind = true;
  fetching = fetching.then(() => load(asked)).catch((error) => {
    behind = false;
    waits.hidden = false;
    console.warn(error);
  });
}

const changed = () => (busy() ? (waits.hidden = false) : show());

for (const kind of ["alert_raised", "alert_moved", "alert_climbed"]) document.body.addEventListener(`keel:${kind}`, changed);
waits.querySelector("button")?.addEventListener("click", () => show(true));
setInterval(() => !busy() && show(), 60_000); // ages grow also when nothing happens
