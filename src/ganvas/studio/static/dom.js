// Elements without a framework: h("button", {onclick, "aria-pressed": "true"}, "text", child).

// Where an arrow key moves: to the right, and up.
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on") || name === "value" || name === "checked") element[name] = value;
    else if (name.startsWith("aria-") && typeof value === "boolean") element.setAttribute(name, String(value));
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

// Replace everything inside an element.
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

export const row = (...children) => h("div", { class: "row" }, ...children);
export const quiet = (...children) => h("p", { class: "quiet" }, ...children);
export const problem = (...children) => h("p", { class: "problem" }, ...children);

// A button; while its work goes on it does nothing, and what fails is said by its sentence.
export function button(text, work, properties = {}) {
  const element = h("button", { type: "button", ...properties }, ...[text].flat());
  element.onclick = async (event) => {
    if (element.ariaDisabled) return;
    element.ariaDisabled = "true";
    try {
      await work(event);
    } catch (trouble) {
      notice(trouble.message, 15_000);
    }
    element.ariaDisabled = null;
  };
  return element;
}

// A button with a title, its text at a pointer.
export const titled = (text, title, work, properties = {}) => button(text, work, { title, ...properties });

// An input that hands over each of its values: `put(value)`; the event may be "onchange" instead.
export function input(put, properties = {}, event = "oninput") {
  const control = h("input", { type: "text", ...properties });
  control[event] = () => put(control.type === "checkbox" ? control.checked : control.value);
  return control;
}

// An input for image files: `put([file, ...])`.
export function files(put, properties = {}) {
  const control = h("input", { type: "file", multiple: true, accept: "image/*", ...properties });
  control.onchange = () => put([...control.files]);
  return control;
}

// A labelled control: the label's text, the control, and perhaps a hint below it.
export function field(text, control, hint) {
  return h("label", { class: "field" }, h("span", {}, text), control, hint && h("small", {}, hint));
}

export function select(options, value, onchange) {
  const control = h("select", { onchange: () => onchange(control.value) });
  for (const option of options) {
    const { name, sentence = "", label = name } = typeof option === "string" ? { name: option } : option;
    control.append(h("option", { value: name, title: sentence }, label));
  }
  control.value = value;
  return control;
}

// A table of rows of cells; the first cell of each names its row, a number is set in figures of equal width.
export function table(caption, head, rows) {
  const cell = (content, k) => {
    if (!k) return h("th", { scope: "row" }, content);
    return h("td", { class: /^[\d.]/.test(content) && "number" }, content);
  };
  const heads = head.length && h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text))));
  const body = h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map(cell))));
  return fill(h("table"), h("caption", {}, caption), heads, body);
}

// A sentence at the bottom of the page, read out by screen readers; it goes by itself.
let timer = 0;
export function notice(text, lasting = 6000) {
  const place = document.getElementById("notice");
  place.textContent = text;
  place.classList.toggle("shown", Boolean(text));
  clearTimeout(timer);
  if (text) timer = setTimeout(() => notice(""), lasting);
}
