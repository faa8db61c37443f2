// Judge: two sides, a metric, the number with its protocol and interval, and the images that count most.
import { follow, get, letGo, post, upload } from "./api.js";
import { button, field, files, fill, h, input, notice, problem, quiet, row, select, table } from "./dom.js";

const COMMON = ["samples", "seed", "features", "bootstrap", "size", "scales", "border", "channel"]; // with a field
const USUAL = { fd: { bootstrap: 100 } }; // of metrics whose interval takes no more than a moment

export async function show(place) {
  const [{ metrics, names: data }, { own }] = await Promise.all([get("/judge"), get("/models")]);
  const sides = [...data, ...own.map(({ name }) => name)];
  const asked = new URLSearchParams(location.search).get("b");
  if (asked && !sides.includes(asked)) sides.push(asked);
  const trained = asked || sides.find((name) => name.startsWith("runs/")) || "";
  const state = { metric: metrics[0].name, a: sides[0], b: trained, options: {} };
  const ends = [];
  const about = quiet();
  const options = row();
  const answer = h("section", { class: "panel", "aria-live": "polite" }, "No answer yet.");
  const pairs = h("section", { class: "panel", "aria-live": "polite", hidden: true });

  function choose(metric) {
    const { sentence, citation, options: names } = metrics.find(({ name }) => name === metric);
    Object.assign(state, { metric, options: { ...USUAL[metric] } });
    about.textContent = sentence + (citation ? ` (${citation})` : "");
    const control = (name) => input((value) => { state.options[name] = value; },
      { size: 8, placeholder: "default", value: state.options[name] ?? "" }, "onchange");
    fill(options, names.filter((name) => COMMON.includes(name)).map((name) => field(name, control(name))));
  }

  async function ask(path, json, show, panel) {
    panel.hidden = false;
    fill(panel, "Measuring ...");
    try {
      const { id } = await post(path, json);
      const { status, result } = await follow(id, () => {}, ends);
      fill(panel, status === "done" ? show(result, id) : "Cancelled.");
    } catch (trouble) {
      fill(panel, problem(trouble.message));
    }
  }

  const given = () => Object.fromEntries(Object.entries(state.options).filter(([, value]) => value !== "")
    .map(([name, value]) => [name, Number.isNaN(Number(value)) ? value : Number(value)]));
  const measure = () => ask("/judge", { ...state, options: given() }, numbersOf, answer);
  const compare = () => {
    const { samples, seed } = given();
    return ask("/judge/nearest", { a: state.a, b: state.b, samples, seed }, gallery, pairs);
  };

  const choice = row();
  const side = (key, text, list) => field(text, select(list, state[key], (value) => { state[key] = value; }));
  const redraw = () => fill(choice, field("Metric", select(metrics, state.metric, choose)),
    side("a", "Side A: the real images", sides), side("b", "Side B", ["", ...sides]));

  function add(name) {
    if (name && !sides.includes(name)) sides.push(name);
    state.b = name || state.b;
    redraw();
  }

  async function send(list) {
    const form = new FormData();
    for (const one of list) form.append("images", one);
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", ".");
    add((await upload(`/runs/data/judge-${stamp}`, form)).name);
  }

  choose(state.metric);
  redraw();
  place.append(h("h1", {}, "Judge"),
    h("section", { class: "panel options" }, choice,
      row(field("Or B by its path, as data/faces", input(add, {}, "onchange")),
        field("or drop images, or a zip", files(send, { accept: "image/*,.zip,.npz" }))),
      about, options, row(button("Measure", measure, { class: "main" }), button("Show nearest images", compare))),
    answer, pairs);
  if (!own.length) notice("Trained runs appear as sides when the studio is started with --runs DIR.");
  return () => letGo(ends);
}

function plain(item) {
  if (typeof item === "number") return Number(item.toPrecision(Number.isInteger(item) ? 15 : 5)).toString();
  if (item === null || typeof item !== "object") return String(item);
  return Object.entries(item).map(([key, part]) => `${key} ${plain(part)}`).join(", ");
}

const protocolOf = (facts) =>
  table("Protocol", [], facts.filter(([, item]) => !Array.isArray(item)).map(([key, item]) => [key, plain(item)]));

function numbersOf({ numbers }) {
  const [[name, value], ...rest] = Object.entries(numbers);
  const { ci_low: low, ci_high: high, confidence, std } = numbers;
  const between = low === undefined ? "" : ` (${100 * confidence} % interval ${plain(low)} to ${plain(high)})`;
  const spread = std === undefined ? "" : ` ± ${plain(std)}`;
  return [h("p", { class: "headline number" }, `${name} = ${plain(value)}${spread}${between}`), protocolOf(rest)];
}

// Pairs of images, an image of B beside the nearest of A, with their distance.
function gallery({ nearest, farthest, median, protocol }, id) {
  const image = (side, pair) => h("img", {
    src: `/api/jobs/${id}/files/${pair[`${side}_file`]}`, alt: `Image ${pair[side]} of ${side.toUpperCase()}`,
  });
  const figure = (pair) => h("figure", {}, image("b", pair), image("a", pair),
    h("figcaption", {}, `${pair.distance.toPrecision(3)}: B ${pair.b}, A ${pair.a}`));
  const part = (title, pairs) => [h("h2", {}, title), h("div", { class: "pairs" }, pairs.map(figure))];
  const about = `Each pair: an image of B, the image of A nearest to it, and their distance in the features. Median of
    all images of B: ${plain(median)}.`;
  return [...part("Nearest: look for copies", nearest), ...part("Farthest: like nothing in A", farthest), quiet(about),
    protocolOf(Object.entries(protocol))];
}
