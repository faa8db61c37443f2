// The first page: the four things to do, and the last runs.
import { get } from "./api.js";
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
  if (!runs.length) return;
  const last = runs.slice(0, 4).map((run) => card(link(run.name), h("h3", {}, run.name), sheet(run),
    quiet(run.title ? `${run.title}: ${run.state}` : run.state)));
  place.append(h("h2", {}, "Last runs"), h("div", { class: "cards" }, ...last));
}
