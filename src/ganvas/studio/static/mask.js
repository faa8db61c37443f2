// A mask painted over a picture: white where the model fills in.
import { h } from "./dom.js";

export async function painter(file) {
  const picture = await createImageBitmap(file);
  const [width, height] = [picture.width, picture.height];
  const canvas = h("canvas", { width, height, class: "mask", tabindex: 0, "aria-label": "Paint the places to fill in" });
  const layer = new OffscreenCanvas(width, height);
  const [context, brush] = [canvas.getContext("2d"), layer.getContext("2d")];
  const size = h("input", { type: "range", min: 2, max: 100, value: 24, "aria-label": "Width of the brush" });
  let [painted, erasing] = [false, false];

  function draw() {
    context.drawImage(picture, 0, 0);
    context.globalAlpha = 0.6;
    context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
  }

  function stroke(event, begin) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
    brush.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    Object.assign(brush, { lineCap: "round", lineJoin: "round", strokeStyle: "#fff", lineWidth: (size.value * width) / box.width });
    if (begin) {
      brush.beginPath();
      brush.moveTo(x, y);
    }
    brush.lineTo(x, y);
    brush.stroke();
    painted = true;
    draw();
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event, true);
  };
  canvas.onpointermove = (event) => event.buttons && stroke(event, false);
  const eraser = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick: () => {
        erasing = !erasing;
        eraser.setAttribute("aria-pressed", erasing);
      },
    },
    "Eraser",
  );
  const clear = h(
    "button",
    {
      type: "button",
      onclick: () => {
        brush.clearRect(0, 0, width, height);
        painted = false;
        draw();
      },
    },
    "Clear",
  );
  const edges = h(
    "button",
    {
      type: "button",
      onclick: () => {
        brush.globalCompositeOperation = "source-over";
        brush.fillStyle = "#fff";
        brush.fillRect(width * 0.375, height * 0.375, width / 4, height / 4);
        painted = true;
        draw();
      },
    },
    "Fill the middle",
  );
  draw();

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

  const element = h(
    "div",
    { class: "painter" },
    canvas,
    h("div", { class: "row" }, h("label", { class: "row" }, "Brush", size), eraser, clear, edges),
  );
  return { element, png };
}
