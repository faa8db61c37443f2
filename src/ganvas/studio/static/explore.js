// Explore: what a trained generator makes: a wall of seeds, sliders, a path as a film.
import { call, download, follow, get, letGo, post, upload } from "./api.js";
import { button, field, files, fill, h, input, notice, quiet, row, select } from "./dom.js";

const COUNT = 24;
const GAP = 2; // pixels of white around every image of a sheet

export const show = (place, name) => (name ? explore(place, name) : choose(place));

async function choose(place) {
  const { embedded, own } = await get("/models");
  const generators = embedded.filter(({ commands }) => commands.includes("sample"));
  const folders = [...generators, ...own.filter(({ kind }) => kind === "folder")];
  place.append(h("h1", {}, "Explore"));
  if (folders.length) {
    const list = folders.map(({ name }) => h("li", {}, h("a", { href: `/explore/${name}` }, name)));
    place.append(h("p", {}, "Choose a trained generator:"), h("ul", {}, ...list));
  } else
    place.append(h("p", {}, "No trained generator is here yet. ", h("a", { href: "/runs" }, "Train one"),
      " or start the studio with --runs DIR."));
}

async function explore(place, name) {
  const able = await get(`/explore/abilities/${name}`);
  const state = { first: 0, trunc: 1, label: "", kept: [], film: "gif", moves: {}, pending: false, again: false };
  const ends = [];
  const columns = Math.max(2, Math.min(8, Math.floor(Math.min(innerWidth, 1000) / 110)));
  const wall = h("div", { class: "wall", role: "group", "aria-label": "Seeds" });
  wall.style.setProperty("--columns", columns);
  const kept = h("div", { class: "wall kept", role: "group", "aria-label": "Kept seeds" });
  const hint = quiet("A click on an image keeps its seed; two or more make a film.");
  const line = h("code", { class: "command" });

  const { moves } = state;
  const moved = () => Object.keys(moves).filter((key) => Number(moves[key])).map((key) => `${key}=${moves[key]}`);
  const query = (seeds, columns) => `/explore/wall/${name}?${new URLSearchParams(
    { seeds, label: state.label, trunc: state.trunc, columns, moves: moved().join() })}`;

  // One picture of all seeds is asked for at a time; while it is on its way only the newest wish is remembered.
  async function redraw() {
    line.textContent = command();
    state.again = state.pending;
    if (state.pending) return;
    state.pending = true;
    try {
      const answer = await call(query(`${state.first}-${state.first + COUNT - 1}`, columns));
      cells(await createImageBitmap(await answer.blob()));
    } catch (problem) {
      notice(problem.message);
    }
    state.pending = false;
    if (state.again) redraw();
  }

  function cells(sheet) {
    const [across, down] = [(sheet.width - GAP) / columns, (sheet.height - GAP) / Math.ceil(COUNT / columns)];
    const [width, height] = [across - GAP, down - GAP];
    while (wall.children.length < COUNT) wall.append(h("button", { type: "button", class: "cell" }, h("canvas")));
    [...wall.children].forEach((cell, k) => {
      const canvas = cell.firstChild;
      Object.assign(canvas, { width, height });
      const [x, y] = [GAP + (k % columns) * across, GAP + Math.floor(k / columns) * down];
      canvas.getContext("2d").drawImage(sheet, x, y, width, height, 0, 0, width, height);
      const seed = state.first + k;
      cell.ariaLabel = cell.title = `Seed ${seed}`;
      cell.onclick = () => keep(seed);
    });
    press();
  }

  const press = () =>
    [...wall.children].forEach((cell, k) => { cell.ariaPressed = state.kept.includes(state.first + k); });

  function keep(seed) {
    const at = state.kept.indexOf(seed);
    if (at >= 0) state.kept.splice(at, 1);
    else state.kept.push(seed);
    press();
    const figure = (one) => {
      const src = `/api${query(one, 1)}`;
      const save = h("a", { href: src, download: `seed${one}.png` }, "PNG");
      return h("figure", {}, h("img", { src, alt: `Seed ${one}` }), h("figcaption", {}, `seed ${one} `, save));
    };
    fill(kept, state.kept.map(figure));
    path.disabled = state.kept.length < 2;
    hint.hidden = state.kept.length > 1;
    line.textContent = command();
  }

  function command() {
    const seeds = state.kept.length ? state.kept.join(",") : `${state.first}-${state.first + COUNT - 1}`;
    const label = state.label && ` --label '${state.label.replaceAll("'", "'\\''")}'`;
    const trunc = Number(state.trunc) === 1 ? "" : ` --trunc ${state.trunc}`;
    const steps = moved().map((move) => ` --direction dirs/${move}`).join("");
    const [verb, file, seed] = steps ? ["edit", "edited", "--seed"] : ["sample", "samples", "--seeds"];
    const first = steps && `ganvas directions ${name} -o dirs && `;
    return `${first}ganvas ${verb} ${name} -o ${file}.png ${seed} ${seeds}${label}${trunc}${steps}`;
  }

  async function film() {
    const { id } = await post(`/explore/walk/${state.film}/${name}`, { seeds: state.kept, label: state.label });
    bar.hidden = false;
    const ended = follow(id, (now) => { bar.value = now.share; }, ends);
    const { result } = await ended.finally(() => { bar.hidden = true; });
    if (result.file) download(await (await call(`/jobs/${id}/files/${result.file}`)).blob(), result.file);
  }

  const figure = h("figure", {});
  const image = (src, alt) => fill(figure, h("img", { src, alt }), h("figcaption", {}, alt));

  async function project([file]) {
    const form = new FormData();
    form.append("image", file);
    const { id } = await upload(`/explore/project/${name}`, form);
    const { result } = await follow(id, () => {}, ends);
    image(`/api/jobs/${id}/files/${result.file}`, `Your image, and the nearest: ${result.psnr.toFixed(1)} dB`);
  }

  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the film" });
  const path = button("Film of a path through the kept seeds", film, { disabled: true });
  const change = (name) => (value) => { state[name] = value; redraw(); };
  const turn = (by) => () => change("first")(Math.max(0, state.first + by));
  // One entry a tool that a model may have; the panel shows those that the API names, with what it says of them.
  const tools = {
    truncation: ([min, max]) => field("Truncation: 1 as trained; less: fewer failures, less variety",
      input(change("trunc"), { type: "range", min, max, step: 0.01, value: 1 })),
    directions: ({ names, reach }) => names.map((key) => field(`Direction ${key}`, input(
      (value) => { moves[key] = value; redraw(); }, { type: "range", min: -reach, max: reach, step: 0.1, value: 0 }))),
    mix: () => row(button("Mix the kept seeds", () => image(`/api/explore/mix/${name}?${new URLSearchParams(
      { rows: state.kept.join(), columns: state.kept.join(), label: state.label })}`, "Mixtures of the kept seeds"))),
    project: () => field("Find an image of yours", files(project, { multiple: false })),
    path: (kinds) => row(path, field("as", select(kinds, state.film, (kind) => { state.film = kind; })), bar),
  };
  const panel = Object.entries(able.tools).flatMap(([tool, facts]) => tools[tool]?.(facts));
  const controls = h("section", { class: "panel options" }, ...label(able, change("label")),
    row(button("Earlier seeds", turn(-COUNT)), button("More seeds", turn(COUNT))), panel);
  place.append(
    h("h1", {}, name),
    quiet(`${able.task}, ${able.width}x${able.height}, trained on ${able.images.toLocaleString()} images`),
    h("div", { class: "columns" }, wall, controls),
    h("h2", {}, "Kept"), kept, hint, figure, quiet("The command that makes them again:"), line);
  await redraw();
  return () => letGo(ends);
}

// The controls of a label, as the model says what it takes.
function label(able, change) {
  const { kind, size = 0, categories = [], continuous = 0 } = able.label;
  if (kind === "class") {
    const names = able.classes.length ? able.classes : [...Array(size).keys()].map(String);
    return [field("Class", select([{ name: "", label: "each in turn" }, ...names], "", change))];
  }
  if (kind === "caption") return [field("Caption", input(change, {}, "onchange"))];
  const count = kind === "vector" ? size : kind === "code" ? categories.length + continuous : 0;
  const values = Array(count).fill(0);
  return values.map((_, k) => {
    const category = k < categories.length;
    const bounds = category ? { max: categories[k] - 1, step: 1 } : { max: 1, step: 0.05 };
    const put = (value) => { values[k] = value; change(values.join(",")); };
    const range = { type: "range", min: kind === "code" && !category ? -1 : 0, ...bounds, value: 0 };
    return field(`${category ? "Category" : "Number"} ${k + 1}`, input(put, range));
  });
}
