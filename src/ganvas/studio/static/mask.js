// A mask painted over a picture: white where the model fills in.
import { ARROWS, button, h, row } from "./dom.js";

const clamp = (v, top) => Math.min(Math.max(v, 0), top);

export async function painter(file) {
  const picture = await createImageBitmap(file);
  const [width, height] = [picture.width, picture.height];
  const about = "Paint the places to fill in. Arrow keys move the cross, Space or Enter paints a dot there.";
  const area = { width, height, class: "mask", tabindex: 0, role: "application", "aria-label": about };
  const canvas = h("canvas", area);
  const layer = new OffscreenCanvas(width, height);
  const [context, brush] = [canvas.getContext("2d"), layer.getContext("2d")];
  const size = h("input", { type: "range", min: 2, max: 100, value: 24, "aria-label": "Width of the brush" });
  const colour = h("input", { type: "color", value: "#c03030", "aria-label": "Colour of the brush" });
  const ink = () => (colour.hidden ? "#fff" : colour.value);
  let [painted, erasing, cross] = [false, false, null]; // the cross is seen once a key has moved it

  function draw(now = true) {
    painted = now;
    context.drawImage(picture, 0, 0);
    context.globalAlpha = colour.hidden ? 0.6 : 1;
    context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
    if (!cross) return;
    const arm = width / 32;
    context.fillStyle = "#f0f";
    context.fillRect(cross[0] - arm, cross[1] - arm / 8, 2 * arm, arm / 4);
    context.fillRect(cross[0] - arm / 8, cross[1] - arm, arm / 4, 2 * arm);
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  function stroke(at, begin) {
    const across = width / canvas.clientWidth;
    brush.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    Object.assign(brush, { lineCap: "round", lineJoin: "round", strokeStyle: ink(), lineWidth: size.value * across });
    if (begin) {
      brush.beginPath();
      brush.moveTo(...at);
    }
    brush.lineTo(at[0], at[1] + 0.01); // a line without length would leave no dot
    brush.stroke();
    draw();
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(place(event), true);
  };
  canvas.onpointermove = (event) => event.buttons && stroke(place(event), false);
  canvas.onkeydown = (event) => {
    const move = ARROWS[event.key];
    if (!move && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    cross ??= [width / 2, height / 2];
    if (!move) return stroke(cross, true);
    const step = Math.max(1, size.value / 2) * (width / canvas.clientWidth);
    cross = [clamp(cross[0] + step * move[0], width), clamp(cross[1] - step * move[1], height)];
    draw(painted);
  };
  const erase = () => { erasing = !erasing; eraser.setAttribute("aria-pressed", erasing); };
  const clear = () => { brush.clearRect(0, 0, width, height); draw(false); };
  const middle = () => {
    brush.globalCompositeOperation = "source-over";
    brush.fillStyle = ink();
    brush.fillRect(width * 0.375, height * 0.375, width / 4, height / 4);
    draw();
  };
  const eraser = button("Eraser", erase, { "aria-pressed": "false" });
  draw(false);

  // The mask as a PNG, white where it is painted in any colour; null if nothing was painted.
  async function png() {
    if (!painted) return null;
    const sheet = new OffscreenCanvas(width, height);
    const paper = sheet.getContext("2d");
    paper.drawImage(layer, 0, 0);
    for (const [mode, fillStyle] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
      Object.assign(paper, { globalCompositeOperation: mode, fillStyle });
      paper.fillRect(0, 0, width, height);
    }
    return sheet.convertToBlob({ type: "image/png" });
  }

  const tools = row(h("label", { class: "row" }, "Brush", size, colour), eraser, button("Clear", clear),
    button("Fill the middle", middle));
  return { element: h("div", { class: "painter" }, canvas, tools), png, colour, paint: () => layer.convertToBlob() };
}
