// Judge: two sides, a metric, the number with its protocol.
import { follow, get, letGo, post } from "./api.js";
import { button, field, fill, h, input, notice, problem, quiet, row, select, table } from "./dom.js";

const COMMON = ["samples", "seed", "features", "size", "scales", "border", "channel"]; // options with a field

export async function show(place) {
  const [{ metrics, data }, { own }] = await Promise.all([get("/judge"), get("/models")]);
  const sides = [...data.map(({ name }) => `data/${name}`), ...own.map(({ name }) => name)];
  const trained = sides.find((name) => name.startsWith("runs/")) || "";
  const state = { metric: metrics[0].name, a: sides[0], b: trained, options: {} };
  const ends = [];
  const about = quiet();
  const options = row();
  const answer = h("section", { class: "panel", "aria-live": "polite" }, "No answer yet.");

  function choose(metric) {
    const { sentence, citation, options: names } = metrics.find(({ name }) => name === metric);
    Object.assign(state, { metric, options: {} });
    about.textContent = sentence + (citation ? ` (${citation})` : "");
    const control = (name) =>
      input((value) => { state.options[name] = value; }, { size: 8, placeholder: "default" }, "onchange");
    fill(options, names.filter((name) => COMMON.includes(name)).map((name) => field(name, control(name))));
  }

  async function measure() {
    fill(answer, "Measuring ...");
    const given = Object.entries(state.options).filter(([, value]) => value !== "");
    const numbers = given.map(([name, value]) => [name, Number.isNaN(Number(value)) ? value : Number(value)]);
    try {
      const { id } = await post("/judge", { ...state, options: Object.fromEntries(numbers) });
      const { status, result } = await follow(id, () => {}, ends);
      fill(answer, status === "done" ? numbersOf(result.numbers) : "Cancelled.");
    } catch (trouble) {
      fill(answer, problem(trouble.message));
    }
  }

  const names = metrics.map(({ name, sentence }) => ({ name, sentence }));
  const side = (key, text, list) => field(text, select(list, state[key], (value) => { state[key] = value; }));
  choose(state.metric);
  place.append(h("h1", {}, "Judge"),
    h("section", { class: "panel options" },
      row(field("Metric", select(names, state.metric, choose)),
        side("a", "Side A: the real images", sides), side("b", "Side B", ["", ...sides])),
      about, options, row(button("Measure", measure, { class: "main" }))),
    answer);
  if (!own.length) notice("Trained runs appear as sides when the studio is started with --runs DIR.");
  return () => letGo(ends);
}

function plain(item) {
  if (typeof item === "number") return Number(item.toPrecision(Number.isInteger(item) ? 15 : 5)).toString();
  if (item === null || typeof item !== "object") return String(item);
  return Object.entries(item).map(([key, part]) => `${key} ${plain(part)}`).join(", ");
}

function numbersOf(numbers) {
  const [[name, value], ...rest] = Object.entries(numbers);
  const rows = rest.filter(([, item]) => !Array.isArray(item)).map(([key, item]) => [key, plain(item)]);
  return [h("p", { class: "headline number" }, `${name} = ${plain(value)}`), table("Protocol", [], rows)];
}
