// A mask painted over a picture: white where the model fills in.
import { button, h, row } from "./dom.js";

export async function painter(file) {
  const picture = await createImageBitmap(file);
  const [width, height] = [picture.width, picture.height];
  const about = "Paint the places to fill in";
  const canvas = h("canvas", { width, height, class: "mask", tabindex: 0, "aria-label": about });
  const layer = new OffscreenCanvas(width, height);
  const [context, brush] = [canvas.getContext("2d"), layer.getContext("2d")];
  const size = h("input", { type: "range", min: 2, max: 100, value: 24, "aria-label": "Width of the brush" });
  let [painted, erasing] = [false, false];

  function draw(now = true) {
    painted = now;
    context.drawImage(picture, 0, 0);
    context.globalAlpha = 0.6;
    context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
  }

  function stroke(event, begin) {
    const box = canvas.getBoundingClientRect();
    const [across, down] = [width / box.width, height / box.height];
    const at = [(event.clientX - box.left) * across, (event.clientY - box.top) * down];
    brush.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    Object.assign(brush, { lineCap: "round", lineJoin: "round", strokeStyle: "#fff", lineWidth: size.value * across });
    if (begin) {
      brush.beginPath();
      brush.moveTo(...at);
    }
    brush.lineTo(...at);
    brush.stroke();
    draw();
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event, true);
  };
  canvas.onpointermove = (event) => event.buttons && stroke(event, false);
  const erase = () => {
    erasing = !erasing;
    eraser.setAttribute("aria-pressed", erasing);
  };
  const clear = () => {
    brush.clearRect(0, 0, width, height);
    draw(false);
  };
  const middle = () => {
    brush.globalCompositeOperation = "source-over";
    brush.fillStyle = "#fff";
    brush.fillRect(width * 0.375, height * 0.375, width / 4, height / 4);
    draw();
  };
  const eraser = button("Eraser", erase, { "aria-pressed": "false" });
  draw(false);

  // The mask as a PNG, white in the holes; null if nothing was painted.
  async function png() {
    if (!painted) return null;
    const sheet = new OffscreenCanvas(width, height);
    const paper = sheet.getContext("2d");
    paper.fillStyle = "#000";
    paper.fillRect(0, 0, width, height);
    paper.drawImage(layer, 0, 0);
    return sheet.convertToBlob({ type: "image/png" });
  }

  const tools = row(h("label", { class: "row" }, "Brush", size), eraser, button("Clear", clear),
    button("Fill the middle", middle));
  return { element: h("div", { class: "painter" }, canvas, tools), png };
}
