// Draw your own data: a dialog with a canvas for mouse, pen, finger and keys.
import { ARROWS, button, fill, h, notice, quiet, row } from "./dom.js";
import { colours, css, prepare } from "./play_canvas.js";

const MOST = 2000; // points that are kept
const APART = 0.02; // of two points of one line
const STEP = 0.05; // of an arrow key

// Open the dialog with the points drawn before; the answer is the new points, or null.
export function drawData(before) {
  const points = before.map(([x, y]) => [x, y]);
  const cursor = [0, 0];
  const canvas = h("canvas", {
    class: "drawing", tabindex: "0", role: "application",
    "aria-label": "Drawing area. Arrow keys move the cross, Space or Enter sets a point, Backspace removes it.",
  });
  const count = h("span", { class: "number", role: "status" });
  const dialog = h("dialog", { class: "draw", "aria-label": "Draw your own data" });
  const end = (answer) => { dialog.returnValue = answer; dialog.close(answer); };
  const apply = button("Apply", () => end("apply"), { class: "main" });
  const clear = () => {
    points.length = 0;
    refresh();
  };
  const refresh = () => {
    paint(canvas, points, cursor);
    count.textContent = `${points.length} points`;
    apply.disabled = points.length < 2;
  };
  const add = (x, y) => {
    if (points.length >= MOST) return notice(`A drawing has at most ${MOST} points.`);
    points.push([round(x), round(y)]);
    refresh();
  };
  fill(dialog, h("h2", {}, "Draw your own data"),
    quiet("Draw with mouse, pen or finger; or with the arrow keys and Space.",
      " Every point is scattered a little, so lines become clouds."),
    canvas, row(apply, button("Clear", clear), button("Cancel", () => end("cancel")), count));
  byPointer(canvas, add);
  byKeys(canvas, { cursor, add, refresh, undo: () => { points.pop(); refresh(); } });
  document.body.append(dialog);
  dialog.showModal();
  canvas.focus();
  refresh();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "apply" ? points : null);
    };
  });
}

const round = (v) => Math.max(-1, Math.min(1, Math.round(v * 1000) / 1000));

function byPointer(canvas, add) {
  let last = null;
  const place = ({ offsetX, offsetY }) =>
    [(offsetX / canvas.clientWidth) * 2 - 1, 1 - (offsetY / canvas.clientHeight) * 2];
  const inside = ([x, y]) => Math.abs(x) <= 1 && Math.abs(y) <= 1;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    add(...last);
  };
  canvas.onpointermove = (event) => {
    if (!last) return;
    for (const one of event.getCoalescedEvents?.() || [event]) {
      const at = place(one);
      if (!inside(at) || Math.hypot(at[0] - last[0], at[1] - last[1]) < APART) continue;
      last = at;
      add(...at);
    }
  };
  canvas.onpointerup = canvas.onpointercancel = () => { last = null; };
}

function byKeys(canvas, { cursor, add, refresh, undo }) {
  canvas.onkeydown = (event) => {
    const move = ARROWS[event.key];
    if (move) move.forEach((v, k) => { cursor[k] = round(cursor[k] + STEP * v); });
    else if (event.key === " " || event.key === "Enter") add(...cursor);
    else if (event.key === "Backspace") undo();
    else return;
    event.preventDefault();
    refresh();
  };
}

function paint(canvas, points, [cx, cy]) {
  const { brush, width } = prepare(canvas);
  const at = (v, sign) => (sign * v + 1) * (width / 2);
  brush.fillStyle = css(colours().real, 0.8);
  for (const [x, y] of points) {
    brush.beginPath();
    brush.arc(at(x, 1), at(y, -1), 5, 0, 2 * Math.PI);
    brush.fill();
  }
  brush.strokeStyle = css(colours().quiet);
  brush.beginPath();
  brush.moveTo(at(cx, 1) - 7, at(cy, -1));
  brush.lineTo(at(cx, 1) + 7, at(cy, -1));
  brush.moveTo(at(cx, 1), at(cy, -1) - 7);
  brush.lineTo(at(cx, 1), at(cy, -1) + 7);
  brush.stroke();
}
