// Figures of a film as numbers and as curves on canvases.
import { h, fill } from "./dom.js";
import { colours, css, prepare } from "./play_canvas.js";

const MOST = 4000; // points kept of a film; every second one goes when there are more

const number = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
const percent = (value) => (Number.isFinite(value) ? `${Math.round(100 * value)} %` : "–");

export const ROWS = [
  ["modes", "Modes hit", (f) => (Number.isFinite(f.modes) ? `${f.modes} of ${f.total_modes}` : "–"),
    "Groups of the data that at least one good fake belongs to; only mixtures have them."],
  ["high_quality", "Good samples", (f) => percent(f.high_quality),
    "Share of the fakes within three standard deviations of a group."],
  ["wasserstein", "Sliced Wasserstein", (f) => number(f.wasserstein),
    "Mean distance that a fake must move to make the data, over 64 directions."],
  ["kl", "KL divergence", (f) => number(f.kl),
    "KL(data || fakes) on a 30 x 30 grid, in nats: large where data have no fakes."],
  ["js", "JS divergence", (f) => number(f.js), "Jensen-Shannon divergence on a 30 x 30 grid, in nats: 0 to 0.693."],
  ["d_loss", "D's loss", (f) => number(f.d_loss), "Mean loss of the discriminator since the last picture."],
  ["g_loss", "G's loss", (f) => number(f.g_loss), "Mean loss of the generator since the last picture."],
];

const CHARTS = [
  { title: "Losses", lines: [["d_loss", "D", "d"], ["g_loss", "G", "g"]] },
  {
    title: "Distances to the data",
    lines: [["kl", "KL", "arrow"], ["js", "JS", "d"], ["wasserstein", "Wasserstein", "real"]],
  },
  { title: "Modes and good samples", top: 1, lines: [["coverage", "Modes", "g"], ["high_quality", "Good", "real"]] },
];

// What a film's figures were, step by step.
export class History {
  constructor() { this.rows = []; }

  add(step, figures) {
    this.cut(step);
    this.rows.push({ step, ...figures, coverage: figures.modes / figures.total_modes });
    if (this.rows.length > MOST) this.rows = this.rows.filter((_, k) => k % 2);
  }

  // Forget what came at or after a step.
  cut(step) {
    while (this.rows.length && this.rows.at(-1).step >= step) this.rows.pop();
  }
}

export function figuresTable() {
  const head = h("thead");
  const body = h("tbody");
  const element = h("table", { class: "figures" }, h("caption", {}, "Figures"), head, body);
  const show = (films) => {
    const names = films.map((_, k) => (films.length > 1 ? "AB"[k] : "Now"));
    fill(head, h("tr", {}, h("th", { scope: "col" }, "Figure"), names.map((name) => h("th", { scope: "col" }, name))));
    fill(body, ROWS.map(([, label, text, title]) => h("tr", { title }, h("th", { scope: "row" }, label),
      films.map((figures) => h("td", { class: "number" }, text(figures))))));
  };
  return { element, show };
}

export function charts() {
  const parts = CHARTS.map((chart) => {
    const canvas = h("canvas", { class: "chart", role: "img", "aria-label": chart.title });
    const keys = chart.lines.map(([, label, colour]) => h("span", { class: `key key-${colour}` }, label));
    const element = h("figure", { class: "chart-box" }, h("figcaption", {}, chart.title, " ", keys), canvas);
    return { chart, canvas, element };
  });
  const show = (histories) => {
    for (const { chart, canvas } of parts) drawChart(canvas, chart, histories);
  };
  return { element: h("div", { class: "charts" }, parts.map((part) => part.element)), show };
}

function drawChart(canvas, chart, histories) {
  const { brush, width, height } = prepare(canvas);
  const rows = histories.flatMap((history) => history.rows);
  if (!width || !rows.length) return;
  const last = Math.max(1, ...histories.map((history) => history.rows.at(-1)?.step || 0));
  const { low, high } = range(chart, rows);
  const x = (step) => 34 + (step / last) * (width - 38);
  const y = (value) => height - 14 - ((value - low) / (high - low)) * (height - 20);
  drawAxes(brush, { x, y, low, high, last, width });
  histories.forEach((history, side) => {
    const stride = Math.ceil(history.rows.length / width);
    for (const [name, , colour] of chart.lines) {
      brush.strokeStyle = css(colours()[colour], side ? 0.75 : 1);
      brush.setLineDash(side ? [4, 3] : []);
      brush.lineWidth = 1.5;
      brush.beginPath();
      for (let k = 0; k < history.rows.length; k += stride) {
        const value = history.rows[k][name];
        if (Number.isFinite(value)) brush.lineTo(x(history.rows[k].step), y(Math.min(high, Math.max(low, value))));
      }
      brush.stroke();
    }
  });
  brush.setLineDash([]);
  canvas.setAttribute("aria-label", spoken(chart, histories));
}

// The values between which a chart is drawn, without the wildest hundredth.
function range(chart, rows) {
  if (chart.top) return { low: 0, high: chart.top };
  const stride = Math.ceil(rows.length / 300);
  const values = [];
  for (let k = 0; k < rows.length; k += stride) for (const [name] of chart.lines) values.push(rows[k][name]);
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const low = Math.min(0, sorted[Math.floor(sorted.length * 0.01)] ?? 0);
  return { low, high: Math.max(low + 0.1, sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 1) };
}

function drawAxes(brush, { x, y, low, high, last, width }) {
  brush.strokeStyle = css(colours().line);
  brush.fillStyle = css(colours().quiet);
  brush.font = "10px system-ui, sans-serif";
  brush.lineWidth = 1;
  for (const value of [low, (low + high) / 2, high]) {
    brush.beginPath();
    brush.moveTo(x(0), y(value));
    brush.lineTo(width - 4, y(value));
    brush.stroke();
    brush.textAlign = "right";
    brush.fillText(Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0), x(0) - 4, y(value) + 3);
  }
  brush.fillText(last.toLocaleString("en"), width - 4, y(low) + 12);
  brush.textAlign = "left";
  brush.fillText("0", x(0), y(low) + 12);
}

function spoken(chart, histories) {
  const films = histories.filter((history) => history.rows.length).map((history, side) => {
    const row = history.rows.at(-1);
    const values = chart.lines.map(([name, label]) => `${label} ${number(row[name], 2)}`).join(", ");
    return (histories.length > 1 ? `${"AB"[side]}: ` : "") + values;
  });
  return `${chart.title} over the steps; now ${films.join("; ")}`;
}
