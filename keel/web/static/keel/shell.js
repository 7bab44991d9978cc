/**
 * What every page needs from the browser: the clock of the room, the service worker that keeps
 * forms and board at hand without a network, forgetting them when somebody signs out, and sending a form once.
 */

/** Write the time of the device into every `<time data-clock>`, on the minute. */
function runClock() {
  const clocks = document.querySelectorAll("time[data-clock]");
  if (!clocks.length) return;
  const tick = () => {
    const now = new Date();
    const shown = `${String(now.getHours()).padStart(2, "0")}:${String(now.getMinutes()).padStart(2, "0")}`;
    for (const clock of clocks) {
      if (clock.textContent !== shown) clock.textContent = shown;
      clock.setAttribute("datetime", now.toISOString());
    }
    setTimeout(tick, 60_000 - (now.getTime() % 60_000));
  };
  tick();
}

/** Register the worker named on `<html data-worker="/sw.js">`; pages without the name stay without one. */
async function startWorker() {
  const address = document.documentElement.dataset.worker;
  if (!address || !("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(address, { updateViaCache: "none" });
    const worker = (await navigator.serviceWorker.ready).active;
    // The first visit was over before the worker came: tell it what this page is made of.
    const files = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => new URL(name).pathname.startsWith("/static/"));
    worker?.postMessage({ type: "keep", addresses: [location.href.split("#")[0], ...files] });
  } catch (error) {
    console.warn("Pages will not open without a network:", error);
  }
}

/** Kept pages belong to whoever is signed in: signing out removes them from the device. The outbox stays. */
function forgetOnSignOut() {
  for (const form of document.querySelectorAll("form[data-sign-out]")) {
    form.addEventListener("submit", () => navigator.serviceWorker?.controller?.postMessage({ type: "forget" }));
  }
}

/** A double click sends a form once: the same form is not sent again before its answer came, or ten seconds later. */
function sendOnce() {
  const sent = new WeakSet();
  document.addEventListener("submit", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if (sent.has(form)) return event.preventDefault();
    sent.add(form);
    setTimeout(() => sent.delete(form), 10_000);
  });
}

runClock();
startWorker();
forgetOnSignOut();
sendOnce();
