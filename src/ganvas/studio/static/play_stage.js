// The stage: one or two films as pictures, with the sentence that is their legend and the names of their dots.
import { fill, h, titled } from "./dom.js";
import { dotAt, drawScene } from "./play_canvas.js";
import { ROWS } from "./play_charts.js";

const MORPH = 2000; // milliseconds from the regular grid to the generator's
const SPOKEN = 1500; // milliseconds between two texts for screen readers

const quiet = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function stage({ films, shown, toggle }) {
  const place = h("div", { class: "films" });
  const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const sentence = legend(toggle);
  let bend = 1;
  let [spoken, later] = [0, 0];
  const show = () => {
    for (const film of films) drawScene(film.canvas, film.picture, shown, { morph: bend });
    clearTimeout(later);
    if (performance.now() - spoken < SPOKEN) later = setTimeout(tell, SPOKEN);
    else tell();
  };
  const tell = () => {
    spoken = performance.now();
    films.forEach(speak);
  };
  const arrange = () => {
    fill(place, ...films.map((film, side) => {
      film.canvas ??= filmCanvas(film, { shown, tip });
      film.canvas.dataset.name = films.length > 1 ? `${"AB"[side]}: ` : "";
      const caption = h("figcaption", {}, films.length > 1 ? `${"AB"[side]}` : "", film.note);
      return h("figure", { class: "film" }, film.canvas, caption);
    }));
    place.classList.toggle("two", films.length > 1);
  };
  return {
    element: h("div", { class: "stage" }, place, tip, sentence.element), arrange, show, layers: sentence.layers,
    bend: () => bend,
    morph: (redraw) => morph((value) => { bend = value; redraw(); }),
    speak: () => { spoken = 0; },
  };
}

let morphing = 0;

// From the regular grid to the generator's in two seconds; without motion, at once after a look at the regular one.
function morph(put) {
  const begin = performance.now();
  const mine = ++morphing;
  const turn = () => {
    if (mine !== morphing) return;
    const share = Math.min(1, (performance.now() - begin) / MORPH);
    put(quiet() ? Math.floor(share) : share * share * (3 - 2 * share));
    if (share < 1) requestAnimationFrame(turn);
  };
  turn();
}

function filmCanvas(film, { shown, tip }) {
  const canvas = h("canvas", { class: "plane", role: "img", "aria-label": "The film is about to begin." });
  canvas.onpointermove = (event) => {
    const dot = dotAt(canvas, event, film.picture, shown);
    tip.hidden = !dot;
    if (!dot) return;
    tip.textContent = `${dot.name} ${dot.x.toFixed(2)}, ${dot.y.toFixed(2)}`;
    const around = canvas.closest(".stage").getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX - around.left + 12, around.width - 110)}px`;
    tip.style.top = `${event.clientY - around.top + 12}px`;
  };
  canvas.onpointerleave = () => { tip.hidden = true; };
  return canvas;
}

// The picture in words: its step and its figures.
function speak(film) {
  const { picture, canvas } = film;
  if (!picture.fakes) return;
  const known = ROWS.filter(([name]) => Number.isFinite(picture.figures[name]));
  const figures = known.map(([, label, text]) => `${label} ${text(picture.figures)}`).join(", ");
  const scene = `Step ${picture.step}: ${picture.fakes.length / 2} fakes among the data`;
  canvas.setAttribute("aria-label", `${canvas.dataset.name}${scene}. ${figures}.`);
}

// One sentence whose words show and hide the layers.
function legend(toggle) {
  const word = (layer, text, what) => titled(text, `Show or hide ${what}`, () => toggle(layer),
    { class: `word word-${layer}`, "data-layer": layer });
  const element = h("p", { class: "legend" },
    "The generator's ", word("fakes", "fakes", "the fakes"), " should lie where the ",
    word("reals", "reals", "the real points"), " lie; the ",
    word("map", "discriminator's map", "where the discriminator takes points for real"),
    " is green where it takes points for real; the ", word("grid", "generator's grid", "the warped grid of noise"),
    " is dark where fakes are dense; ", word("arrows", "arrows", "the gradients at the fakes"),
    " show where each fake must move to fool the discriminator.");
  return {
    element,
    layers: (shown) => {
      for (const one of element.querySelectorAll("button")) one.ariaPressed = shown[one.dataset.layer];
    },
  };
}
