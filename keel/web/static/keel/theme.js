/* Sets the theme before the first paint, so it is a plain script in the head and not a module.
   The choice lives in a cookie: the server can then write data-theme itself. */
(() => {
  const root = document.documentElement;
  const chosen = document.cookie.match(/(?:^|; )keel_theme=(light|dim)/)?.[1];
  if (chosen) root.dataset.theme = chosen;

  const dim = () =>
    root.dataset.theme
      ? root.dataset.theme === "dim"
      : root.dataset.surface === "room" || matchMedia("(prefers-color-scheme: dark)").matches;

  const choose = (theme) => {
    root.dataset.theme = theme;
    document.cookie = `keel_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  };

  document.addEventListener("DOMContentLoaded", () => {
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
