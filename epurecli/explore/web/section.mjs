// The full section of a design: pixels on a canvas, or staircase outlines as SVG.
import { el, svgEl } from "./dom.mjs";

/** Labels of the half section, mirrored at the side that is the centre plane. -> { labels, height, width } */
export function mirrored(half, height, width, side) {
  const across = side === "left" || side === "right", down = side === "top" || side === "bottom";
  const [h, w] = [down ? 2 * height : height, across ? 2 * width : width];
  const labels = new Uint8Array(h * w);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const from = (place, size, first) => (first ? (place < size ? size - 1 - place : place - size)
        : (place < size ? place : 2 * size - 1 - place));
      labels[y * w + x] = half[(down ? from(y, height, side === "top") : y) * width
        + (across ? from(x, width, side === "left") : x)];
    }
  }
  return { labels, height: h, width: w };
}

/** One canvas pixel a pixel; the background stays clear. */
export function picture(section, colours, scale) {
  const canvas = el("canvas", { width: section.width, height: section.height, "aria-hidden": "true" });
  canvas.style.width = `${section.width * scale}px`;
  canvas.style.height = `${section.height * scale}px`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(section.width, section.height);
  section.labels.forEach((label, at) => {
    if (!label) return;
    const value = parseInt(colours[label - 1].slice(1), 16);
    image.data.set([value >> 16, (value >> 8) & 255, value & 255, 255], 4 * at);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The border of a part as path data, to be filled by the even-odd rule: each loop along pixel edges, corners only. */
export function outline({ labels, height, width }, part) {
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === part;
  const leaving = new Map();  // corner -> the steps that leave it, the part on their right
  const add = (x, y, step) => {
    const corner = y * (width + 1) + x;
    if (!leaving.has(corner)) leaving.set(corner, []);
    leaving.get(corner).push(step);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!is(x, y)) continue;
      if (!is(x, y - 1)) add(x, y, "right");
      if (!is(x + 1, y)) add(x + 1, y, "down");
      if (!is(x, y + 1)) add(x + 1, y + 1, "left");
      if (!is(x - 1, y)) add(x, y + 1, "up");
    }
  }
  const moves = { right: [1, "h", 1], left: [-1, "h", -1], down: [width + 1, "v", 1], up: [-width - 1, "v", -1] };
  let path = "";
  while (leaving.size) {
    const [start] = leaving.keys();
    let corner = start, last = null, run = 0;
    path += `M${start % (width + 1)} ${Math.floor(start / (width + 1))}`;
    do {
      const steps = leaving.get(corner), step = steps.pop();
      if (!steps.length) leaving.delete(corner);
      if (last !== null && step !== last) {
        path += moves[last][1] + moves[last][2] * run;
        run = 0;
      }
      last = step;
      run += 1;
      corner += moves[step][0];
    } while (corner !== start);
    path += `${moves[last][1]}${moves[last][2] * run}z`;
  }
  return path;
}

/** The pixel of a part that lies deepest inside it, where its number fits; null for an empty part. */
export function middle({ labels, height, width }, part) {
  const depth = new Float32Array(height * width);
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : depth[y * width + x]);
  let best = null;
  const visit = (x, y, step) => {
    const here = y * width + x;
    if (labels[here] !== part) return;
    const near = Math.min(at(x - step, y), at(x, y - step), at(x - step, y - step), at(x + step, y - step)) + 1;
    depth[here] = step === 1 ? near : Math.min(depth[here], near);
    if (step === -1 && (best === null || depth[here] > best.depth)) best = { x: x + 0.5, y: y + 0.5, depth: depth[here] };
  };
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) visit(x, y, 1);
  for (let y = height - 1; y >= 0; y--) for (let x = width - 1; x >= 0; x--) visit(x, y, -1);
  return best;
}

/** A drawing: a path a part with its name; `numbered` puts each part's number on it, for the screen. */
export function drawing(section, data, title, numbered) {
  const { height, width } = section;
  const frame = { viewBox: `0 0 ${width} ${height}`, role: "img", "shape-rendering": "crispEdges" };
  const svg = svgEl("svg", frame, svgEl("title", {}, title));
  const numbers = [];
  data.components.forEach((part, k) => {
    const path = outline(section, k + 1);
    if (!path) return;
    svg.append(svgEl("path", { d: path, fill: part.colour, "fill-rule": "evenodd", "data-part": part.name },
      svgEl("title", {}, part.name)));
    const place = numbered ? middle(section, k + 1) : null;
    if (place) {
      const size = Math.min(4, Math.max(2.4, 1.6 * place.depth));
      numbers.push(svgEl("text", { x: place.x, y: place.y + 0.36 * size, "font-size": size }, String(k + 1)));
    }
  });
  svg.append(...numbers);
  return svg;
}

/** The same as the text of a file of its own. */
export function file(section, data, title) {
  const svg = drawing(section, data, title, false);
  svg.setAttribute("width", `${section.width * 8}`);
  svg.setAttribute("height", `${section.height * 8}`);
  return new XMLSerializer().serializeToString(svg);
}
