"use strict";
// The slider over snapshots: every run shows its newest grid up to the chosen number of images.
(() => {
  const slider = document.getElementById("snapshot");
  if (!slider) return;
  const positions = slider.dataset.positions.split(" ").map(Number);
  const figures = [...document.querySelectorAll(".shots figure")].map((figure) => ({
    after: figure.querySelector(".after"),
    shots: [...figure.querySelectorAll(".shot")],
  }));
  const count = (images) => `${images.toLocaleString("en")} images`;
  const show = () => {
    const chosen = positions[slider.value];
    for (const { after, shots } of figures) {
      const reached = shots.filter((shot) => Number(shot.dataset.images) <= chosen);
      const now = reached[reached.length - 1] ?? shots[0];
      if (!now) continue;
      for (const shot of shots) shot.hidden = shot !== now;
      after.textContent = `after ${count(Number(now.dataset.images))}`;
    }
    document.getElementById("position").textContent = count(chosen);
    slider.setAttribute("aria-valuetext", count(chosen));
  };
  document.getElementById("slider").hidden = positions.length < 2;
  slider.addEventListener("input", show);
  const button = document.getElementById("play");
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === positions.length - 1) slider.value = 0;
    button.textContent = "Pause";
    show();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) === positions.length - 1) stop();
    }, 350);
  });
  slider.addEventListener("input", () => timer && stop());
  show(); // a browser that returns to the page restores the position of the slider
})();

// The legend shows the values under the pointer, computed from the coordinates of the lines.
(() => {
  const brief = (v) => {
    const size = Math.abs(v);
    if (size >= 1e6) return `${Number((v / 1e6).toPrecision(3))}M`;
    if (size >= 1e4) return `${Number((v / 1e3).toPrecision(3))}k`;
    return String(Number(v.toPrecision(3)));
  };
  for (const svg of document.querySelectorAll("svg[data-view]")) {
    const [left, right, first, last, bottom, top, low, high] = svg.dataset.view.split(" ").map(Number);
    const log = "log" in svg.dataset;
    const value = (y) => {
      const share = (y - bottom) / (top - bottom);
      return log ? low * (high / low) ** share : low + share * (high - low);
    };
    const lines = [...svg.querySelectorAll(".line")].map((line) =>
      line.getAttribute("d").slice(1).split("L").map((p) => p.split(",").map(Number)));
    const values = [...svg.parentNode.querySelectorAll(".legend b")];
    const latest = values.map((b) => b.textContent);
    const rule = svg.querySelector(".rule");
    const name = svg.parentNode.querySelector(".name");
    const title = name.textContent;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = Math.min(Math.max((event.clientX - box.left) * svg.viewBox.baseVal.width / box.width, left), right);
      rule.setAttribute("x1", x);
      rule.setAttribute("x2", x);
      rule.style.visibility = "visible";
      lines.forEach((points, k) => {
        const near = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
        values[k].textContent = brief(value(near[1]));
      });
      name.textContent = `${title} at ${brief(first + (x - left) / (right - left) * (last - first))}`;
    });
    svg.addEventListener("pointerleave", () => {
      rule.style.visibility = "";
      name.textContent = title;
      values.forEach((b, k) => { b.textContent = latest[k]; });
    });
  }
})();
