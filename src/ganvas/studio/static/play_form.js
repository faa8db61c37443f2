// The settings of a film as a form: those that act at once, and those that begin a new film.
import { field, fill, h, input, select, titled } from "./dom.js";

const RATES = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const BATCHES = [16, 32, 64, 128, 256, 512];
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, k) => from + k);
const PLAYERS = [["generator", "Generator"], ["discriminator", "Discriminator"]];
export const REBUILD = ["data", "drawn", "latent", "prior", "seed", "generator", "discriminator"];

// `changed(settings, rebuild)` hears of every change; `draw()` opens the dialog of drawn data.
export function settingsForm({ menus, changed, draw }) {
  const element = h("div", { class: "settings" });
  let settings;
  const show = (now) => {
    settings = structuredClone(now);
    const focused = document.activeElement?.name;
    fill(element, ...sections({ menus, settings, put, draw }));
    if (focused) element.querySelector(`[name="${focused}"]`)?.focus();
  };
  function put(path, value) {
    const [first, second] = path.split(".");
    if (second) settings[first][second] = value;
    else settings[first] = value;
    if (first === "loss" || first === "penalty") show(settings); // their sentences, and the penalty's weight
    changed(structuredClone(settings), REBUILD.includes(first));
  }
  return { element, show };
}

function sections(form) {
  const { settings, menus } = form;
  const chosen = (menu, name) => menus[menu].find((entry) => entry.name === name)?.sentence || "";
  return [
    group("Data and noise", "A change begins a new film.",
      ...dataFields(form),
      choice(form, "latent", "Noise", [[2, "two numbers"], [1, "one number"]], "Numbers that make one fake."),
      choice(form, "prior", "Distribution of the noise", ["normal", "uniform"]),
      seedField(form)),
    group("Loss", "A change acts at once.",
      choice(form, "loss", "Loss", menus.loss, chosen("loss", settings.loss), true),
      choice(form, "penalty", "Penalty", [["", "none"], ...menus.penalty.map(({ name }) => [name, words(name)])],
        chosen("penalty", settings.penalty), true),
      settings.penalty && numberField(form, "weight", "Weight of the penalty", { min: 0, max: 100, step: "any" }),
      choice(form, "batch", "Batch", values(BATCHES, settings.batch), "Points of each update.")),
    ...PLAYERS.map(([player, name]) => playerGroup(form, player, name)),
  ];
}

function playerGroup(form, player, name) {
  const [p, P] = [player[0], player[0].toUpperCase()];
  const { settings, menus } = form;
  const parts = [
    choice(form, `${p}_lr`, "Learning rate", values(RATES, settings[`${p}_lr`])),
    choice(form, `${p}_optimizer`, "Optimiser", menus.optimizer),
    choice(form, `${p}_steps`, "Updates in a step", values(range(0, 10))),
    h("small", { class: "quiet" }, "Below: a change begins a new film."),
    choice(form, `${player}.layers`, "Hidden layers", values(range(0, 5))),
    numberField(form, `${player}.width`, "Neurons a layer", { min: 1, max: 128, step: 1 }),
    choice(form, `${player}.activation`, "Activation", menus.activation),
  ];
  if (player === "discriminator") {
    parts.push(
      choice(form, "discriminator.head", "Head", menus.head, "Minibatch heads compare the points of a batch."),
      choice(form, "discriminator.frequencies", "Octaves of sines it sees", values(range(0, 6)), "More: a finer map."),
      tick(form, "discriminator.spectral", "Spectral norm"));
  }
  return group(`${name} (${P})`, "", ...parts.map((part) => within(part, name)));
}

// Names of a player's controls carry the player, so that a screen reader tells the two apart.
function within(part, name) {
  const control = part.querySelector?.("select, input");
  if (control) control.setAttribute("aria-label", `${name}: ${part.firstChild.textContent}`);
  return part;
}

function dataFields(form) {
  const names = form.menus.data.map(({ name, sentence }) => ({ name, sentence, label: words(name) }));
  names.push({ name: "drawn", label: "drawn by you" });
  const title = "Draw points with mouse, pen, finger or keys";
  const own = titled("Draw your own data …", title, form.draw, { class: "wide" });
  const control = select(names, form.settings.data, (value) => {
    if (value === "drawn" && form.settings.drawn.length < 2) {
      control.value = form.settings.data;
      form.draw();
    } else form.put("data", value);
  });
  control.name = "data";
  control.title = "Points that the generator learns to make";
  return [field("Data", control), own];
}

function seedField(form) {
  const part = numberField(form, "seed", "Seed", { min: 0, max: 2147483647, step: 1 });
  part.append(h("small", {}, "The same seed gives the same film."));
  return part;
}

const words = (name) => name.replaceAll("_", " ");

function values(list, current) {
  const all = current === undefined || list.includes(current) ? list : [...list, current].sort((a, b) => a - b);
  return all.map((value) => [value, String(value)]);
}

const read = (settings, path) => path.split(".").reduce((value, key) => value[key], settings);

function choice(form, path, label, entries, hint = "", small = false) {
  const rows = entries.map((entry) => {
    if (Array.isArray(entry)) return entry;
    return typeof entry === "string" ? [entry, words(entry)] : [entry.name, words(entry.name), entry.sentence];
  });
  const options = rows.map(([value, text, sentence]) => ({ name: value, label: text, sentence }));
  const control = select(options, read(form.settings, path), (value) => {
    form.put(path, rows.find(([one]) => String(one) === value)[0]);
  });
  control.name = path;
  control.title = hint || label;
  return field(label, control, small && hint);
}

function numberField(form, path, label, bounds) {
  const title = `${label}, from ${bounds.min} to ${bounds.max}`;
  const value = read(form.settings, path);
  const control = h("input", { type: "number", ...bounds, name: path, value, title });
  control.onchange = () => {
    const value = control.valueAsNumber;
    const whole = bounds.step === 1 ? Number.isInteger(value) : true;
    const fits = Number.isFinite(value) && whole && value >= bounds.min && value <= bounds.max;
    control.setAttribute("aria-invalid", String(!fits));
    if (fits) form.put(path, value);
  };
  return field(label, control);
}

function tick(form, path, label) {
  const checked = read(form.settings, path);
  const control = input((on) => form.put(path, on), { type: "checkbox", name: path, checked, title: label });
  return h("label", { class: "tick" }, h("span", {}, label), control);
}

function group(title, hint, ...parts) {
  const small = hint && h("small", { class: "quiet" }, hint);
  return fill(h("fieldset"), h("legend", {}, title), small, parts);
}
