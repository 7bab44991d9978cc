/*
 * Keeps forms and board at hand without a network. Serve it at /sw.js (Cache-Control: no-cache), so that it may see every page.
 *
 * Pages: the network first. A page is kept only when the server says so with the header `Keel-Keep: yes`, because what is
 * kept lies on the device; signing out forgets all of it. Static files: from the cache, renewed behind.
 * What is entered is none of this worker's business: that is the outbox.
 */
const PAGES = "keel-pages-1";
const FILES = "keel-files-1";
const NETWORK_WITHIN_MS = 6_000;

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => {
  const clear = async () => {
    for (const name of await caches.keys()) if (name !== PAGES && name !== FILES) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clear());
});

self.addEventListener("message", (event) => {
  const { type, addresses = [] } = event.data ?? {};
  if (type === "forget") event.waitUntil(caches.delete(PAGES));
  if (type === "keep") event.waitUntil(Promise.allSettled(addresses.map(keep)));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (url.pathname.startsWith("/static/")) event.respondWith(file(event));
});

/** Keep an address the page has already loaded: the first visit comes before this worker does. */
async function keep(address) {
  const url = new URL(address, self.location.origin);
  if (url.origin !== self.location.origin) return;
  const answer = await fetch(url, { credentials: "same-origin" });
  if (url.pathname.startsWith("/static/")) await put(FILES, url.href, answer);
  else if (answer.headers.get("Keel-Keep") === "yes") await put(PAGES, url.href, answer);
}

async function put(name, address, answer) {
  if (answer.ok && !answer.redirected) await (await caches.open(name)).put(address, answer);
}

async function page(request) {
  const kept = await (await caches.open(PAGES)).match(request.url);
  try {
    // With a kept page at hand, do not let a dying network hold anybody up.
    const answer = await fetch(request, kept ? { signal: AbortSignal.timeout(NETWORK_WITHIN_MS) } : undefined);
    if (answer.ok && answer.headers.get("Keel-Keep") === "yes") await put(PAGES, request.url, answer.clone());
    return answer;
  } catch {
    return kept ?? away();
  }
}

async function file(event) {
  const cache = await caches.open(FILES);
  const kept = await cache.match(event.request);
  const fresh = fetch(event.request).then(async (answer) => {
    if (answer.ok) await cache.put(event.request, answer.clone());
    return answer;
  });
  if (!kept) return fresh;
  event.waitUntil(fresh.catch(() => undefined));
  return kept;
}

function away() {
  const words = `<!doctype html><html lang="en" data-surface="pocket"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>No network · Keel</title><link rel="stylesheet" href="/static/keel/keel.css">
<body><div class="page"><main><h1>There is no network</h1><p>This page was not kept on this device. What you entered before is safe here and
will be sent when the network is back.</p><p><a class="button" href="">Try again</a></p></main></div></body></html>`;
  return new Response(words, { status: 503, headers: { "Content-Type": "text/html; charset=utf-8" } });
}
