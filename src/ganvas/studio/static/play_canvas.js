// The picture of a film on a canvas: five layers that can be shown or hidden, and the arrows and names of its dots.

export const LAYERS = ["reals", "fakes", "map", "grid", "arrows"];
const SPAN = 1.08; // of the plane from the centre to the edge of the picture
const MAP = 30; // cells a side
const GRID = 21; // points a side of the warped grid
const ARROW_LENGTH = 0.15;
const TAU = 2 * Math.PI;

let palette = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { palette = null; });

// Colours of the style sheet as [r, g, b].
export function colours() {
  if (palette) return palette;
  const style = getComputedStyle(document.documentElement);
  const read = (name) => {
    const text = style.getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  };
  const names = ["panel", "text", "quiet", "line", "real", "fake", "arrow", "d", "g"];
  palette = Object.fromEntries(names.map((name) => [name, read(name)]));
  return palette;
}

export const css = ([r, g, b], alpha = 1) => `rgba(${r}, ${g}, ${b}, ${alpha})`;

// Fit a canvas to its place on the screen; returns its context in units where the side (or width) is `size` pixels.
export function prepare(canvas) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const brush = canvas.getContext("2d");
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  return { brush, width, height };
}

export const toScreen = (v, size, sign = 1) => ((sign * v) / SPAN + 1) * (size / 2);
const fromScreen = (v, size) => ((v / size) * 2 - 1) * SPAN;

// Draw the layers of a picture: {reals, fakes, heat, grid, arrows, latents}; `morph` in [0, 1] bends the grid.
export function drawScene(canvas, picture, shown, { morph = 1, radius = 2.2 } = {}) {
  const { brush, width } = prepare(canvas);
  if (!width) return;
  brush.fillStyle = css(colours().panel);
  brush.fillRect(0, 0, width, width);
  if (shown.map && picture.heat) drawMap(brush, width, picture.heat);
  if (shown.grid && picture.grid) drawGrid(brush, width, picture.grid, morph);
  if (shown.reals && picture.reals) drawDots(brush, width, picture.reals, colours().real, radius);
  if (shown.arrows && picture.arrows) drawArrows(brush, width, picture.fakes, picture.arrows);
  if (shown.fakes && picture.fakes) drawDots(brush, width, picture.fakes, colours().fake, radius);
}

const tile = document.createElement("canvas");
tile.width = tile.height = MAP;

// Where the discriminator takes a point for a fake, purple; for a real one, green; undecided, the colour of the panel.
function drawMap(brush, size, heat) {
  const { real, fake, panel } = colours();
  const image = new ImageData(MAP, MAP);
  for (let k = 0; k < heat.length; k++) {
    const share = heat[k] / 127.5 - 1;
    const end = share < 0 ? fake : real;
    const weight = 0.5 * Math.sqrt(Math.abs(share));
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = panel[c] + (end[c] - panel[c]) * weight;
    image.data[4 * k + 3] = 255;
  }
  tile.getContext("2d").putImageData(image, 0, 0);
  const [low, high] = [toScreen(-1, size), toScreen(1, size)];
  brush.imageSmoothingEnabled = true;
  brush.drawImage(tile, low, low, high - low, high - low);
}

function drawDots(brush, size, points, colour, radius) {
  brush.fillStyle = css(colour, 0.85);
  brush.beginPath();
  for (let k = 0; k < points.length; k += 2) {
    const [x, y] = [toScreen(points[k], size), toScreen(points[k + 1], size, -1)];
    brush.moveTo(x + radius, y);
    brush.arc(x, y, radius, 0, TAU);
  }
  brush.fill();
}

// One arrow a fake, wide at the fake and thin where it would go.
function drawArrows(brush, size, fakes, arrows) {
  brush.fillStyle = css(colours().arrow, 0.8);
  brush.beginPath();
  for (let k = 0; k < fakes.length; k += 2) {
    const length = Math.hypot(arrows[k], arrows[k + 1]);
    if (length < 0.01) continue;
    const [x, y] = [toScreen(fakes[k], size), toScreen(fakes[k + 1], size, -1)];
    const scale = (ARROW_LENGTH / SPAN) * (size / 2);
    const [dx, dy] = [arrows[k] * scale, -arrows[k + 1] * scale];
    const wide = 0.006 * size;
    const [nx, ny] = [(-arrows[k + 1] / length) * wide, (-arrows[k] / length) * wide];
    brush.moveTo(x + nx, y + ny);
    brush.lineTo(x + dx, y + dy);
    brush.lineTo(x - nx, y - ny);
  }
  brush.fill();
}

// The regular grid of latents that belongs to point k of the generator's grid, in the plane.
function regular(k, side) {
  return [((k % side) / (side - 1)) * 1.8 - 0.9, (Math.floor(k / side) / (side - 1)) * 1.8 - 0.9];
}

// Points of the grid between its regular form (morph 0) and the generator's (morph 1), on the screen.
function bent(grid, morph, size) {
  const count = grid.length / 2;
  const line = count !== GRID * GRID;
  return Array.from({ length: count }, (_, k) => {
    const [x, y] = line ? [(k / (count - 1)) * 1.8 - 0.9, 0] : regular(k, GRID);
    const at = (now, end) => now + (end - now) * morph;
    return [toScreen(at(x, grid[2 * k]), size), toScreen(at(y, grid[2 * k + 1]), size, -1)];
  });
}

// Every cell holds the same share of the fakes, so the smaller it is, the denser they lie and the darker it is drawn.
function drawGrid(brush, size, grid, morph) {
  const points = bent(grid, morph, size);
  const colour = colours().fake;
  if (points.length !== GRID * GRID) return drawLine(brush, points, colour);
  const usual = (size * size) / 4 / (GRID - 1) ** 2;
  for (let k = 0; k < GRID * (GRID - 1); k++) {
    if (k % GRID === GRID - 1) continue;
    const cell = [points[k], points[k + 1], points[k + GRID + 1], points[k + GRID]];
    let area = 0;
    cell.forEach(([x, y], i) => { area += x * cell[(i + 1) % 4][1] - cell[(i + 1) % 4][0] * y; });
    brush.beginPath();
    for (const [x, y] of cell) brush.lineTo(x, y);
    brush.closePath();
    brush.fillStyle = css(colour, Math.min(0.75, 0.06 + (0.12 * usual) / (Math.abs(area) / 2 + 0.04 * usual)));
    brush.fill();
    brush.strokeStyle = css(colour, 0.35);
    brush.lineWidth = 0.5;
    brush.stroke();
  }
}

function drawLine(brush, points, colour) {
  brush.strokeStyle = css(colour, 0.8);
  brush.lineWidth = 1.5;
  brush.beginPath();
  for (const [x, y] of points) brush.lineTo(x, y);
  brush.stroke();
  brush.fillStyle = css(colour, 0.5);
  for (const [x, y] of points) brush.fillRect(x - 1.5, y - 1.5, 3, 3);
}

// The dot of a picture below the pointer, as {name, x, y}, or null.
export function dotAt(canvas, event, picture, shown) {
  const size = canvas.clientWidth;
  const x = fromScreen(event.offsetX, size);
  const y = -fromScreen(event.offsetY, size);
  let [best, nearest] = [null, ((9 / size) * 2 * SPAN) ** 2];
  for (const [name, points] of [["real", picture.reals], ["fake", picture.fakes]]) {
    if (!points || !shown[`${name}s`]) continue;
    for (let k = 0; k < points.length; k += 2) {
      const distance = (points[k] - x) ** 2 + (points[k + 1] - y) ** 2;
      if (distance < nearest) [best, nearest] = [{ name, x: points[k], y: points[k + 1] }, distance];
    }
  }
  return best;
}

// The discriminator's answer at a point, from -1 (fake) to 1 (real), read from the map.
export function answerAt(heat, x, y) {
  const cell = (v) => Math.max(0, Math.min(MAP - 1, Math.floor(((v + 1) / 2) * MAP)));
  return heat[cell(-y) * MAP + cell(x)] / 127.5 - 1;
}

// Dots coloured by the discriminator's answer: reals above the middle line's height, fakes at their places.
export function drawAnswers(canvas, picture) {
  const { brush, width } = prepare(canvas);
  if (!width || !picture.heat) return;
  const { real, fake, line } = colours();
  for (const points of [picture.reals, picture.fakes]) {
    for (let k = 0; points && k < points.length; k += 2) {
      const answer = answerAt(picture.heat, points[k], points[k + 1]);
      const end = answer < 0 ? fake : real;
      const weight = Math.sqrt(Math.abs(answer));
      brush.fillStyle = css(line.map((c, i) => c + (end[i] - c) * weight));
      brush.fillRect(toScreen(points[k], width) - 1, toScreen(points[k + 1], width, -1) - 1, 2, 2);
    }
  }
}
