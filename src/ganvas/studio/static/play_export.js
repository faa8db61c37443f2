// What can be taken away: the picture, the film, the recipe with its command, and a link that carries the settings.
import { call, download } from "./api.js";
import { h, notice, quiet, row, titled } from "./dom.js";
import { pack } from "./play_wire.js";

const FILM_STEPS = 20_000; // the longest film
const FRAMES = 60;

// `state()` gives {settings, scripts, side, canvases, step, defaults} of the moment.
export function exportMenu(state) {
  const line = h("code", {});
  const words = quiet();
  const place = h("div", { class: "recipe", hidden: true }, words, line);
  const film = (kind) => titled(kind.toUpperCase(), `The film from step 0 to the step that is shown, as ${kind}`,
    () => saveFilm(state(), kind));
  const recipe = async () => {
    await save(state(), "recipe", "play.json");
    [words.textContent, line.textContent] = commandOf(state());
    place.hidden = false;
  };
  const menu = h("details", { class: "export" },
    h("summary", { title: "Picture, film, recipe, link" }, "Save and share"),
    h("div", { class: "export-body" },
      row(titled("PNG", "The picture as it is shown", () => savePicture(state())), film("gif"), film("mp4"),
        titled("Recipe", "A recipe that ganvas train takes", recipe),
        titled("Points", "The points of the data, for ganvas train", () => save(state(), "points", "points.npy")),
        titled("Copy link", "A link that opens this film: its settings and their changes", () => copyLink(state()))),
      place));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  return menu;
}

async function savePicture({ canvases, step }) {
  const whole = document.createElement("canvas");
  whole.width = canvases.reduce((sum, canvas) => sum + canvas.width, 0);
  whole.height = canvases[0].height;
  const brush = whole.getContext("2d");
  let x = 0;
  for (const canvas of canvases) {
    brush.drawImage(canvas, x, 0);
    x += canvas.width;
  }
  download(await new Promise((resolve) => whole.toBlob(resolve, "image/png")), `play-${step}.png`);
}

async function saveFilm({ scripts, side, step }, kind) {
  const steps = Math.min(FILM_STEPS, Math.max(step, 100));
  notice(`Making the film of ${steps.toLocaleString("en")} steps …`, 600_000);
  const json = { settings: scripts[side], steps, frames: FRAMES };
  const answer = await call(`/play/film/${kind}`, { method: "POST", json });
  download(await answer.blob(), `play.${kind}`);
  notice("The film is saved.");
}

async function save({ settings }, what, name) {
  const answer = await call(`/play/${what}`, { method: "POST", json: settings });
  download(await answer.blob(), name);
}

// The command of a recipe, and a sentence about what it trains.
function commandOf({ settings, scripts, side, step }) {
  const drawn = settings.data === "drawn";
  const words = [drawn && "The button Points saves the points that you drew."];
  if (scripts[side].changes.length) {
    words.push("This film has changes, which a link and a saved film carry, and a recipe cannot.",
      "This trains the settings of now from step 0:");
  } else words.push("Trains the same on the command line:");
  const images = Math.max(1000, step) * Math.max(settings.d_steps, settings.g_steps) * settings.batch;
  const data = `--data ${drawn ? "points.npy" : settings.data} --seed ${settings.seed}`;
  return [words.filter(Boolean).join(" "),
    `ganvas train play.json ${data} --images ${images} --device cpu --outdir runs/play`];
}

async function copyLink({ scripts, defaults }) {
  const link = `${location.origin}/play#s=${pack(scripts, defaults)}`;
  history.replaceState(history.state, "", link);
  try {
    await navigator.clipboard.writeText(link);
    notice("The link is copied; it is in the address bar, too.");
  } catch {
    notice("The link is in the address bar.");
  }
}

// Lessons: two sentences and a button each.
export function lessons(presets, start) {
  const cards = presets.map((preset) => h("article", { class: "card lesson" },
    h("h3", {}, preset.name), h("p", {}, preset.look), quiet(preset.why),
    titled(["Play it", h("span", { class: "hidden" }, `: ${preset.name}`)],
      `Begin a film with the settings of: ${preset.name}`, () => start(preset))));
  return h("section", { "aria-labelledby": "lessons" }, h("h2", { id: "lessons" }, "Lessons"),
    h("div", { class: "cards" }, cards));
}
