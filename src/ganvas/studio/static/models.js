// Models: embedded, public and own weights; what each is for, and fetching with progress.
import { events, get, post } from "./api.js";
import { h, notice } from "./dom.js";

const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`);

export async function show(place) {
  const { embedded, public: files, own, folder } = await get("/models");
  const ends = [];

  function row(file) {
    const state = h("td", {}, file.here ? "on this machine" : "");
    if (!file.here) {
      const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": `Download of ${file.name}` });
      const button = h("button", { type: "button", onclick: () => fetchFile(file, button, bar, state) }, "Fetch");
      state.append(button, bar);
    }
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, file.name),
      h("td", {}, file.what),
      h("td", { class: "number" }, size(file.bytes)),
      h("td", {}, h("details", {}, h("summary", {}, "SHA-256"), h("code", {}, file.sha256))),
      state,
    );
  }

  async function fetchFile(file, button, bar, state) {
    button.disabled = true;
    bar.hidden = false;
    try {
      const job = await post(`/models/public/${file.name}`);
      ends.push(
        events(`/jobs/${job.id}/events`, (now) => {
          bar.value = now.share;
          if (now.status === "done") state.textContent = "on this machine";
          if (now.status === "failed") {
            notice(now.problem, 20_000);
            button.disabled = false;
            bar.hidden = true;
          }
          if (["done", "failed", "cancelled"].includes(now.status)) ends.splice(0).forEach((end) => end());
        }),
      );
    } catch (problem) {
      notice(problem.message);
      button.disabled = false;
    }
  }

  const table = (caption, head, rows) =>
    h(
      "div",
      { class: "panel scroll" },
      h(
        "table",
        {},
        h("caption", {}, caption),
        h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, ...rows),
      ),
    );
  place.append(
    h("h1", {}, "Models"),
    table(
      "In the package: Apache-2.0, nothing to fetch",
      ["name", "what for", "scale"],
      embedded.map(({ name, what, scale }) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, what), h("td", {}, `x${scale}`))),
    ),
    table(
      "Public weights of metrics and style, fetched once under their own licences",
      ["name", "what for", "size", "checksum", "state"],
      files.map(row),
    ),
    h(
      "p",
      { class: "quiet" },
      `They lie in ${folder}. Without a network: put the file there, or `,
      h("code", {}, "ganvas weights add NAME FILE"),
      ".",
    ),
    table(
      "Yours: below --models and --runs",
      ["name", "kind", "size"],
      own.length
        ? own.map(({ name, kind, bytes }) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, kind === "folder" ? h("a", { href: `/explore/${name}` }, name) : name),
              h("td", {}, kind),
              h("td", { class: "number" }, size(bytes)),
            ),
          )
        : [h("tr", {}, h("td", { colspan: 3 }, "none yet"))],
    ),
  );
  return () => ends.splice(0).forEach((end) => end());
}
