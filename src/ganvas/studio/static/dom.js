// Elements without a framework: h("button", {onclick, "aria-pressed": "true"}, "text", child).

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

// A labelled control: the label's text, the control, and perhaps a hint below it.
export function field(text, control, hint) {
  const label = h("label", { class: "field" }, h("span", {}, text), control);
  if (hint) label.append(h("small", {}, hint));
  return label;
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

// A sentence at the bottom of the page, read out by screen readers; it goes by itself.
let timer = 0;
export function notice(text, lasting = 6000) {
  const place = document.getElementById("notice");
  place.textContent = text;
  place.classList.toggle("shown", Boolean(text));
  clearTimeout(timer);
  if (text) timer = setTimeout(() => notice(""), lasting);
}
