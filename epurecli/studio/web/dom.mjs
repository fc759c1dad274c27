// @ts-check
// Elements without markup: text from outside is only ever text.

/** @param {string} tag @param {Record<string, any>} properties @param {...any} children */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key in element && key !== "list") element[key] = value;
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {string} tag @param {Record<string, any>} attributes @param {...Node} children */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** @param {string} id @returns {any} */
export const byId = id => document.getElementById(id);

/** A swatch of a part's colour. @param {string} colour */
export function swatch(colour) {
  const box = el("i", {className: "swatch"});
  box.style.background = colour;
  return box;
}

/** A dialog with a title and a way out. @param {string} title @param {string} shut @param {...any} content */
export function dialog(title, shut, ...content) {
  const box = byId("dialog");
  box.replaceChildren(
    el("div", {className: "bar"}, el("h2", {}, title), el("span", {className: "grow"}), el("button", {onclick: () => box.close()}, shut)), ...content);
  box.setAttribute("aria-label", title);
  if (!box.open) box.showModal();
  return box;
}
