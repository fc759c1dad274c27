// Elements. Whatever comes from outside goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, settings, children) {
  for (const [key, value] of Object.entries(settings)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const el = (tag, settings = {}, ...children) => filled(document.createElement(tag), settings, children);
export const svgEl = (tag, settings = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), settings, children);
export const byId = (id) => document.getElementById(id);

/** A colour of the theme, for canvases. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A canvas as sharp as the screen, in CSS pixels; cleared. */
export function surface(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Hand the reader a file. */
export function save(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: name.replaceAll(/[/\\:*?"<>|\u0000-\u001f]/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
