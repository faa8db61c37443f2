// Judge: two sides, a metric, the number with its protocol.
import { events, get, post } from "./api.js";
import { field, fill, h, notice, select } from "./dom.js";

export async function show(place) {
  const [{ metrics, data }, { own }] = await Promise.all([get("/judge"), get("/models")]);
  const sides = [...data.map(({ name }) => `data/${name}`), ...own.map(({ name }) => name)];
  const state = {
    metric: metrics[0].name,
    a: sides[0],
    b: sides.find((name) => name.startsWith("runs/")) || "",
    options: {},
    end: () => {},
  };
  const about = h("p", { class: "quiet" });
  const options = h("div", { class: "row" });
  const answer = h("section", { class: "panel", "aria-live": "polite" }, "No answer yet.");
  const ask = h("button", { class: "main", type: "button", onclick: run }, "Measure");

  function describe() {
    const { sentence, citation, options: names } = metrics.find(({ name }) => name === state.metric);
    about.textContent = sentence + (citation ? ` (${citation})` : "");
    state.options = {};
    const common = names.filter((name) => ["samples", "seed", "features", "size", "scales", "border", "channel"].includes(name));
    fill(
      options,
      ...common.map((name) => {
        const control = h("input", {
          type: "text",
          size: 8,
          placeholder: "default",
          onchange: () => {
            state.options[name] = control.value;
          },
        });
        return field(name, control);
      }),
    );
  }

  async function run() {
    ask.disabled = true;
    fill(answer, "Measuring ...");
    const given = Object.entries(state.options).filter(([, value]) => value !== "");
    const numbers = given.map(([name, value]) => [name, Number.isNaN(Number(value)) ? value : Number(value)]);
    try {
      const job = await post("/judge", { metric: state.metric, a: state.a, b: state.b, options: Object.fromEntries(numbers) });
      state.end = events(`/jobs/${job.id}/events`, (now) => {
        if (now.status === "done") tell(now.result.numbers);
        if (now.status === "failed") fill(answer, h("p", { class: "problem" }, now.problem));
        if (["done", "failed", "cancelled"].includes(now.status)) {
          state.end();
          ask.disabled = false;
        }
      });
    } catch (problem) {
      fill(answer, h("p", { class: "problem" }, problem.message));
      ask.disabled = false;
    }
  }

  function tell(numbers) {
    const [[name, value], ...rest] = Object.entries(numbers);
    const pairs = (item) =>
      Object.entries(item)
        .map(([key, part]) => `${key} ${plain(part)}`)
        .join(", ");
    const plain = (item) => {
      if (typeof item === "number") return Number(item.toPrecision(Number.isInteger(item) ? 15 : 5)).toString();
      return item !== null && typeof item === "object" ? pairs(item) : String(item);
    };
    const rows = rest
      .filter(([, item]) => !Array.isArray(item))
      .map(([key, item]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", { class: "number" }, plain(item))));
    fill(
      answer,
      h("p", { class: "headline number" }, `${name} = ${plain(value)}`),
      h("table", {}, h("caption", {}, "Protocol"), h("tbody", {}, ...rows)),
    );
  }

  const names = metrics.map(({ name, sentence }) => ({ name, sentence }));
  describe();
  place.append(
    h("h1", {}, "Judge"),
    h(
      "section",
      { class: "panel options" },
      h(
        "div",
        { class: "row" },
        field(
          "Metric",
          select(names, state.metric, (value) => {
            state.metric = value;
            describe();
          }),
        ),
        field(
          "Side A: the real images",
          select(sides, state.a, (value) => {
            state.a = value;
          }),
        ),
        field(
          "Side B",
          select(["", ...sides], state.b, (value) => {
            state.b = value;
          }),
        ),
      ),
      about,
      options,
      h("div", { class: "row" }, ask),
    ),
    answer,
  );
  if (!own.length) notice("Trained runs appear as sides when the studio is started with --runs DIR.");
  return () => state.end();
}
