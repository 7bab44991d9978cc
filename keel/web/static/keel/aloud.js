/**
 * Reads the question on the screen aloud (all of them, where all stand on one page) with the device's own voice: nothing is sent anywhere. The button is there only
 * where the device has one. Another question, a second press or leaving the page ends the reading.
 */
const button = document.querySelector("[data-aloud]");

if (button instanceof HTMLElement && "speechSynthesis" in window) {
  const form = /** @type {HTMLFormElement} */ (button.closest("form"));
  const words = () => {
    const parts = form.querySelectorAll("fieldset[data-item]:not([hidden]) :is(legend, .hint, .choice, .between > span)");
    return [...parts].map((part) => part.textContent?.trim() ?? "").filter(Boolean).join(". ");
  };
  const stop = () => {
    speechSynthesis.cancel();
    button.setAttribute("aria-pressed", "false");
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const reading = button.getAttribute("aria-pressed") === "true";
    stop();
    if (reading) return;
    const said = new SpeechSynthesisUtterance(words());
    said.lang = form.lang || document.documentElement.lang;
    said.addEventListener("end", stop);
    button.setAttribute("aria-pressed", "true");
    speechSynthesis.speak(said);
  });
  form.addEventListener("submit", stop);
  addEventListener("pagehide", stop);
}
