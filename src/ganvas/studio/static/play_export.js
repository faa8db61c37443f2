// What can be taken away: the picture, the film, the recipe with its command, and a link that carries the settings.
import { call, download } from "./api.js";
import { h, notice, quiet, row, titled } from "./dom.js";
import { pack } from "./play_wire.js";

const FILM_STEPS = 20_000; // the longest film
const FRAMES = 60;

// `state()` gives {settings, canvases, step, defaults} of the moment.
export function exportMenu(state) {
  const line = h("code", {});
  const place = h("div", { class: "command", hidden: true }, quiet("Trains the same on the command line:"), line);
  const film = (kind) => titled(kind.toUpperCase(), `The film from step 0 with these settings, as ${kind}`,
    () => saveFilm(state(), kind));
  const recipe = async () => {
    line.textContent = await saveRecipe(state());
    place.hidden = false;
  };
  const menu = h("details", { class: "export" },
    h("summary", { title: "Picture, film, recipe, link" }, "Save and share"),
    h("div", { class: "export-body" },
      row(titled("PNG", "The picture as it is shown", () => savePicture(state())), film("gif"), film("mp4"),
        titled("Recipe", "A recipe that ganvas train takes", recipe),
        titled("Copy link", "A link that opens the studio with these settings", () => copyLink(state()))),
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

async function saveFilm({ settings, step }, kind) {
  const steps = Math.min(FILM_STEPS, Math.max(step, 100));
  notice(`Making the film of ${steps.toLocaleString("en")} steps …`, 600_000);
  const answer = await call(`/play/film/${kind}`, { method: "POST", json: { settings, steps, frames: FRAMES } });
  download(await answer.blob(), `play.${kind}`);
  notice("The film is saved.");
}

async function saveRecipe({ settings, step }) {
  const answer = await call("/play/recipe", { method: "POST", json: settings });
  download(await answer.blob(), "play.json");
  const data = settings.data === "drawn" ? "ring" : settings.data;
  if (settings.data === "drawn")
    notice("Drawn points have no name on the command line, so the command takes the ring.");
  const images = Math.max(1000, step) * Math.max(settings.d_steps, settings.g_steps) * settings.batch;
  return `ganvas train play.json --data ${data} --seed ${settings.seed} --images ${images} --outdir runs/play`;
}

export const linkOf = (settings, defaults) => `${location.origin}/play#s=${pack(settings, defaults)}`;

async function copyLink({ all, defaults }) {
  const link = linkOf(all, defaults);
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
