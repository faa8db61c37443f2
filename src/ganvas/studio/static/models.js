// Models: embedded, public and own weights; what each is for, and fetching with progress.
import { follow, get, letGo, post } from "./api.js";
import { button, fill, h, quiet, table } from "./dom.js";

const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`);

export async function show(place) {
  const { embedded, public: publics, own, folder } = await get("/models");
  const ends = [];

  function state(file) {
    if (file.here) return "on this machine";
    const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": `Download of ${file.name}` });
    const fetching = async () => {
      bar.hidden = false;
      try {
        const { id } = await post(`/models/public/${file.name}`);
        const { status } = await follow(id, (now) => { bar.value = now.share; }, ends);
        if (status === "done") fill(cell, "on this machine");
      } finally {
        bar.hidden = true;
      }
    };
    const cell = h("span", {}, button("Fetch", fetching, { "aria-label": `Fetch ${file.name}` }), bar);
    return cell;
  }

  const sum = ({ sha256 }) => h("details", {}, h("summary", {}, "SHA-256"), h("code", {}, sha256));
  const named = ({ name, kind }) => (kind === "folder" ? h("a", { href: `/explore/${name}` }, name) : name);
  const sampled = ({ name, commands }) => named({ name, kind: commands.includes("sample") ? "folder" : "" });
  const tables = [
    table("In the package, nothing to fetch", ["name", "what for", "command", "licence"],
      embedded.map((model) => [sampled(model), model.what, model.commands.join(", "), model.license])),
    table("Public weights of metrics and style, fetched once under their own licences",
      ["name", "what for", "size", "state"],
      publics.map((file) => [file.name, [file.what, sum(file)], size(file.bytes), state(file)])),
    table("Yours: below --models and --runs", ["name", "kind", "size"],
      own.map((model) => [named(model), model.kind, size(model.bytes)])),
  ].map((one) => h("div", { class: "panel scroll" }, one));
  const hint = quiet(`Stored in ${folder}. Without a network, put the file there, or run `,
    h("code", {}, "ganvas weights add NAME FILE"), ".");
  tables.splice(2, 0, hint);
  if (!own.length) tables.at(-1).append("none yet");
  place.append(h("h1", {}, "Models"), ...tables);
  return () => letGo(ends);
}
