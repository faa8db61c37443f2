// Pictures of the playground from the bytes of the WebSocket (the format is described in play_frame.py).

export const FIGURES = [
  "d_loss", "g_loss", "modes", "total_modes", "high_quality", "wasserstein", "kl", "js", "score_low", "score_high",
];
export const KINDS = ["live", "past", "scene", "middle"];
const SECTIONS = { 1: "fakes", 2: "arrows", 3: "heat", 4: "grid", 5: "reals", 6: "latents" };
const REACH = 1.25;
const ARROW = 8192;

export function decode(buffer) {
  const view = new DataView(buffer);
  const picture = { side: view.getUint8(0), kind: KINDS[view.getUint8(1)], step: view.getUint32(4, true), figures: {} };
  const figures = view.getUint16(8, true);
  const sections = view.getUint16(10, true);
  let at = 12;
  for (let k = 0; k < figures; k++, at += 4) picture.figures[FIGURES[k]] = view.getFloat32(at, true);
  for (let k = 0; k < sections; k++) {
    const name = SECTIONS[view.getUint8(at)];
    const size = view.getUint8(at + 1);
    const count = view.getUint32(at + 4, true);
    picture[name] = values(name, buffer, at + 8, count);
    at += 8 + Math.ceil((size * count) / 4) * 4;
  }
  return picture;
}

// Positions and arrows become numbers in the unit of the data, [-1, 1]; the map stays in bytes.
function values(name, buffer, at, count) {
  if (name === "heat") return new Uint8Array(buffer, at, count);
  if (name === "arrows") return Float32Array.from(new Int16Array(buffer, at, count), (v) => v / ARROW);
  const scale = name === "latents" ? 4 : 1;
  const place = (v) => scale * ((v / 65535) * 2 * REACH - REACH);
  return Float32Array.from(new Uint16Array(buffer, at, count), place);
}

// The settings of a link: only what differs from the defaults, as base64url of JSON.
export function pack(settings, defaults) {
  const text = JSON.stringify(settings.map((one) => difference(one, defaults)));
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function unpack(text, defaults) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const list = JSON.parse(new TextDecoder().decode(bytes));
  if (!Array.isArray(list) || !list.length) throw new Error("no settings");
  return list.slice(0, 2).map((one) => merge(defaults, one));
}

function difference(ours, theirs) {
  const result = {};
  for (const [name, value] of Object.entries(ours)) {
    const other = theirs[name];
    if (value && typeof value === "object" && !Array.isArray(value)) {
      const inner = difference(value, other);
      if (Object.keys(inner).length) result[name] = inner;
    } else if (JSON.stringify(value) !== JSON.stringify(other)) result[name] = value;
  }
  return result;
}

// Settings over defaults; fields that the playground does not know are left out.
export function merge(defaults, changes) {
  const result = structuredClone(defaults);
  for (const name of Object.keys(defaults)) {
    if (changes?.[name] === undefined) continue;
    const nested = defaults[name] && typeof defaults[name] === "object" && !Array.isArray(defaults[name]);
    result[name] = nested ? merge(defaults[name], changes[name]) : changes[name];
  }
  return result;
}
