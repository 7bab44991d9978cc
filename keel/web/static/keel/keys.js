/**
 * Keying a sheet fast: a whole code moves on to the next field of its column; Enter and the arrow keys move too;
 * p and n stand for "would rather not answer" and "does not apply". Without this script Tab does the same.
 */
const WORDS = { p: "prefer_not", n: "not_applicable" };

for (const table of document.querySelectorAll("[data-keys]")) {
  const column = (field) => [...table.querySelectorAll(field.matches("[data-second]") ? ":is(input, select)[data-second]" : ":is(input, select):not([data-second])")];
  const move = (field, by) => {
    const fields = column(field);
    const next = fields[fields.indexOf(field) + by];
    if (!next) return table.closest("form").querySelector("button.main, textarea").focus();
    next.focus();
    next.select?.();
  };
  table.addEventListener("input", (event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (field.matches("select")) return;
    const word = WORDS[field.value.toLowerCase()];
    if (word && "codes" in field.dataset) {
      field.value = word;
      return move(field, 1);
    }
    const codes = (field.dataset.codes ?? "").split(" ").filter(Boolean);
    const longer = codes.some((code) => code !== field.value && code.startsWith(field.value));
    if (codes.includes(field.value) && !longer) move(field, 1);
  });
  table.addEventListener("keydown", (event) => {
    const keys = event.target.matches("select") ? { Enter: 1 } : { Enter: 1, ArrowDown: 1, ArrowUp: -1 };
    const by = keys[event.key];
    if (!by) return;
    event.preventDefault();
    move(event.target, by);
  });
}
