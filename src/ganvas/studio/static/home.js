// The first page: the four things to do, and the last runs; where there are none, a GAN learns behind it.
import { get, socket } from "./api.js";
import { h, quiet } from "./dom.js";
import { link, sheet } from "./runs.js";

const CARDS = [
  ["/play", "Play", "Watch a GAN learn points in the plane, and change it while it does."],
  ["/runs", "Train", "Start a run on images of yours, and watch it: samples, curves, the doctor's findings."],
  ["/enhance", "Enhance", "Drop photographs: larger, restored, coloured, filled in, translated, stylized."],
  ["/explore", "Explore", "Look at what a trained generator makes, and take images and films with you."],
];

export async function show(place) {
  const card = (href, ...children) => h("a", { class: "card", href }, ...children);
  const cards = CARDS.map(([href, title, text]) => card(href, h("h2", {}, title), h("p", {}, text)));
  place.append(h("h1", {}, "Ganvas studio"), h("div", { class: "cards" }, ...cards));
  const { runs } = await get("/runs");
  if (!runs.length) return behind(place);
  const last = runs.slice(0, 4).map((run) => card(link(run.name), h("h3", {}, run.name), sheet(run),
    quiet(run.title ? `${run.title}: ${run.state}` : run.state)));
  place.append(h("h2", {}, "Last runs"), h("div", { class: "cards" }, ...last));
  return null;
}

// Play itself behind the page, without its tools, ten frames a second; none for those who want less motion.
async function behind(place) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  if (still.matches) return null;
  const [{ decode }, { drawScene }, { opening }] = await Promise.all([
    import("./play_wire.js"), import("./play_canvas.js"), get("/play/menus"),
  ]);
  const canvas = h("canvas", { class: "behind", "aria-hidden": true });
  place.append(canvas);
  const channel = socket("/play");
  const send = (message) => channel.readyState === WebSocket.OPEN && channel.send(JSON.stringify(message));
  const picture = {};
  channel.onopen = () => {
    const wishes = [{ kind: "parts", parts: { arrows: false } }, { kind: "start", settings: opening },
      { kind: "speed", steps: 4 }, { kind: "play" }];
    for (const wish of wishes) send(wish);
  };
  channel.onmessage = ({ data }) => {
    if (typeof data === "string") return;
    const { reals, latents, ...rest } = decode(data);
    Object.assign(picture, rest, reals && { reals, latents });
    drawScene(canvas, picture, { reals: true, fakes: true, map: true });
    if (rest.kind === "live") setTimeout(send, 100, { kind: "drawn" });
  };
  const stop = () => channel.close();
  still.onchange = stop;
  return stop;
}
