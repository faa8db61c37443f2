// Enhance: images through a model, with before and after.
import { call, follow, get, letGo, upload } from "./api.js";
import { compare } from "./compare.js";
import { button, field, files, fill, h, input, notice, problem, quiet, row, select } from "./dom.js";
import { painter } from "./mask.js";

const VERBS = {
  upscale: ["Upscale", "Larger, with the detail that the model adds."],
  restore: ["Restore, colourise or fill in", "The model decides: denoise, deblur, colourise, or inpaint with a mask."],
  remove: ["Remove an object", "Paint over it: what is around it is continued."],
  "edit-region": ["Edit a region", "Paint colours into the image, or the place that a reference is blended into."],
  translate: ["Translate", "Into the other domain of a model trained with pix2pix, CycleGAN, CUT or StarGAN."],
  stylize: ["Stylize", "With the style of another image."],
};
// Options of the verbs, in the order of the page: name, verbs, text, properties of the input.
const OPTIONS = [
  ["outscale", ["upscale"], "Scale, empty for the model's", { type: "number", min: 0.5, max: 16, step: 0.5 }],
  ["strength", ["upscale", "stylize"], "Strength", { type: "range", min: 0, max: 1, step: 0.05, value: 1 }],
  ["label", ["translate"], "Target domain, if the model has several", {}],
];
const ITERATIONS = { type: "number", min: 1, max: 2000, value: 300 };
const FIRST = { stylize: [""], remove: ["inpaint"], "edit-region": ["inpaint"] }; // models before the embedded ones
const MASKED = ["restore", "remove", "edit-region"];
const PREVIEWED = /\.(png|jpe?g|webp|gif|avif|bmp)$/i; // what browsers show as it is
const TAKEN = "image/*,.tif,.tiff,.dcm,.jp2,.ppm,.pgm";

export async function show(place) {
  const models = await get("/models");
  const state = { verb: "upscale", model: "", files: [], styles: [], reference: [], mask: null, job: null };
  const ends = [];
  const options = h("div", { class: "options" });
  const chosen = h("ul", { class: "files" });
  const start = button("Start", run, { class: "main", disabled: true });
  const stop = () => call(`/jobs/${state.job}`, { method: "DELETE" });
  const cancel = button("Cancel", stop, { hidden: true });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const status = h("p", { class: "number", role: "status" });
  const results = h("div", { class: "results" });
  const images = (list) => list.filter((file) => /^image\/|\.tiff?$/i.test(file.type + file.name));
  const drop = h("div", { class: "drop" },
    h("p", {}, "Drop images here, or paste one."),
    row(field("Images", files(add, { accept: TAKEN, id: "pictures" })),
      field("Or a folder", files((list) => add(images(list)), { webkitdirectory: true, id: "folder" }))));

  function add(list) {
    state.files.push(...list);
    listed();
  }

  function listed() {
    if (state.masked !== state.files[0]) state.mask = null; // a mask belongs to its image
    const remove = (k) => { state.files.splice(k, 1); listed(); };
    fill(chosen, state.files.map((file, k) => h("li", {},
      `${file.name} (${Math.ceil(file.size / 1024).toLocaleString()} kB) `,
      button("Remove", () => remove(k), { "aria-label": `Remove ${file.name}` }))));
    start.disabled = !state.files.length;
    describe();
  }

  function option(name, text, properties) {
    const put = (value) => { state[name] = value; };
    return field(text, input(put, { ...properties, value: state[name] ?? properties.value ?? "" }));
  }

  function describe() {
    const { verb } = state;
    const own = models.own.map(({ name }) => name);
    const embedded = models.embedded.filter(({ commands }) => commands.includes(verb)).map(({ name }) => name);
    const names = [...(FIRST[verb] || []), ...embedded, ...({ upscale: ["bicubic"] }[verb] || []), ...own];
    if (!names.includes(state.model)) state.model = names[0] ?? "";
    const labels = names.map((name) => ({ name, label: name || "none: optimise the image itself" }));
    const choose = (model) => { state.model = model; describe(); };
    fill(options, quiet(VERBS[verb][1]),
      names.length
        ? field("Model", select(labels, state.model, choose))
        : problem("No model of this kind is here: train one (Runs), or put one into the folder of models."),
      OPTIONS.filter(([, verbs]) => verbs.includes(verb)).map(([name, , ...rest]) => option(name, ...rest)),
      verb === "stylize" && field("Style images", files((list) => { state.styles = list; })),
      verb === "stylize" && !state.model && option("iterations", "Iterations", ITERATIONS),
      verb === "edit-region" &&
        field("Reference image", files((list) => { state.reference = list; }, { multiple: false })),
      MASKED.includes(verb) && state.files.length === 1 && maskTool());
  }

  function maskTool() {
    if (state.mask) {
      state.mask.colour.hidden = state.verb !== "edit-region";
      return state.mask.element;
    }
    return button("Paint a mask (inpainting)", async () => {
      try {
        state.mask = await painter(state.files[0]);
        state.masked = state.files[0];
        describe();
      } catch {
        notice("The browser cannot show this image; give the mask with the command: ganvas restore --mask.");
      }
    });
  }

  async function form() {
    const { verb, model, outscale, strength, label, iterations } = state;
    const result = new FormData();
    for (const file of state.files) result.append("images", file);
    for (const style of verb === "stylize" ? state.styles : []) result.append("styles", style);
    for (const [name, value] of Object.entries({ verb, model, outscale, strength, label, iterations }))
      if (value) result.append(name, value);
    const mask = MASKED.includes(verb) && (await state.mask?.png());
    if (mask) result.append("mask", mask, "mask.png");
    if (verb !== "edit-region") return result;
    if (state.reference.length) result.append("reference", state.reference[0]);
    else if (mask) result.append("paint", await state.mask.paint(), "paint.png");
    return result;
  }

  async function run() {
    fill(results);
    status.textContent = "Uploading ...";
    const shown = new Set();
    try {
      state.job = (await upload("/enhance", await form())).id;
      cancel.hidden = false;
      status.textContent = summary(await follow(state.job, (now) => progress(now, shown), ends));
    } catch (trouble) {
      status.textContent = trouble.message;
    }
    cancel.hidden = true;
  }

  function progress(now, shown) {
    bar.value = now.share;
    const share = `${Math.round(100 * now.share)} % ${now.result.file || ""}`;
    status.textContent = now.status === "running" ? share : now.status;
    for (const file of now.result.files || []) {
      if (shown.has(file.file)) continue;
      shown.add(file.file);
      results.append(result(state.job, file));
    }
    if (now.status === "done" && shown.size > 1)
      results.prepend(h("a", { href: `/api/enhance/${state.job}/zip`, download: "" }, "Download all as a zip"));
  }

  const paste = (event) => event.clipboardData?.files.length && add(event.clipboardData.files);
  addEventListener("paste", paste);
  drop.ondragover = (event) => event.preventDefault();
  drop.ondrop = (event) => { event.preventDefault(); add(event.dataTransfer.files); };
  const turn = (event, name) => {
    state.verb = name;
    for (const one of verbs.children) one.ariaPressed = one === event.currentTarget;
    describe();
  };
  const verbs = h("div", { class: "row", role: "group", "aria-label": "What to do" },
    Object.entries(VERBS).map(([name, [text]]) =>
      button(text, (event) => turn(event, name), { "aria-pressed": name === state.verb })));
  listed();
  place.append(h("h1", {}, "Enhance"), verbs,
    h("div", { class: "columns" },
      h("section", { class: "panel", "aria-label": "Images" }, drop, chosen),
      h("section", { class: "panel", "aria-label": "Options" }, options)),
    row(start, cancel, bar, status), results);
  return () => {
    removeEventListener("paste", paste);
    letGo(ends);
  };
}

function summary({ status, problem, result: { files: all = [] } }) {
  const count = all.filter((file) => file.status === "done").length;
  return problem || `${status}: ${count} of ${all.length} ${all.length === 1 ? "image" : "images"}.`;
}

function result(job, file) {
  const panel = (...children) => h("article", { class: "panel" }, h("h2", {}, file.file), ...children);
  if (file.status !== "done") return panel(problem(`${file.status}: ${file.reason}.`));
  const address = (folder, name) => `/api/jobs/${job}/files/${folder}/${encodeURIComponent(name)}`;
  const shown = (folder, name) =>
    PREVIEWED.test(name) ? address(folder, name) : `/api/enhance/${job}/preview/${folder}/${encodeURIComponent(name)}`;
  const save = h("a", { href: address("results", file.output), download: file.output }, `Download ${file.output}`);
  return panel(
    compare(shown("sources", file.file), shown("results", file.output), file.file),
    h("p", { class: "row" }, save, h("span", { class: "quiet number" }, `${file.seconds} s`)),
    file.notes.length > 0 && h("ul", { class: "quiet" }, ...file.notes.map((note) => h("li", {}, note))));
}
