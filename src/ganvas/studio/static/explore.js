// Explore: what a trained generator makes: a wall of seeds, sliders, a path as a film.
import { call, download, get } from "./api.js";
import { field, fill, h, notice } from "./dom.js";

const COUNT = 24;
const GAP = 2; // pixels of white around every image of a sheet

export async function show(place, name) {
  return name ? explore(place, name) : choose(place);
}

async function choose(place) {
  const { own } = await get("/models");
  const rows = own.filter(({ kind }) => kind === "folder").map(({ name }) => h("li", {}, h("a", { href: `/explore/${name}` }, name)));
  place.append(h("h1", {}, "Explore"));
  if (rows.length) place.append(h("p", {}, "Choose a trained generator:"), h("ul", {}, ...rows));
  else
    place.append(
      h("p", {}, "No trained generator is here yet. ", h("a", { href: "/runs" }, "Train one"), " or start the studio with --runs DIR."),
    );
}

async function explore(place, name) {
  const able = await get(`/explore/abilities/${name}`);
  const state = { first: 0, trunc: 1, label: "", kept: [], pending: false, again: false };
  const columns = Math.max(2, Math.min(8, Math.floor(Math.min(innerWidth, 1000) / 110)));
  const wall = h("div", { class: "wall", role: "group", "aria-label": "Seeds" });
  wall.style.setProperty("--columns", columns);
  const kept = h("div", { class: "wall kept", role: "group", "aria-label": "Kept seeds" });
  const hint = h("p", { class: "quiet" }, "A click on an image keeps its seed; two or more make a film.");
  const line = h("code", { class: "command" });

  const query = (seeds, wide) =>
    `/api/explore/wall/${name}?${new URLSearchParams({ seeds, label: state.label, trunc: state.trunc, columns: wide })}`;

  // One picture of all seeds is asked for at a time; while it is on its way only the newest wish is remembered.
  async function redraw() {
    line.textContent = command();
    if (state.pending) {
      state.again = true;
      return;
    }
    state.pending = true;
    try {
      const last = state.first + COUNT - 1;
      const answer = await call(query(`${state.first}-${last}`, columns).slice(4));
      const sheet = await createImageBitmap(await answer.blob());
      cells(sheet);
    } catch (problem) {
      notice(problem.message);
    }
    state.pending = false;
    if (state.again) {
      state.again = false;
      redraw();
    }
  }

  function cells(sheet) {
    const rows = Math.ceil(COUNT / columns);
    const [across, down] = [(sheet.width - GAP) / columns, (sheet.height - GAP) / rows];
    const [width, height] = [across - GAP, down - GAP];
    while (wall.children.length < COUNT) wall.append(cell());
    [...wall.children].forEach((button, k) => {
      const canvas = button.firstChild;
      Object.assign(canvas, { width, height });
      const [x, y] = [GAP + (k % columns) * across, GAP + Math.floor(k / columns) * down];
      canvas.getContext("2d").drawImage(sheet, x, y, width, height, 0, 0, width, height);
      const seed = state.first + k;
      button.setAttribute("aria-pressed", state.kept.includes(seed));
      button.setAttribute("aria-label", `Seed ${seed}`);
      button.title = `Seed ${seed}`;
      button.onclick = () => keep(seed);
    });
  }

  const cell = () => h("button", { type: "button", class: "cell" }, h("canvas"));

  function keep(seed) {
    const at = state.kept.indexOf(seed);
    if (at >= 0) state.kept.splice(at, 1);
    else state.kept.push(seed);
    [...wall.children].forEach((button, k) => button.setAttribute("aria-pressed", state.kept.includes(state.first + k)));
    fill(
      kept,
      ...state.kept.map((one) =>
        h(
          "figure",
          {},
          h("img", { src: query(one, 1), alt: `Seed ${one}` }),
          h("figcaption", {}, `seed ${one} `, h("a", { href: query(one, 1), download: `seed${one}.png` }, "PNG")),
        ),
      ),
    );
    path.disabled = state.kept.length < 2;
    hint.hidden = state.kept.length > 1;
    line.textContent = command();
  }

  function command() {
    const seeds = state.kept.length ? state.kept.join(",") : `${state.first}-${state.first + COUNT - 1}`;
    const label = state.label ? ` --label '${state.label.replaceAll("'", "'\\''")}'` : "";
    return `ganvas sample ${name} -o samples.png --seeds ${seeds}${label}${Number(state.trunc) === 1 ? "" : ` --trunc ${state.trunc}`}`;
  }

  async function film() {
    path.disabled = true;
    try {
      const answer = await call(`/explore/walk/gif/${name}`, { method: "POST", json: { seeds: state.kept, label: state.label } });
      download(await answer.blob(), "path.gif");
    } catch (problem) {
      notice(problem.message);
    }
    path.disabled = false;
  }

  const path = h("button", { type: "button", disabled: true, onclick: film }, "Film of a path through the kept seeds");
  const truncation = h("input", {
    type: "range",
    min: 0,
    max: 1.5,
    step: 0.01,
    value: 1,
    oninput: () => {
      state.trunc = truncation.value;
      redraw();
    },
  });
  const turn = (by) => () => {
    state.first = Math.max(0, state.first + by);
    redraw();
  };
  const pages = h(
    "div",
    { class: "row" },
    h("button", { type: "button", onclick: turn(-COUNT) }, "Earlier seeds"),
    h("button", { type: "button", onclick: turn(COUNT) }, "More seeds"),
  );
  const controls = h(
    "section",
    { class: "panel options" },
    field("Truncation: 1 as trained; less: fewer failures, less variety", truncation),
    ...label(able, (value) => {
      state.label = value;
      redraw();
    }),
    pages,
    path,
  );
  place.append(
    h("h1", {}, name),
    h("p", { class: "quiet" }, `${able.task}, ${able.width}x${able.height}, trained on ${able.images.toLocaleString()} images`),
    h("div", { class: "columns" }, wall, controls),
    h("h2", {}, "Kept"),
    kept,
    hint,
    h("p", { class: "quiet" }, "The command that makes them again:"),
    line,
  );
  await redraw();
}

// The controls of a label, as the model says what it takes.
function label(able, change) {
  const { kind, size = 0, categories = [], continuous = 0 } = able.label;
  if (kind === "class") {
    const names = able.classes.length ? able.classes : [...Array(size).keys()].map(String);
    const control = h(
      "select",
      { onchange: () => change(control.value) },
      h("option", { value: "" }, "each in turn"),
      ...names.map((n) => h("option", { value: n }, n)),
    );
    return [field("Class", control)];
  }
  if (kind === "caption") {
    const control = h("input", { type: "text", onchange: () => change(control.value) });
    return [field("Caption", control)];
  }
  const count = kind === "vector" ? size : kind === "code" ? categories.length + continuous : 0;
  const values = Array(count).fill(0);
  return values.map((_, k) => {
    const category = k < categories.length;
    const control = h("input", {
      type: "range",
      min: category ? 0 : kind === "code" ? -1 : 0,
      max: category ? categories[k] - 1 : 1,
      step: category ? 1 : 0.05,
      value: 0,
      oninput: () => {
        values[k] = control.value;
        change(values.join(","));
      },
    });
    return field(category ? `Category ${k + 1}` : `Number ${k + 1}`, control);
  });
}
