// The overview: noise -> generator -> fakes -> discriminator <- reals, both losses and their ways back, live.
import { h, fill, input } from "./dom.js";
import { colours, css, drawAnswers, drawScene, prepare } from "./play_canvas.js";

const [WIDE, HIGH] = [420, 344];
const SVG = "http://www.w3.org/2000/svg";
const only = (layer) => ({ [layer]: true });
const NODES = {
  noise: { at: [0, 8, 66], label: "Noise", title: "Random numbers that the generator starts from." },
  generator: {
    at: [98, 8, 84], label: "Generator", layer: "grid",
    title: "Its grid of noise, bent to where it sends it: hover or press to see it bend.",
  },
  fakes: { at: [214, 8, 66], label: "Fakes", layer: "fakes", title: "What the generator makes of the noise." },
  reals: { at: [214, 122, 66], label: "Reals", layer: "reals", title: "Points of the data." },
  discriminator: {
    at: [328, 46, 84], label: "Discriminator", layer: "map",
    title: "Green: it takes points there for real; purple: for fakes.",
  },
  answers: {
    at: [328, 172, 66], label: "Its answers",
    title: "Reals and fakes, coloured by what the discriminator says of them.",
  },
  gradients: {
    at: [98, 134, 66], label: "Gradients", layer: "arrows",
    title: "Where each fake must move to lower the generator's loss.",
  },
  d_loss: { at: [214, 262, 84], label: "D's loss", title: "The discriminator's loss." },
  g_loss: { at: [98, 262, 84], label: "G's loss", title: "The generator's loss." },
};
const PATHS = {
  "noise-g": "M66 41 H98", "g-fakes": "M182 41 H214",
  "fakes-d": "M280 41 C306 41 302 88 328 88", "reals-d": "M280 155 C306 155 302 88 328 88",
  "d-answers": "M366 152 V172", "answers-dloss": "M350 260 V284 H298", "answers-gloss": "M372 260 V332 H140 V316",
  "d-update": "M256 262 V220 H314 V116 H328", "g-gradient": "M131 262 V222", "g-update": "M131 134 V114",
};
const D = ["d-update"];
const G = ["g-gradient", "g-update"];

// Ten beats of one step: the sentence, and the nodes and ways that it is about.
export const BEATS = [
  ["Random noise is drawn, a number or two for every fake.", ["noise"], ["noise-g"]],
  ["The generator turns the noise into fakes.", ["generator", "fakes"], ["noise-g", "g-fakes"]],
  ["The discriminator says of fakes and of reals how real they look.",
    ["fakes", "reals", "discriminator", "answers"], ["fakes-d", "reals-d", "d-answers"]],
  ["Its loss is small where it called reals real and fakes fake.", ["answers", "d_loss"], ["answers-dloss"]],
  ["The discriminator's weights move to lower that loss: its map changes.", ["d_loss", "discriminator"], D],
  ["Now the generator's turn: noise again.", ["noise"], ["noise-g"]],
  ["The generator makes fakes of it.", ["generator", "fakes"], ["g-fakes"]],
  ["The discriminator, with its new weights, says how real they look.",
    ["fakes", "discriminator", "answers"], ["fakes-d", "d-answers"]],
  ["The generator's loss is small where fakes were taken for real.", ["answers", "g_loss"], ["answers-gloss"]],
  ["The gradient flows back through the fakes, and the generator's weights follow it.",
    ["g_loss", "gradients", "generator"], G],
];

export function graph({ toggle, morph }) {
  const canvases = {};
  const all = Object.entries(NODES).map(([name, node]) => [name, nodeOf(name, node, toggle, canvases)]);
  const nodes = Object.fromEntries(all);
  const ways = lines();
  const sentence = h("p", { class: "beat", role: "status", "aria-live": "polite" });
  const properties = { class: "graph", role: "group", "aria-label": "Overview of the game" };
  const picture = h("div", properties, ways.element, Object.values(nodes));
  for (const [name, canvas] of Object.entries(canvases)) canvas.title = NODES[name].title;
  const button = nodes.generator.querySelector("button");
  button.onpointerenter = button.onclick = () => morph();
  button.onfocus = () => button.matches(":focus-visible") && morph();
  return {
    element: h("div", {}, picture, sentence),
    draw: (film, bend) => draw(canvases, nodes, film, bend),
    beat: (number) => showBeat({ number, nodes, ways, sentence, picture }),
    flowing: (on) => picture.classList.toggle("flowing", on),
    layers: (shown) => {
      for (const box of picture.querySelectorAll("input[data-layer]")) box.checked = shown[box.dataset.layer];
    },
  };
}

function nodeOf(name, { at: [x, y, side], label, layer, title }, toggle, canvases) {
  const node = h("figure", { class: "node", "data-node": name, title });
  node.style.left = `${(100 * x) / WIDE}%`;
  node.style.top = `${(100 * y) / HIGH}%`;
  node.style.width = `${(100 * side) / WIDE}%`;
  if (name.endsWith("loss")) {
    const bar = h("div", { class: `bar bar-${name[0]}` });
    const value = h("output", { class: "number" }, "–");
    node.append(value, h("div", { class: "bar-back" }, bar), h("figcaption", {}, label));
    return node;
  }
  canvases[name] = h("canvas", { "aria-hidden": "true" });
  const spoken = "Show how the generator bends its grid";
  const body =
    name === "generator" ? h("button", { class: "plain", "aria-label": spoken }, canvases[name]) : canvases[name];
  const shows = `Show in the picture: ${label}`;
  const box = layer && input(() => toggle(layer), { type: "checkbox", "data-layer": layer, "aria-label": shows });
  node.append(body, h("figcaption", {}, layer ? h("label", {}, box, label) : label));
  return node;
}

function lines() {
  const element = document.createElementNS(SVG, "svg");
  element.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  element.setAttribute("aria-hidden", "true");
  const paths = {};
  for (const [name, d] of Object.entries(PATHS)) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", D.includes(name) ? "way way-d" : G.includes(name) ? "way way-g" : "way");
    paths[name] = path;
    element.append(path);
  }
  return { element, paths };
}

function draw(canvases, nodes, film, bend) {
  const { picture } = film;
  const small = { radius: 1 };
  drawNoise(canvases.noise, picture.latents, (picture.fakes?.length || 0) / 2);
  drawScene(canvases.generator, picture, only("grid"), { morph: bend });
  drawScene(canvases.fakes, picture, only("fakes"), small);
  drawScene(canvases.reals, picture, only("reals"), small);
  drawScene(canvases.discriminator, picture, only("map"), small);
  drawScene(canvases.gradients, picture, only("arrows"), small);
  drawAnswers(canvases.answers, picture);
  for (const name of ["d_loss", "g_loss"]) {
    const loss = picture.figures?.[name];
    nodes[name].querySelector("output").textContent = Number.isFinite(loss) ? loss.toFixed(3) : "–";
    nodes[name].querySelector(".bar").style.width = `${Math.min(100, Math.max(0, Math.abs(loss || 0) * 33))}%`;
  }
}

function drawNoise(canvas, latents, count) {
  const { brush, width } = prepare(canvas);
  if (!latents || !width) return;
  const flat = count === latents.length;
  brush.fillStyle = css(colours().quiet, 0.8);
  const place = (v) => (v / 3.2 + 1) * (width / 2);
  const step = flat ? 1 : 2;
  for (let k = 0; k < latents.length; k += step) {
    brush.fillRect(place(latents[k]) - 0.7, (flat ? width / 2 : place(-latents[k + 1])) - 0.7, 1.5, 1.5);
  }
}

function showBeat({ number, nodes, ways, sentence, picture }) {
  const [text, lit, flow] = BEATS[number - 1] || ["", [], []];
  const player = number > 5 ? "g" : "d";
  picture.classList.toggle("slow", number > 0);
  for (const [name, node] of Object.entries(nodes)) {
    node.classList.toggle("lit", lit.includes(name));
    node.classList.toggle("lit-g", lit.includes(name) && player === "g");
  }
  for (const [name, path] of Object.entries(ways.paths)) path.classList.toggle("lit", flow.includes(name));
  fill(sentence, number > 0 && h("span", { class: `count count-${player}` }, `${number} of 10`), text && ` ${text}`);
}
