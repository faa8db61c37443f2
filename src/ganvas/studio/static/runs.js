// Runs: every run as a card; start, stop, resume, heal, delete; one run, or several side by side.
import { call, events, follow, get, letGo, post, upload } from "./api.js";
import { go } from "./app.js";
import { button, field, files, fill, h, input, notice, problem, quiet, row, select } from "./dom.js";

export const show = (place, name) => (name ? page(place, name.split("&")) : list(place));

const WORDS = {
  running: "running",
  finished: "finished",
  stopped: "stopped",
  died: "died: its process ended without a word",
  damaged: "damaged",
  starting: "starting",
  failed: "could not start",
};
// Fields of the form that starts a run: name, text, properties of the input.
const NUMBER = { type: "number", min: 1, placeholder: "the recipe's" };
const FIELDS = [
  ["images", "Length in real images", NUMBER],
  ["minutes", "Time limit in minutes", { ...NUMBER, placeholder: "none", min: 0.1, step: 0.1 }],
  ["resolution", "Size in pixels", { placeholder: "the data's" }],
  ["batch", "Images per step", NUMBER],
  ["seed", "Seed", { ...NUMBER, placeholder: "0", min: 0 }],
  ["hold_out", "Images kept out of training", { ...NUMBER, placeholder: "0", min: 0 }],
  ["eval_images", "Real images between evaluations", { ...NUMBER, placeholder: "no evaluation" }],
];
const NUMBERS = FIELDS.filter(([, , { type }]) => type).map(([key]) => key);
const minutes = (seconds) =>
  seconds > 5400 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.max(1, Math.round(seconds / 60))} min`;
const address = (name) => name.split("/").map(encodeURIComponent).join("/");
export const link = (name) => `/runs/${address(name)}`;

async function list(place) {
  const cards = h("div", { class: "cards" });
  const ticked = new Set();
  const beside = button("Side by side", () => go(`/runs/${[...ticked].map(encodeURIComponent).join("&")}`));
  beside.disabled = true;
  const form = h("details", { class: "panel starter" }, h("summary", {}, "Start a run"));
  const tools = h("div", { class: "row tools" }, beside, h("span", { class: "quiet" }, "tick two or more"));
  place.append(h("h1", {}, "Runs"), form, tools, cards);
  const open = async () => form.open && form.children.length === 1 && form.append(await starter());
  form.addEventListener("toggle", open, { once: true });

  function draw({ runs, starting }) {
    const none = h("p", {}, "No runs are here yet. Start one above, or with ", h("code", {}, "ganvas demo"), ".");
    const all = [...starting.map(waiting), ...runs.map((run) => card(run, ticked, beside))];
    fill(cards, all.length ? all : none);
  }

  draw(await get("/runs"));
  return events("/runs/events", draw);
}

function waiting({ name, state, problem: text }) {
  const words = `${WORDS[state]}: ${text}`;
  const forget = () => call(`/runs/starting/${address(name)}`, { method: "DELETE" });
  return h("article", { class: "card" }, h("h2", {}, name), state === "failed" ? problem(words) : quiet(words),
    state === "failed" && row(button("Dismiss", forget)));
}

function card(run, ticked, beside) {
  const { name } = run;
  const tick = (on) => {
    ticked[on ? "add" : "delete"](name);
    beside.disabled = ticked.size < 2;
  };
  const box = input(tick, { type: "checkbox", "aria-label": `Compare ${name}`, checked: ticked.has(name) });
  const head = h("h2", { class: "row" }, box, h("a", { href: link(name) }, name));
  return h("article", { class: "card" }, head, run.title && quiet(run.title), sheet(run), facts(run), actions(run));
}

// How far a run is, its state, its newest measure, the doctor's worst finding, and what went wrong.
function facts(run) {
  const { name, state, images, planned } = run;
  if (state === "damaged") return [problem(run.problem)];
  const rate = Number((run.images_per_second || 0).toPrecision(3)); // three digits, as 1,320
  const speed = rate ? `, ${rate.toLocaleString("en")} images/s` : "";
  const left = state === "running" && run.seconds_left ? `, ${minutes(run.seconds_left)} left` : "";
  const figure = ([key, value]) => typeof value === "number" && !key.includes("images");
  const measure = Object.entries(run.measure || {}).find(figure);
  const number = (text) => h("p", { class: "number" }, text);
  const { severity, text } = run.finding || {};
  return [
    h("progress", { max: 1, value: planned ? images / planned : 0, "aria-label": `Progress of ${name}` }),
    number(`${images.toLocaleString()} of ${planned.toLocaleString()} images${speed}${left}`),
    h("p", { class: state === "died" ? "problem" : "" }, WORDS[state]),
    run.problem && problem(`Its last start failed: ${run.problem}`),
    measure && number(`${measure[0]} ${measure[1].toPrecision(4)}`),
    text && (severity === "trouble" ? problem : quiet)(`Doctor: ${text}`),
  ];
}

const file = (name, path) => `/api/runs/files/${address(name)}?file=${encodeURIComponent(path)}`;

// The newest grid of samples of a run; null before there is one.
export function sheet({ name, grid = null }) {
  if (grid === null) return null;
  const src = file(name, `samples/${String(grid).padStart(12, "0")}.png`);
  return h("img", { class: "sheet", loading: "lazy", alt: `Samples of ${name}`, src });
}

// The buttons that suit the state of a run, and below them why one was refused; `after` hears of the method.
function actions({ name, state }, after = () => {}) {
  const refused = h("p", { role: "alert" });
  const act = (text, path, { title, method = "POST", sure, said = `${text}: ${name}` }) => {
    const work = async () => {
      if (sure && !confirm(sure)) return;
      refused.textContent = "";
      try {
        await call(`/runs/${path}`, { method });
        notice(said);
        after(method);
      } catch ({ message }) {
        refused.textContent = message;
      }
    };
    return button(text, work, { title });
  };
  const at = address(name);
  const said = `${name} saves its state and ends.`;
  const stop = act("Stop", `stop/${at}`, { title: "Save the state and end", said });
  const heals = { title: "On trouble, return to a snapshot and train more gently" };
  const resume = [
    act("Resume", `resume/${at}`, { title: "Go on where it stood" }),
    act("Resume and heal", `resume/${at}?heal=true`, heals),
  ];
  const remove = act("Delete", at, {
    method: "DELETE",
    sure: `Move ${name} to the trash folder?`,
    said: `${name} is in the folder .trash below the runs.`,
  });
  const choices = { running: [stop], starting: [], finished: [remove], damaged: [remove] };
  return h("div", {}, row(...(choices[state] || [...resume, remove])), refused);
}

async function starter() {
  const { recipes, data } = await get("/runs/recipes");
  const name = `run-${new Date().toISOString().slice(0, 10)}`;
  const wish = { name, recipe: "dcgan_small", data: data[0], options: {} };
  const about = quiet();
  const more = h("details");
  const size = h("div");
  const put = (key) => (value) => { wish[key] = value; };
  const source = input(put("data"), { value: wish.data, list: "sources" });

  async function choose(recipe, chosen) {
    const { sentence, presets, preset } = recipes.find(({ name: one }) => one === recipe);
    Object.assign(wish, { recipe, preset: chosen || preset, options: {} });
    about.textContent = sentence;
    fill(size, field("Preset", select(presets, wish.preset, (value) => choose(recipe, value))));
    const every = await get(`/runs/recipes/${recipe}?preset=${wish.preset}`);
    const simple = every.filter(({ value }) => value === null || typeof value !== "object");
    fill(more, h("summary", {}, "Options of the recipe"), h("div", { class: "columns" }, simple.map(option)));
  }

  function option({ path, value: usual, type, meaning }) {
    const change = (value) => {
      if (value) wish.options[path] = value;
      else delete wish.options[path];
    };
    const words = type === "bool" ? ["true", "false"] : [...type.matchAll(/'(\w+)'/g)].map(([, word]) => word);
    const first = { name: "", label: `${usual ?? "none"} (the preset's)` };
    const text = () => input(change, { placeholder: String(usual ?? "none") }, "onchange");
    return field(path, words.length > 1 ? select([first, ...words], "", change) : text(), meaning);
  }

  async function send(list) {
    const form = new FormData();
    for (const one of list) form.append("images", one);
    notice(`Uploading ${list.length} files ...`, 60_000);
    const answer = await upload(`/runs/data/${encodeURIComponent(`${wish.name}-data`)}`, form);
    source.value = wish.data = answer.name;
    notice(`${answer.files} files are data now.`);
  }

  async function begin({ currentTarget }) {
    if (!currentTarget.form.reportValidity()) return;
    const numbers = NUMBERS.filter((key) => wish[key]).map((key) => [key, Number(wish[key])]);
    await post("/runs", { ...wish, ...Object.fromEntries(numbers) });
    notice(`${wish.name} starts.`);
  }

  await choose(wish.recipe);
  const start = button("Start", begin, { class: "main", type: "submit" });
  return h("form", { class: "options", onsubmit: (event) => event.preventDefault() },
    h("datalist", { id: "sources" }, ...data.map((one) => h("option", { value: one }))),
    h("div", { class: "columns" },
      field("Name", input(put("name"), { value: wish.name, required: true })),
      field("Recipe", select(recipes, wish.recipe, choose)), size,
      field("Data: built in, or a path as data/faces", source),
      field("Or drop images, or a zip", files(send, { accept: "image/*,.zip,.npz" })),
      FIELDS.map(([key, text, properties]) => field(text, input(put(key), properties))),
      h("label", { class: "row" }, input(put("heal"), { type: "checkbox" }), "Heal: on trouble return to a snapshot")),
    about, more, row(start));
}

async function page(place, names) {
  const [name] = names;
  const single = names.length === 1;
  const top = h("section", { class: "panel next", "aria-label": "State" });
  const body = h("div", { class: "report" });
  const ends = [];
  const away = (href, text, properties) => h("a", { class: "button", href, ...properties }, text);
  const links = row(away(`/explore${link(name)}`, "Explore its samples"),
    away(`/judge?b=${encodeURIComponent(`runs/${name}`)}`, "Judge it"),
    away(file(name, "config.json"), "Recipe", { download: "config.json" }),
    away(file(name, "log.jsonl"), "Log", { download: "log.jsonl" }));
  place.append(h("h1", {}, names.join(" and ")), ...(single ? [top, body, log(name)] : [body]));
  const style = h("link", { rel: "stylesheet", href: "/static/report.css" });
  document.head.append(style);
  const near = nearest(name, ends);
  let last = "";

  async function draw() {
    const text = await (await call(`/runs/page?${new URLSearchParams(names.map((one) => ["name", one]))}`)).text();
    if (text === last || still()) return; // a run that stands still keeps its slider where it is
    last = text;
    const { cards, sections, notes } = JSON.parse(text);
    fill(top, facts(cards[0]), actions(cards[0], after), links);
    fill(body, notes.map((note) => quiet(note)), sections.map(({ key, title, html }) => {
      const content = key === "neighbours" && single ? [near] : parsed(html);
      return h("section", { class: "panel", id: key, "aria-label": title }, h("h2", {}, title), ...content);
    }));
    body.append(h("script", { src: "/static/report.js" })); // the slider and the legend, as in the written report
  }

  const still = () => body.contains(document.activeElement); // its slider is in use
  const after = (method) => (method === "DELETE" ? go("/runs") : setTimeout(draw, 1000));
  await draw();
  const again = setInterval(() => draw().catch(({ message }) => notice(message)), 10_000);
  return () => {
    letGo(ends);
    clearInterval(again);
    style.remove();
  };
}

const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body.childNodes;

// The training images nearest to samples, searched when they are asked for: it takes a while.
function nearest(name, ends) {
  const place = h("div");
  const search = async () => {
    const { id } = await post(`/runs/nearest/${address(name)}`);
    const { result } = await follow(id, () => {}, ends);
    if (result.html) fill(place, ...parsed(result.html));
  };
  return fill(place, button("Search the training images nearest to samples", search));
}

// What the process of a run printed last, and the last lines of its log.
function log(name) {
  const text = h("pre", { tabindex: 0 });
  const place = h("details", { class: "panel log" }, h("summary", {}, "Log"), text);
  place.ontoggle = async () => {
    if (!place.open) return;
    const { output, lines } = await get(`/runs/log/${address(name)}`);
    text.textContent = [output, ...lines.map((line) => JSON.stringify(line))].filter(Boolean).join("\n") || "empty";
  };
  return place;
}
