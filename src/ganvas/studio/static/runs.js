// Runs: every run as a card; start, stop, resume, heal, delete; one run, or several side by side.
import { go } from "./app.js";
import { call, events, get, post, Refused } from "./api.js";
import { field, fill, h, notice, select } from "./dom.js";

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
const minutes = (seconds) => (seconds > 5400 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.max(1, Math.round(seconds / 60))} min`);
export const link = (name) => "/runs/" + name.split("/").map(encodeURIComponent).join("/");

async function list(place) {
  const cards = h("div", { class: "cards" });
  const ticked = new Set();
  const beside = h(
    "button",
    { type: "button", disabled: true, onclick: () => go("/runs/" + [...ticked].map(encodeURIComponent).join("&")) },
    "Side by side",
  );
  const form = h("details", { class: "panel starter" }, h("summary", {}, "Start a run"));
  place.append(
    h("h1", {}, "Runs"),
    form,
    h("div", { class: "row tools" }, beside, h("span", { class: "quiet" }, "tick two or more")),
    cards,
  );
  form.addEventListener("toggle", async () => form.open && form.children.length === 1 && form.append(await starter()), { once: true });

  function draw({ runs, starting }) {
    if (!runs.length && !starting.length)
      return fill(cards, h("p", {}, "No runs are here yet. Start one above, or with ", h("code", {}, "ganvas demo"), "."));
    return fill(cards, ...starting.map(waiting), ...runs.map((run) => card(run, ticked, beside)));
  }

  draw(await get("/runs"));
  return events("/runs/events", draw);
}

const waiting = ({ name, state, problem }) =>
  h(
    "article",
    { class: "card" },
    h("h2", {}, name),
    h("p", { class: state === "failed" ? "problem" : "quiet" }, `${WORDS[state]}: ${problem}`),
  );

function card(run, ticked, beside) {
  const { name, state } = run;
  const tick = h("input", {
    type: "checkbox",
    "aria-label": `Compare ${name}`,
    checked: ticked.has(name),
    onchange: () => {
      ticked[tick.checked ? "add" : "delete"](name);
      beside.disabled = ticked.size < 2;
    },
  });
  const head = h("h2", { class: "row" }, tick, h("a", { href: link(name) }, name));
  if (state === "damaged") return h("article", { class: "card" }, head, h("p", { class: "problem" }, run.problem));
  const share = run.planned ? run.images / run.planned : 0;
  const speed = run.images_per_second ? `, ${run.images_per_second.toPrecision(3)} images/s` : "";
  const left = state === "running" && run.seconds_left ? `, ${minutes(run.seconds_left)} left` : "";
  const measure = run.measure && Object.entries(run.measure).find(([key, value]) => typeof value === "number" && !key.includes("images"));
  return h(
    "article",
    { class: "card" },
    head,
    h("p", { class: "quiet" }, run.title),
    sheet(run),
    h("progress", { max: 1, value: share, "aria-label": `Progress of ${name}` }),
    h("p", { class: "number" }, `${run.images.toLocaleString()} of ${run.planned.toLocaleString()} images${speed}${left}`),
    h("p", { class: state === "died" ? "problem" : "" }, WORDS[state]),
    measure ? h("p", { class: "number" }, `${measure[0]} ${measure[1].toPrecision(4)}`) : null,
    run.finding ? h("p", { class: run.finding.severity === "trouble" ? "problem" : "quiet" }, `Doctor: ${run.finding.text}`) : null,
    actions(name, state),
  );
}

const file = (name, path) => `/api${link(name).replace("/runs/", "/runs/files/")}?file=${encodeURIComponent(path)}`;

// The newest grid of samples of a run; null before there is one.
export function sheet({ name, grid = null }) {
  const source = () => file(name, `samples/${String(grid).padStart(12, "0")}.png`);
  return grid === null ? null : h("img", { class: "sheet", loading: "lazy", alt: `Samples of ${name}`, src: source() });
}

function actions(name, state) {
  const act = (text, path, options = {}) =>
    h(
      "button",
      {
        type: "button",
        title: options.title,
        onclick: async () => {
          if (options.sure && !confirm(options.sure)) return;
          try {
            await call(path, { method: options.method || "POST" });
            notice(options.said || `${text}: ${name}`);
          } catch (problem) {
            notice(problem.message, 15_000);
          }
        },
      },
      text,
    );
  if (state === "running")
    return h(
      "div",
      { class: "row" },
      act("Stop", `/runs/stop/${name}`, { title: "Save the state and end", said: `${name} saves its state and ends.` }),
    );
  return h(
    "div",
    { class: "row" },
    state === "finished" ? null : act("Resume", `/runs/resume/${name}`, { title: "Go on where it stood" }),
    state === "finished"
      ? null
      : act("Resume and heal", `/runs/resume/${name}?heal=true`, { title: "On trouble, return to a snapshot and train more gently" }),
    act("Delete", `/runs/${name}`, {
      method: "DELETE",
      sure: `Move ${name} to the trash folder?`,
      said: `${name} is in the folder .trash below the runs.`,
    }),
  );
}

async function starter() {
  const { recipes, data } = await get("/runs/recipes");
  const wish = { name: `run-${new Date().toISOString().slice(0, 10)}`, recipe: "dcgan_small", data: data[0], options: {} };
  const about = h("p", { class: "quiet" });
  const more = h("details", {}, h("summary", {}, "Options of the recipe"));
  const input = (name, text, properties) =>
    field(
      text,
      h("input", {
        type: "number",
        min: 1,
        ...properties,
        oninput: (event) => {
          wish[name] = event.target.value;
        },
      }),
    );
  const source = h("input", {
    type: "text",
    value: wish.data,
    list: "sources",
    oninput: () => {
      wish.data = source.value;
    },
  });
  const dropped = h("input", { type: "file", multiple: true, accept: "image/*,.zip,.npz", onchange: upload });

  async function choose(recipe) {
    wish.recipe = recipe;
    wish.options = {};
    about.textContent = recipes.find(({ name }) => name === recipe).sentence;
    const options = await get(`/runs/recipes/${recipe}`);
    fill(
      more,
      h("summary", {}, "Options of the recipe"),
      ...options
        .filter(({ value }) => typeof value !== "object")
        .map((option) => {
          const control = h("input", {
            type: "text",
            placeholder: String(option.value),
            onchange: () => {
              if (control.value) wish.options[option.path] = control.value;
              else delete wish.options[option.path];
            },
          });
          return field(option.path, control, option.meaning);
        }),
    );
  }

  async function upload() {
    const form = new FormData();
    for (const one of dropped.files) form.append("images", one);
    notice(`Uploading ${dropped.files.length} files ...`, 60_000);
    try {
      const answer = await (await call(`/runs/data/${encodeURIComponent(wish.name + "-data")}`, { method: "POST", body: form })).json();
      source.value = wish.data = answer.name;
      notice(`${answer.files} files are data now.`);
    } catch (problem) {
      notice(problem instanceof Refused ? problem.message : "The upload did not succeed.", 15_000);
    }
  }

  async function begin(event) {
    event.preventDefault();
    const numbers = ["images", "minutes", "batch", "seed"].filter((key) => wish[key]).map((key) => [key, Number(wish[key])]);
    try {
      await post("/runs", { ...wish, ...Object.fromEntries(numbers) });
      notice(`${wish.name} starts.`);
    } catch (problem) {
      notice(problem.message, 15_000);
    }
  }

  await choose(wish.recipe);
  return h(
    "form",
    { class: "options", onsubmit: begin },
    h("datalist", { id: "sources" }, ...data.map((name) => h("option", { value: name }))),
    h(
      "div",
      { class: "columns" },
      field(
        "Name",
        h("input", {
          type: "text",
          value: wish.name,
          required: true,
          oninput: (event) => {
            wish.name = event.target.value;
          },
        }),
      ),
      field("Recipe", select(recipes, wish.recipe, choose)),
      field("Data", source),
      field("Or images, or a zip", dropped),
      input("images", "Length in real images", { placeholder: "the recipe's" }),
      input("minutes", "Time limit in minutes", { placeholder: "none", min: 0.1, step: 0.1 }),
      field(
        "Size in pixels",
        h("input", {
          type: "text",
          placeholder: "the data's",
          oninput: (event) => {
            wish.resolution = event.target.value;
          },
        }),
      ),
      input("batch", "Images per step", { placeholder: "the recipe's" }),
      input("seed", "Seed", { placeholder: "0", min: 0 }),
      h(
        "label",
        { class: "row" },
        h("input", {
          type: "checkbox",
          onchange: (event) => {
            wish.heal = event.target.checked;
          },
        }),
        "Heal: on trouble return to a snapshot",
      ),
    ),
    about,
    more,
    h("div", { class: "row" }, h("button", { class: "main" }, "Start")),
  );
}

async function page(place, names) {
  place.append(h("h1", {}, names.join(" and ")));
  const body = h("div", { class: "report" });
  const [name] = names;
  const next =
    names.length > 1
      ? null
      : h(
          "div",
          { class: "row" },
          h("a", { class: "button", href: `/explore${link(name)}` }, "Explore"),
          h("a", { class: "button", href: "/judge" }, "Judge"),
          h("a", { class: "button", href: file(name, "config.json"), download: "config.json" }, "Recipe"),
        );
  if (next) place.append(next);
  place.append(body);
  const style = h("link", { rel: "stylesheet", href: "/static/report.css" });
  document.head.append(style);
  let last = "";

  async function draw() {
    const text = await (await call(`/runs/page?${new URLSearchParams(names.map((one) => ["name", one]))}`)).text();
    if (text === last) return; // a run that stands still keeps its slider where it is
    last = text;
    const { sections, notes } = JSON.parse(text);
    fill(
      body,
      ...notes.map((note) => h("p", { class: "quiet" }, note)),
      ...sections.map(({ key, title, html }) => {
        const part = new DOMParser().parseFromString(html, "text/html");
        return h("section", { class: "panel", id: key, "aria-label": title }, h("h2", {}, title), ...part.body.childNodes);
      }),
    );
    body.append(h("script", { src: "/static/report.js" })); // the slider and the legend, as in the written report
  }

  await draw();
  const again = setInterval(() => document.activeElement?.closest(".report") || draw().catch((problem) => notice(problem.message)), 10_000);
  return () => {
    clearInterval(again);
    style.remove();
  };
}
