// The shell: one page, an address for every screen, and the back button.
import { h, fill, notice } from "./dom.js";

const SCREENS = {
  "": { title: "Ganvas studio", load: () => import("./home.js") },
  play: { title: "Play", load: () => import("./play.js") },
  runs: { title: "Runs", load: () => import("./runs.js") },
  explore: { title: "Explore", load: () => import("./explore.js") },
  enhance: { title: "Enhance", load: () => import("./enhance.js") },
  judge: { title: "Judge", load: () => import("./judge.js") },
  models: { title: "Models", load: () => import("./models.js") },
};

let leave = () => {};
let shown = ""; // address of the screen that is open

async function show() {
  shown = location.pathname;
  const [screen, ...rest] = location.pathname.slice(1).split("/").map(decodeURIComponent);
  const entry = SCREENS[screen] || SCREENS[""];
  const place = document.getElementById("main");
  leave();
  leave = () => {};
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.pathname === `/${screen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = screen ? `${entry.title} - Ganvas studio` : entry.title;
  try {
    const module = await entry.load();
    fill(place);
    leave = (await module.show(place, rest.join("/"))) || (() => {});
  } catch (problem) {
    fill(place, h("h1", {}, entry.title), h("p", { class: "problem" }, problem.message));
  }
}

// Go to another address of the studio without loading the page again.
export function go(address) {
  history.pushState({}, "", address);
  show();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  const plain = !event.defaultPrevented && event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey);
  if (!link || !plain || link.hasAttribute("download") || link.target || link.pathname.startsWith("/api")) return;
  event.preventDefault();
  go(link.href);
});
addEventListener("popstate", () => location.pathname !== shown && show()); // a fragment is its screen's own
addEventListener("unhandledrejection", (event) =>
  notice(event.reason?.message || String(event.reason), 15_000));

const names = Object.entries(SCREENS).filter(([name]) => name);
fill(document.getElementById("nav"), ...names.map(([name, { title }]) => h("a", { href: `/${name}` }, title)));
show();
