/* Sets the theme and the size of the type before the first paint, so it is a plain script in the head and not a module.
   The choices live in cookies: the server can then write data-theme and data-large itself. */
(() => {
  const root = document.documentElement;
  const chosen = document.cookie.match(/(?:^|; )keel_theme=(light|dim)/)?.[1];
  if (chosen) root.dataset.theme = chosen;

  const large = document.cookie.match(/(?:^|; )keel_large=(yes|no)/)?.[1];
  if (large) root.toggleAttribute("data-large", large === "yes");

  const dim = () =>
    root.dataset.theme
      ? root.dataset.theme === "dim"
      : root.dataset.surface === "room" || matchMedia("(prefers-color-scheme: dark)").matches;

  const choose = (theme) => {
    root.dataset.theme = theme;
    document.cookie = `keel_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  };

  document.addEventListener("DOMContentLoaded", () => {
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-large-switch]"))) {
      const say = () => (button.textContent = root.hasAttribute("data-large") ? "Usual text" : "Larger text");
      button.hidden = false;
      say();
      button.addEventListener("click", () => {
        const now = root.toggleAttribute("data-large") ? "yes" : "no";
        document.cookie = `keel_large=${now}; path=/; max-age=31536000; samesite=lax`;
        say();
      });
    }
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-theme-switch]"))) {
      const say = () => (button.textContent = dim() ? "Light screen" : "Dim screen");
      button.dataset.ready = "";
      say();
      button.addEventListener("click", () => {
        choose(dim() ? "light" : "dim");
        say();
      });
    }
  });
})();
