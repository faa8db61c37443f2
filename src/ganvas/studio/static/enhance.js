// Enhance: pictures of the person's through a model, with before and after.
import { call, events, get, Refused } from "./api.js";
import { compare } from "./compare.js";
import { field, fill, h, notice, select } from "./dom.js";
import { painter } from "./mask.js";

const VERBS = [
  { name: "upscale", label: "Upscale", about: "Larger, with the detail that the model adds." },
  {
    name: "restore",
    label: "Restore, colourise or fill in",
    about: "The model decides which: denoise, deblur, dehaze, colourise; or inpaint with a mask.",
  },
  { name: "translate", label: "Translate", about: "Into the other domain of a model trained with pix2pix, CycleGAN, CUT or StarGAN." },
  { name: "stylize", label: "Stylize", about: "With the style of another picture." },
];
const PREVIEWED = /\.(png|jpe?g|webp|gif|avif|bmp)$/i; // what browsers show as it is

export async function show(place) {
  const models = await get("/models");
  const state = { verb: "upscale", model: "", files: [], styles: [], mask: null, end: () => {}, job: null };
  const options = h("div", { class: "options" });
  const chosen = h("ul", { class: "files" });
  const start = h("button", { class: "main", type: "button", disabled: true, onclick: run }, "Start");
  const cancel = h("button", { type: "button", hidden: true, onclick: () => call(`/jobs/${state.job}`, { method: "DELETE" }) }, "Cancel");
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const status = h("p", { class: "number", role: "status" });
  const results = h("div", { class: "results" });
  const picker = h("input", {
    type: "file",
    multiple: true,
    accept: "image/*,.tif,.tiff,.dcm,.jp2,.ppm,.pgm",
    id: "pictures",
    onchange: () => add(picker.files),
  });
  const folder = h("input", {
    type: "file",
    webkitdirectory: true,
    id: "folder",
    onchange: () => add([...folder.files].filter((f) => /^image\/|\.tiff?$/i.test(f.type + f.name))),
  });
  const drop = h(
    "div",
    { class: "drop" },
    h("p", {}, "Drop pictures here, or paste one."),
    h("div", { class: "row" }, field("Pictures", picker), field("Or a folder", folder)),
  );

  function add(files) {
    state.files.push(...files);
    list();
  }

  function list() {
    if (state.masked !== state.files[0]) state.mask = null; // a mask belongs to its picture
    fill(
      chosen,
      ...state.files.map((file, k) =>
        h(
          "li",
          {},
          `${file.name} (${Math.ceil(file.size / 1024).toLocaleString()} kB) `,
          h(
            "button",
            {
              type: "button",
              "aria-label": `Remove ${file.name}`,
              onclick: () => {
                state.files.splice(k, 1);
                list();
              },
            },
            "Remove",
          ),
        ),
      ),
    );
    start.disabled = !state.files.length;
    describe();
  }

  function describe() {
    const verb = VERBS.find(({ name }) => name === state.verb);
    const own = models.own.map(({ name }) => name);
    const names = { upscale: [...models.embedded.map(({ name }) => name), "bicubic", ...own], stylize: ["", ...own] }[state.verb] || own;
    if (!names.includes(state.model)) state.model = names[0] ?? "";
    const labels = names.map((name) => ({ name, label: name || "none: optimise the picture itself" }));
    const inputs = [h("p", { class: "quiet" }, verb.about)];
    if (names.length)
      inputs.push(
        field(
          "Model",
          select(labels, state.model, (value) => {
            state.model = value;
            describe();
          }),
        ),
      );
    else
      inputs.push(h("p", { class: "problem" }, "No model of this kind is here: train one (Runs), or put one into the folder of models."));
    if (state.verb === "upscale") inputs.push(number("outscale", "Scale, empty for the model's", { min: 0.5, max: 16, step: 0.5 }));
    if (["upscale", "stylize"].includes(state.verb))
      inputs.push(number("strength", "Strength", { type: "range", min: 0, max: 1, step: 0.05, value: state.strength ?? 1 }));
    if (state.verb === "translate") inputs.push(number("label", "Target domain, if the model has several", { type: "text" }));
    if (state.verb === "stylize")
      inputs.push(
        field(
          "Style pictures",
          h("input", {
            type: "file",
            multiple: true,
            accept: "image/*",
            onchange: (event) => {
              state.styles = [...event.target.files];
            },
          }),
        ),
      );
    if (state.verb === "stylize" && !state.model)
      inputs.push(number("iterations", "Iterations", { min: 1, max: 2000, value: state.iterations ?? 300 }));
    if (state.verb === "restore" && state.files.length === 1) inputs.push(maskTool());
    fill(options, ...inputs);
  }

  function number(name, text, properties) {
    const control = h("input", {
      type: "number",
      value: state[name] ?? "",
      ...properties,
      oninput: () => {
        state[name] = control.value;
      },
    });
    return field(text, control);
  }

  function maskTool() {
    if (state.mask) return state.mask.element;
    const open = async () => {
      try {
        state.mask = await painter(state.files[0]);
        state.masked = state.files[0];
        describe();
      } catch {
        notice("The browser cannot show this picture; give the mask with the command: ganvas restore --mask.");
      }
    };
    return h("button", { type: "button", onclick: open }, "Paint a mask (inpainting)");
  }

  async function run() {
    const form = new FormData();
    for (const file of state.files) form.append("images", file);
    for (const style of state.verb === "stylize" ? state.styles : []) form.append("styles", style);
    const values = {
      verb: state.verb,
      model: state.model,
      outscale: state.outscale,
      strength: state.strength,
      label: state.label,
      iterations: state.iterations,
    };
    for (const [name, value] of Object.entries(values)) if (value) form.append(name, value);
    const mask = state.verb === "restore" && (await state.mask?.png());
    if (mask) form.append("mask", mask, "mask.png");
    fill(results);
    start.disabled = true;
    cancel.hidden = false;
    status.textContent = "Uploading ...";
    try {
      follow(await (await call("/enhance", { method: "POST", body: form })).json());
    } catch (problem) {
      finish(problem instanceof Refused ? problem.message : "The upload did not succeed; is the studio still running?");
    }
  }

  function follow(job) {
    state.job = job.id;
    const shown = new Set();
    state.end = events(`/jobs/${job.id}/events`, (now) => {
      bar.value = now.share;
      status.textContent = now.status === "running" ? `${Math.round(100 * now.share)} % ${now.result.file || ""}` : now.status;
      for (const file of now.result.files || []) {
        if (shown.has(file.file)) continue;
        shown.add(file.file);
        results.append(result(job.id, file));
      }
      if (now.status === "done" && shown.size > 1)
        results.prepend(h("a", { href: `/api/enhance/${job.id}/zip`, download: "" }, "Download all as a zip"));
      if (["done", "failed", "cancelled"].includes(now.status)) finish(now.problem || summary(now));
    });
  }

  function summary({ status, result: { files = [] } }) {
    const count = files.filter((file) => file.status === "done").length;
    return `${status}: ${count} of ${files.length} ${files.length === 1 ? "picture" : "pictures"}.`;
  }

  function finish(text) {
    state.end();
    status.textContent = text;
    start.disabled = !state.files.length;
    cancel.hidden = true;
  }

  const paste = (event) => event.clipboardData?.files.length && add(event.clipboardData.files);
  addEventListener("paste", paste);
  drop.ondragover = (event) => event.preventDefault();
  drop.ondrop = (event) => {
    event.preventDefault();
    add(event.dataTransfer.files);
  };
  const verbs = h(
    "div",
    { class: "row", role: "group", "aria-label": "What to do" },
    ...VERBS.map(({ name, label }) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": name === state.verb,
          onclick: (event) => {
            state.verb = name;
            for (const button of verbs.children) button.setAttribute("aria-pressed", button === event.currentTarget);
            describe();
          },
        },
        label,
      ),
    ),
  );
  list();
  place.append(
    h("h1", {}, "Enhance"),
    verbs,
    h(
      "div",
      { class: "columns" },
      h("section", { class: "panel", "aria-label": "Pictures" }, drop, chosen),
      h("section", { class: "panel", "aria-label": "Options" }, options),
    ),
    h("div", { class: "row" }, start, cancel, bar, status),
    results,
  );
  return () => {
    removeEventListener("paste", paste);
    state.end();
  };
}

function result(job, file) {
  const [before, after] = [`/api/enhance/${job}/preview/sources/`, `/api/enhance/${job}/preview/results/`];
  const saved = `/api/jobs/${job}/files/results/${encodeURIComponent(file.output)}`;
  const notes = file.notes.map((note) => h("li", {}, note));
  if (file.status !== "done")
    return h("article", { class: "panel" }, h("h2", {}, file.file), h("p", { class: "problem" }, `${file.status}: ${file.reason}.`));
  const shown = (folder, name) =>
    PREVIEWED.test(name)
      ? `/api/jobs/${job}/files/${folder}/${encodeURIComponent(name)}`
      : (folder === "sources" ? before : after) + encodeURIComponent(name);
  return h(
    "article",
    { class: "panel" },
    h("h2", {}, file.file),
    compare(shown("sources", file.file), shown("results", file.output), file.file),
    h(
      "p",
      { class: "row" },
      h("a", { href: saved, download: file.output }, `Download ${file.output}`),
      h("span", { class: "quiet number" }, `${file.seconds} s`),
    ),
    notes.length ? h("ul", { class: "quiet" }, ...notes) : null,
  );
}
