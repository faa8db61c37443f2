// Play: two-dimensional GANs, live.  The server trains and measures; this page draws and steers.
import { get, socket } from "./api.js";
import { fill, h, input, notice, select, titled } from "./dom.js";
import { LAYERS } from "./play_canvas.js";
import { charts, figuresTable, History } from "./play_charts.js";
import { drawData } from "./play_draw.js";
import { exportMenu, lessons } from "./play_export.js";
import { settingsForm } from "./play_form.js";
import { graph } from "./play_graph.js";
import { SlowMotion } from "./play_slow.js";
import { stage } from "./play_stage.js";
import { Timeline } from "./play_timeline.js";
import { decode, merge, unpack } from "./play_wire.js";

const SPEEDS = [0, 1, 5, 20, 100]; // steps of a picture; 0: as fast as it can
const SKIP = 100; // steps
const ASIDE = 100; // milliseconds between two pictures beside the film while it plays
const TRAINED = 300; // steps of a trained start
const DIVERGED = "diverged: a loss was not finite; scrub back, or change a setting";
const SHARED = ["data", "drawn", "latent", "prior", "seed"]; // settings that two films have in common

export async function show(place) {
  const [menus, presets, text] = await Promise.all([get("/play/menus"), get("/play/presets"), article(), styled()]);
  const game = new Game({ ...menus, presets });
  game.build(place);
  place.append(text);
  game.connect();
  const linked = () => location.hash.startsWith("#s=") && game.open(location.hash);
  addEventListener("hashchange", linked);
  return () => {
    removeEventListener("hashchange", linked);
    game.leave();
  };
}

// The text below the playground.
async function article() {
  const section = h("section", { class: "article", "aria-labelledby": "about" });
  section.innerHTML = await (await fetch("/static/play.html")).text();
  return section;
}

// The style sheet of this screen, once.
function styled() {
  if (document.querySelector("link[href$='play.css']")) return null;
  const link = h("link", { rel: "stylesheet", href: "/static/play.css" });
  document.head.append(link);
  return new Promise((resolve) => { link.onload = link.onerror = resolve; });
}

const newFilm = () => {
  const note = h("span", { class: "quiet" });
  return { picture: {}, history: new History(), moments: [], diverged: false, note };
};

class Game {
  constructor({ menus, defaults, opening, presets }) {
    Object.assign(this, { menus, defaults, presets, channel: null, edited: 0, playing: false, gone: false, due: 0 });
    this.films = [newFilm()];
    this.settings = this.linked(location.hash) || [opening];
    if (this.settings.length > 1) this.films.push(newFilm());
    this.shown = { reals: true, fakes: true, map: true, grid: false, arrows: true };
    this.slowly = new SlowMotion(this);
  }

  // Settings that a link carries, or null.
  linked(hash) {
    if (!hash.startsWith("#s=")) return null;
    try {
      return unpack(hash.slice(3), this.defaults);
    } catch {
      notice("The link's settings cannot be read; these are the usual ones.");
      return null;
    }
  }

  open(hash) {
    const settings = this.linked(hash);
    if (settings) this.begin(settings);
  }

  build(place) {
    this.stage = stage({ films: this.films, shown: this.shown, toggle: (layer) => this.toggle(layer) });
    this.graph = graph({ toggle: (layer) => this.toggle(layer), morph: () => this.stage.morph(() => this.redraw()) });
    this.table = figuresTable();
    this.charts = charts();
    this.timeline = new Timeline(this);
    this.form = settingsForm({
      menus: this.menus, draw: () => this.drawData(),
      changed: (settings, rebuild) => this.change(settings, rebuild),
    });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.sides = h("div", { class: "row sides", role: "group", "aria-label": "Settings of which film" });
    const title = `Begin from step ${TRAINED}, which the timeline leads back from`;
    this.trained = input(() => this.begin(this.settings), { type: "checkbox", title });
    const wide = matchMedia("(min-width: 1000px)").matches;
    place.append(
      h("h1", { class: "hidden" }, "Play"), this.controls(),
      h("div", { class: "play" },
        h("details", { class: "panel pane-settings", open: wide }, h("summary", {}, "Settings"),
          this.sides, this.problem,
          h("label", { class: "tick" }, h("span", {}, "Trained start"), this.trained), this.form.element),
        h("div", { class: "panel pane-stage" }, this.stage.element, this.timeline.element, this.charts.element),
        h("div", { class: "pane-side" },
          h("section", { class: "panel", "aria-label": "Overview" }, this.graph.element),
          h("section", { class: "panel", "aria-label": "Figures" }, this.table.element))),
      lessons(this.presets, (preset) => this.lesson(preset)));
    this.arrange();
    this.layers();
    this.size = new ResizeObserver(() => this.redraw());
    this.size.observe(place);
    this.keys = (event) => this.key(event);
    addEventListener("keydown", this.keys);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.redraw();
    dark.addEventListener("change", this.recolour);
  }

  controls() {
    const unpressed = { "aria-pressed": "false" };
    this.playButton = titled("Play", "Play or pause (key: P)", () => this.press(), { class: "main play-button" });
    this.slowButton =
      titled("Slow motion", "Each step in ten beats of 1.25 seconds", () => this.slowly.toggle(), unpressed);
    this.nextButton = titled("Next beat", "Go on by one beat", () => this.slowly.next(), { hidden: true });
    this.counter = h("output", { class: "number counter", title: "Steps trained", "aria-label": "Steps" }, "000,000");
    this.abButton =
      titled("Compare A | B", "Two settings side by side on the same data and seed", () => this.compare(), unpressed);
    const label = (steps) => (steps ? `${steps} ${steps > 1 ? "steps" : "step"} a picture` : "as fast as it can");
    const speed = select(SPEEDS.map((steps) => ({ name: steps, label: label(steps) })), 0, (value) => {
      this.steps = Number(value);
      this.send({ kind: "speed", steps: this.steps });
    });
    speed.title = "Steps between two pictures";
    speed.setAttribute("aria-label", "Speed");
    const step = (only, text, title) =>
      titled(text, title, () => this.step(1, only), { class: only ? `step-${only}` : "" });
    return h("div", { class: "panel controls", role: "toolbar", "aria-label": "Film" },
      this.playButton, h("span", { class: "counter-box" }, "Step ", this.counter),
      h("span", { class: "row", role: "group", "aria-label": "One step of" }, h("span", { class: "quiet" }, "Train"),
        step("d", "D", "One step of the discriminator alone"), step("g", "G", "One step of the generator alone"),
        step("", "Both", "One step of both (key: S)"),
        titled(`+${SKIP}`, `${SKIP} steps at once`, () => this.step(SKIP, ""))),
      this.slowButton, this.nextButton, speed,
      titled("Reset", "Begin again from step 0 (key: R)", () => this.begin(this.settings)),
      this.abButton,
      exportMenu(() => ({
        settings: this.settings[this.edited], defaults: this.defaults, side: this.edited,
        scripts: this.films.map(({ script }, side) => script || this.settings[side]),
        canvases: this.films.map((film) => film.canvas), step: this.films[this.edited].picture.step || 0,
      })));
  }

  connect() {
    this.channel = socket("/play");
    this.channel.onopen = () => {
      if (this.steps) this.send({ kind: "speed", steps: this.steps });
      this.begin(this.settings);
    };
    this.channel.onmessage = ({ data }) =>
      typeof data === "string" ? this.told(JSON.parse(data)) : this.receive(decode(data));
    this.channel.onclose = ({ reason }) => {
      if (this.gone) return;
      this.stop();
      notice(reason || "The studio does not answer; trying again.");
      this.again = setTimeout(() => this.connect(), 3000);
    };
  }

  leave() {
    this.gone = true;
    this.slowly.quit();
    clearTimeout(this.again);
    this.size.disconnect();
    removeEventListener("keydown", this.keys);
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.recolour);
    this.channel.close();
  }

  send(message) {
    if (this.channel?.readyState === WebSocket.OPEN) this.channel.send(JSON.stringify(message));
  }

  // Begin a film of each of one or two settings, and play unless the person wants no motion; data and noise are those
  // of the side that leads.
  begin(settings, lead = 0) {
    this.slowly.quit();
    this.stop();
    const shared = SHARED.map((name) => [name, settings[lead][name] ?? this.defaults[name]]);
    const scripts = settings.map((one) => ({ ...merge(this.defaults, one), ...Object.fromEntries(shared) }));
    this.settings = scripts.map((one) => ({ ...one, changes: [] }));
    const both = this.films.length > 1;
    this.films.length = 0;
    this.films.push(...this.settings.map(newFilm));
    this.edited = Math.min(this.edited, this.films.length - 1);
    if (both && this.films.length === 1) this.send({ kind: "remove", side: 1 });
    const steps = this.trained.checked ? TRAINED : 0;
    for (const [side, one] of scripts.entries()) this.send({ kind: "start", side, settings: one, steps });
    this.arrange();
    this.timeline.now();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.start();
  }

  start() {
    this.slowly.quit();
    this.timeline.now();
    this.playing = true;
    this.send({ kind: "play" });
    this.buttons();
  }

  stop() {
    if (this.playing) this.send({ kind: "pause" });
    this.playing = false;
    this.redraw();
    this.stage.speak();
    this.buttons();
  }

  press() {
    if (this.slowly.beat) this.slowly.hold();
    else if (this.playing) this.stop();
    else this.start();
  }

  step(steps, only) {
    this.slowly.quit();
    this.stop();
    this.timeline.now();
    for (const side of this.films.keys()) this.send({ kind: "step", side, steps, only });
  }

  buttons() {
    const { beat, held } = this.slowly;
    const running = beat ? !held : this.playing;
    fill(this.playButton, running ? "Pause" : "Play");
    this.slowButton.setAttribute("aria-pressed", String(beat > 0));
    this.nextButton.hidden = !(beat && held);
    this.abButton.setAttribute("aria-pressed", String(this.films.length > 1));
    this.graph.flowing(running);
  }

  receive(picture) {
    const film = this.films[picture.side];
    if (!film) return;
    if (picture.kind === "scene") {
      film.scene = { reals: picture.reals, latents: picture.latents };
      Object.assign(film.picture, film.scene);
    } else if (picture.kind === "middle") film.middle = picture;
    else if (picture.kind === "live" && this.slowly.beat) film.after = picture;
    else if (picture.kind === "live" && this.timeline.back) film.newest = picture;
    else if (picture.kind === "live" || this.timeline.back) this.put(film, picture);
    this.redraw(picture.kind === "live");
  }

  // Make a picture of the server's the one that is shown; `whole`: it is one of the film, not of the midst of a step.
  put(film, picture, whole = true) {
    film.picture = { ...film.picture, ...film.scene, ...picture };
    film.middle = null;
    if (!whole) film.picture.step = Math.max(0, picture.step - 1);
    else film.after = null;
    if (whole && picture.kind === "live") film.history.add(picture.step, picture.figures);
  }

  redraw(answer = false) {
    this.answer ||= answer;
    this.due ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.due = 0;
    if (this.answer) this.send({ kind: "drawn" }); // the next frame comes while this one is drawn
    this.answer = false;
    const film = this.films[this.edited];
    this.stage.show();
    const aside = !this.playing || this.stage.bend() < 1 || performance.now() - (this.shownAside || 0) > ASIDE;
    if (aside) {
      this.shownAside = performance.now();
      this.graph.draw(film, this.stage.bend());
      this.table.show(this.films.map(({ picture }) => picture.figures || {}));
      this.charts.show(this.films.map(({ history }) => history));
    }
    const step = String(film.picture.step || 0).padStart(6, "0");
    this.counter.textContent = `${step.slice(0, -3)},${step.slice(-3)}`;
  }

  told(message) {
    if (message.kind === "refused") {
      this.problem.textContent = message.sentence;
      notice(message.sentence);
    } else if (message.kind === "recorded") {
      const film = this.films[message.side];
      if (!film) return;
      film.moments = message.steps;
      Object.assign(this.settings[message.side], message.settings); // of a branch, or of a change that a link carries
      film.script = { ...this.settings[message.side], ...message.start, changes: message.changes };
      if (message.settings) this.form.show(this.settings[this.edited]);
      const diverged = message.diverged && !film.diverged;
      film.diverged = message.diverged;
      film.note.textContent = film.diverged ? ` ${DIVERGED}` : "";
      if (diverged) notice(`This film ${DIVERGED}.`);
      if (!this.timeline.back) this.timeline.now();
    }
  }

  // Settings: a change of one film; data, noise and seed are those of both.
  change(settings, rebuild) {
    this.problem.textContent = "";
    this.settings[this.edited] = settings;
    if (!rebuild) return this.send({ kind: "set", side: this.edited, settings });
    this.form.show(settings);
    this.begin(this.settings, this.edited);
  }

  async drawData() {
    const drawn = await drawData(this.settings[this.edited].drawn);
    if (drawn) this.change({ ...this.settings[this.edited], data: "drawn", drawn }, true);
  }

  lesson(preset) {
    this.settings[this.edited] = preset.settings;
    this.begin(this.settings, this.edited);
    document.querySelector(".controls").scrollIntoView({ block: "start" });
    notice(`${preset.look} ${preset.why}`, 15_000);
  }

  compare() {
    const [a, b] = this.settings;
    this.edited = b ? 0 : 1;
    this.begin(b ? [a] : [a, structuredClone(a)]);
  }

  arrange() {
    this.stage.arrange();
    const tabs = this.films.length > 1 ? ["A", "B"] : [];
    const turn = (side) => {
      this.edited = side;
      this.arrange();
    };
    fill(this.sides, tabs.map((name, side) => titled(`Film ${name}`, `Settings of film ${name}`, () => turn(side),
      { "aria-pressed": side === this.edited })));
    this.form.show(this.settings[this.edited]);
    this.timeline.show();
    this.buttons();
    this.redraw();
  }

  toggle(layer) {
    this.shown[layer] = !this.shown[layer];
    this.layers();
    this.redraw();
  }

  layers() {
    this.stage.layers(this.shown);
    this.graph.layers(this.shown);
  }

  key(event) {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const deeds = { p: () => this.press(), s: () => this.step(1, ""), r: () => this.begin(this.settings) };
    const deed = deeds[event.key.toLowerCase()];
    const layer = LAYERS[Number(event.key) - 1];
    if (deed) deed();
    else if (layer) this.toggle(layer);
  }
}
