// Before and after in one picture: a divider, and zoom and pan that both share (pointer, wheel, pinch, arrow keys).
import { ARROWS, button, h, input, row } from "./dom.js";

export function compare(before, after, name) {
  const view = { split: 0.5, zoom: 1, x: 0, y: 0 };
  const left = h("img", { src: before, alt: `${name}, before`, draggable: "false" });
  const right = h("img", { src: after, alt: `${name}, after`, draggable: "false" });
  const slide = (value) => {
    view.split = value / 100;
    draw();
  };
  const divider = input(slide, {
    type: "range", min: 0, max: 100, value: 50, class: "divider",
    "aria-label": `Share of ${name} that is shown as before; left and right arrow keys move it`,
  });
  const about = `${name} before and after; plus and minus zoom, arrow keys move, 0 shows all of it`;
  const seam = h("span", { class: "seam", "aria-hidden": "true" });
  const frame = h("div", { class: "compare", tabindex: 0, role: "group", "aria-label": about }, right, left, seam);
  const scale = (text, factor) => button(text, () => zoom(factor));
  const buttons = row(scale("Zoom in", 2), scale("Zoom out", 0.5), button("All of it", reset));

  function draw() {
    const place = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    for (const image of [left, right]) image.style.transform = place;
    left.style.clipPath = clip();
    frame.style.setProperty("--split", `${view.split * 100}%`);
  }

  // The left picture is cut where the divider stands on the screen, whatever the zoom.
  function clip() {
    const width = frame.clientWidth || 1;
    const edge = (view.split * width - view.x) / view.zoom;
    return `inset(0 ${Math.max(width - edge, 0)}px 0 0)`;
  }

  function limit() {
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    view.x = Math.min(0, Math.max(view.x, width - width * view.zoom));
    view.y = Math.min(0, Math.max(view.y, height - height * view.zoom));
  }

  function zoom(factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    const next = Math.min(Math.max(view.zoom * factor, 1), 32);
    view.x = x - ((x - view.x) * next) / view.zoom;
    view.y = y - ((y - view.y) * next) / view.zoom;
    view.zoom = next;
    limit();
    draw();
  }

  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
    limit();
    draw();
  }

  function reset() {
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    draw();
  }

  const pointers = new Map();
  const at = (event) => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  frame.onpointerdown = (event) => {
    frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
  };
  frame.onpointermove = (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = at(event);
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
      const ratio = apart(now) / apart(last);
      if (Number.isFinite(ratio)) zoom(ratio, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else move(now[0] - last[0], now[1] - last[1]);
    pointers.set(event.pointerId, now);
  };
  frame.onpointerup = frame.onpointercancel = (event) => pointers.delete(event.pointerId);
  const wheel = (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, ...at(event));
  };
  frame.addEventListener("wheel", wheel, { passive: false });
  frame.onkeydown = (event) => {
    const [right, up] = ARROWS[event.key] || [];
    if (event.key in ARROWS) move(-40 * right, 40 * up);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  };
  new ResizeObserver(() => {
    limit();
    draw();
  }).observe(frame);
  draw();
  return h("div", { class: "comparison" }, frame, divider, buttons);
}
