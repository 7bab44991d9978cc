/**
 * Shows where help is the moment an answer asks for it, also without a network: `data-help-when="1|2|3"` on a question
 * names the answers, `[data-help]` is what is shown. It stays until the page is left.
 */
const help = document.querySelector("[data-help]");

for (const question of document.querySelectorAll("fieldset[data-help-when]")) {
  const values = question.getAttribute("data-help-when").split("|");
  question.addEventListener("change", (event) => {
    const given = /** @type {HTMLInputElement} */ (event.target).value;
    if (!(help instanceof HTMLElement) || !values.includes(given)) return;
    help.hidden = false;
    help.focus();
    help.scrollIntoView({ block: "start" });
  });
}
