// @ts-check
// The section: full and mirrored, the left half is the design. Pixels are drawn small and scaled; marks in device pixels.

import {SIZES, UNSAID, covered, erased, footprint, isGiven, line, painted, region} from "./brush.mjs";
import {change, history, on, shown, state, tell, variants} from "./store.mjs";
import {figure, t} from "./texts.mjs";

const RULER = 26;
const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("canvas"));
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
const small = document.createElement("canvas");
const view = {scale: 10, x: 0, y: 0, fitted: true};
/** @type {{x: number, y: number} | null} */ let cursor = null;
let byKeys = false, erasing = false, space = false, waiting = false, strokes = 0;
/** @type {{x: number, y: number} | null} */ let last = null;
/** @type {{erase: boolean, pan: {x: number, y: number} | null, id: number} | null} */ let stroke = null;

// --- colours ----------------------------------------------------------------------------------------------------------

/** @type {Map<string, string>} */ const tokens = new Map();  // asking the style sheet costs more than drawing

/** A colour of the theme. @param {string} name */
function token(name) {
  if (!tokens.has(name)) tokens.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return /** @type {string} */ (tokens.get(name));
}

/** As a pixel of an image: ABGR, `share` of the colour on paper. @param {string} css */
function pixel(css, share = 1) {
  const [r, g, b] = [1, 3, 5].map(i => Math.round(share * parseInt(css.slice(i, i + 2), 16) + (1 - share) * parseInt(token("--sheet").slice(i, i + 2), 16)));
  return (0xff000000 | b << 16 | g << 8 | r) >>> 0;
}

/** A design in a small canvas, mirrored. @param {HTMLCanvasElement} target @param {Uint8Array} labels */
export function paintSmall(target, labels, ghost = 1, hidden = new Set()) {
  const {width: w, height: h} = state, all = [token("--sheet"), ...state.parts.map((part, c) => hidden.has(c + 1) ? token("--sheet") : part.colour)];
  const full = Uint32Array.from(all, css => pixel(css)), pale = Uint32Array.from(all, css => pixel(css, ghost));
  if (target.width !== 2 * w || target.height !== h) {
    Object.assign(target, {width: 2 * w, height: h});
    target.style.aspectRatio = `${2 * w} / ${h}`;
  }
  const image = new ImageData(2 * w, h), pixels = new Uint32Array(image.data.buffer);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const owner = labels[y * w + x];
      pixels[y * 2 * w + x] = full[owner];
      pixels[y * 2 * w + 2 * w - 1 - x] = pale[owner];
    }
  /** @type {CanvasRenderingContext2D} */ (target.getContext("2d")).putImageData(image, 0, 0);
}

// --- paths, in image pixels -------------------------------------------------------------------------------------------

/** Where neighbours differ in `of`. @param {(at: number) => any} of */
function borders(of) {
  const {width: w, height: h} = state, path = new Path2D();
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const here = of(y * w + x);
      if (x + 1 < w && of(y * w + x + 1) !== here) { path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1); }
      if (y + 1 < h && of((y + 1) * w + x) !== here) { path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1); }
    }
  return path;
}

function squares(pixels, inset = 0) {
  const path = new Path2D(), w = state.width;
  for (const at of pixels) path.rect(at % w + inset, Math.floor(at / w) + inset, 1 - 2 * inset, 1 - 2 * inset);
  return path;
}

/** Share of draws, 0 to 1, that give a pixel to a part (0 air). */
function share(at, part) {
  const {answer, width, height} = state;
  if (!answer?.counts) return 0;
  const size = width * height, of = c => /** @type {Uint16Array} */ (answer.counts)[c * size + at];
  if (part > 0) return of(part - 1) / answer.draws;
  return 1 - state.parts.reduce((sum, _, c) => sum + of(c), 0) / answer.draws;
}

/** Paths that only change with the answer. */
const cache = {answer: /** @type {any} */ (null), mode: -1, paths: /** @type {{path: Path2D, colour: string, width: number, dash: number[]}[]} */ ([])};

function spreadPaths() {
  const {answer} = state, mode = state.settings.uncertainty;
  if (cache.answer === answer && cache.mode === mode) return cache.paths;
  Object.assign(cache, {answer, mode, paths: []});
  if (!answer?.counts) return cache.paths;
  if (mode === 2)
    for (const labels of variants().slice(0, answer.draws)) cache.paths.push({path: borders(at => labels[at]), colour: token("--ink") + "40", width: 1, dash: []});
  if (mode === 3)
    state.parts.forEach((_, c) => [[0.1, 1, [3, 3]], [0.5, 2, []], [0.9, 1, []]].forEach(([level, width, dash]) =>
      cache.paths.push({path: borders(at => share(at, c + 1) >= /** @type {number} */ (level)), colour: token("--ink"), width: /** @type {number} */ (width), dash: /** @type {number[]} */ (dash)})));
  return cache.paths;
}

// --- drawing ----------------------------------------------------------------------------------------------------------

let box = new DOMRectReadOnly();  // of the canvas; asking for it in the middle of changes would lay the page out

/** Draw at the next frame. */
export function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  if (!state.ready) return;
  const ratio = devicePixelRatio, {width: w, height: h} = state;
  if (!box.width) return;
  const size = {width: Math.round(box.width * ratio), height: Math.round(box.height * ratio)};
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  if (view.fitted) {
    view.scale = Math.max(1, Math.min((box.width - RULER) / (2 * w), (box.height - RULER) / h));
    view.x = RULER + (box.width - RULER - 2 * w * view.scale) / 2;
    view.y = RULER + (box.height - RULER - h * view.scale) / 2;
  }
  const design = shown(), {scale} = view;
  Object.assign(canvas.dataset, {scale, x: view.x, y: view.y});  // for programs that draw: where pixels are
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  context.imageSmoothingEnabled = false;
  const composed = design ? compose(design) : new Uint8Array(w * h);
  paintSmall(small, composed, 0.5, state.hidden);
  context.drawImage(small, view.x, view.y, 2 * w * scale, h * scale);
  context.translate(view.x, view.y);
  context.scale(scale, scale);
  const thin = 1 / scale, edges = borders(at => composed[at]);
  stroked(edges, token("--ink") + "90", thin);
  context.save();
  context.translate(2 * w, 0);
  context.scale(-1, 1);
  stroked(edges, token("--ink") + "30", thin);
  context.restore();
  if (!state.quiet) overlays(composed, thin);
  frame(thin);
  if (!state.quiet) cursors(thin);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (!state.quiet) initials(composed);
  rulers(box);
}

/** What is painted lies over the model's design: a stroke is seen at once. */
function compose(design) {
  return design.map((owner, at) => state.doc.paint[at] === UNSAID ? owner : state.doc.paint[at]);
}

function stroked(path, colour, width, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash.map(d => d / view.scale));
  context.stroke(path);
  context.setLineDash([]);
}

function overlays(composed, thin) {
  const {doc, width: w, height: h} = state, fixed = [], wishes = [], missed = [], design = shown();
  doc.paint.forEach((owner, at) => {
    if (owner === UNSAID) return;
    if (isGiven(doc, owner)) fixed.push(at);
    else (design && design[at] !== owner ? missed : wishes).push(at);
  });
  if (fixed.length) hatch(squares(fixed), thin);
  stroked(squares(wishes, 0.3), token("--ink"), thin);
  const cross = new Path2D();
  for (const at of missed) {
    const x = at % w, y = Math.floor(at / w);
    cross.moveTo(x + 0.2, y + 0.2); cross.lineTo(x + 0.8, y + 0.8); cross.moveTo(x + 0.8, y + 0.2); cross.lineTo(x + 0.2, y + 0.8);
  }
  stroked(cross, token("--bad"), 2 * thin);
  const {answer} = state, mode = state.settings.uncertainty;
  if (!answer?.counts || state.found) return;
  if (mode === 1) dots(composed, w, h);
  for (const {path, colour, width, dash} of spreadPaths()) stroked(path, colour, width * thin, dash);
}

/** Given parts are hatched: not by colour alone. */
function hatch(path, thin) {
  context.save();
  context.clip(path);
  const lines = new Path2D(), {width: w, height: h} = state;
  for (let k = -h; k < w; k += 1) { lines.moveTo(k, 0); lines.lineTo(k + h, h); }
  stroked(lines, token("--ink") + "59", thin);
  context.restore();
  stroked(borders(at => isGiven(state.doc, state.doc.paint[at]) ? 1 : 0), token("--ink"), 2 * thin);
}

const HEAT = ["#fed976", "#f5a44b", "#f06e28", "#c83c28", "#a00a28", "#50051e"];  // the more draws disagree, the darker

/** Where draws disagree: the larger and darker the dot, the more of them say otherwise. */
function dots(composed, w, h) {
  const paths = HEAT.map(() => new Path2D()), rims = new Path2D();
  for (let at = 0; at < w * h; at++) {
    const other = 1 - share(at, composed[at]);
    if (other < 0.1) continue;
    const level = Math.min(HEAT.length - 1, Math.floor(other / 0.7 * HEAT.length)), radius = 0.12 + 0.26 * Math.min(1, other);
    for (const path of [paths[level], rims]) {
      path.moveTo(at % w + 0.5 + radius, Math.floor(at / w) + 0.5);
      path.arc(at % w + 0.5, Math.floor(at / w) + 0.5, radius, 0, 7);
    }
  }
  paths.forEach((path, level) => { context.fillStyle = HEAT[level]; context.fill(path); });
  stroked(rims, "#fff", 0.06);
}

function frame(thin) {
  const {width: w, height: h} = state, edge = new Path2D(), axis = new Path2D();
  edge.rect(0, 0, 2 * w, h);
  axis.moveTo(w, 0);
  axis.lineTo(w, h);
  stroked(edge, token("--edge"), thin);
  stroked(axis, token("--ink"), thin, [8, 3, 2, 3]);
}

function cursors(thin) {
  if (!cursor || stroke?.pan) return;
  const size = sizeNow(), on = footprint(size).map(([dx, dy]) => (cursor.y + dy) * 1000 + cursor.x + dx), has = new Set(on), ring = new Path2D();
  for (const [dx, dy] of footprint(size)) {
    const x = cursor.x + dx, y = cursor.y + dy;
    for (const [nx, ny, x0, y0, x1, y1] of [[1, 0, 1, 0, 1, 1], [-1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 1, 1], [0, -1, 0, 0, 1, 0]])
      if (!has.has((y + ny) * 1000 + x + nx)) { ring.moveTo(x + x0, y + y0); ring.lineTo(x + x1, y + y1); }
  }
  stroked(ring, token("--sheet"), 4 * thin);
  stroked(ring, token("--ink"), 2 * thin, erasing || state.tool === "eraser" ? [4, 3] : []);
  if (byKeys) {
    const hair = new Path2D();
    hair.moveTo(0, cursor.y + 0.5); hair.lineTo(state.width, cursor.y + 0.5); hair.moveTo(cursor.x + 0.5, 0); hair.lineTo(cursor.x + 0.5, state.height);
    stroked(hair, token("--accent"), thin, [3, 3]);
  }
}

/** Each part's number, in its thickest place. */
function initials(composed) {
  const {width: w, height: h} = state;
  context.font = `600 ${Math.max(10, Math.min(15, view.scale * 1.3))}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  state.parts.forEach((_, c) => {
    if (state.hidden.has(c + 1)) return;
    let best = -1, depth = 0;
    for (let at = 0; at < w * h; at++) {
      if (composed[at] !== c + 1) continue;
      let d = 1;
      while (d < 6 && [d, -d, d * w, -d * w].every(step => composed[at + step] === c + 1)) d++;
      if (d > depth) { depth = d; best = at; }
    }
    if (best < 0) return;
    const x = view.x + (best % w + 0.5) * view.scale, y = view.y + (Math.floor(best / w) + 0.5) * view.scale;
    context.lineWidth = 3;
    context.strokeStyle = "#fffd";
    context.strokeText(String(c + 1), x, y);
    context.fillStyle = "#15181c";
    context.fillText(String(c + 1), x, y);
  });
}

function rulers(box) {
  const {width: w, height: h} = state, per = state.settings.unit === "mm" ? state.settings.scale_mm : 1;
  context.fillStyle = token("--panel");
  context.fillRect(0, 0, box.width, RULER - 4);
  context.fillRect(0, 0, RULER - 4, box.height);
  context.fillStyle = context.strokeStyle = token("--soft-ink");
  context.font = "10px system-ui, sans-serif";
  context.lineWidth = 1;
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].find(s => s / per * view.scale >= 45) ?? 5000;
  const ticks = new Path2D();
  context.textBaseline = "middle";
  for (let mark = 0; mark <= 2 * w * per; mark += step) {
    const x = view.x + mark / per * view.scale;
    if (x < RULER - 4) continue;
    ticks.moveTo(x, RULER - 9); ticks.lineTo(x, RULER - 4);
    context.textAlign = "center";
    context.fillText(String(mark), x, 9);
  }
  for (let mark = 0; mark <= h * per; mark += step) {
    const y = view.y + mark / per * view.scale;
    if (y < RULER - 4) continue;
    ticks.moveTo(RULER - 9, y); ticks.lineTo(RULER - 4, y);
    context.textAlign = "right";
    context.fillText(String(mark), RULER - 10, y);
  }
  context.stroke(ticks);
  context.textAlign = "left";
  context.fillText(state.settings.unit, 3, 9);
}

// --- pointing ---------------------------------------------------------------------------------------------------------

const sizeNow = () => state.tool === "fill" || state.tool === "pick" ? 1 : erasing || state.tool === "eraser" ? state.settings.eraser : state.settings.brush;

/** The pixel under a pointer; in the mirrored half its twin. */
function pixelAt(event) {
  const box = canvas.getBoundingClientRect(), x = Math.floor((event.clientX - box.left - view.x) / view.scale), y = Math.floor((event.clientY - box.top - view.y) / view.scale);
  return {x: x >= state.width ? 2 * state.width - 1 - x : x, y};
}

const inside = ({x, y}) => x >= 0 && y >= 0 && x < state.width && y < state.height;

/** A tool along a path: part of one step. */
function work(path, erase) {
  const {doc, active, width, height} = state, key = `stroke ${strokes}`;
  const pixels = covered(path, sizeNow(), width, height);
  const next = erase ? erased(doc, pixels, active) : painted(doc, pixels, active, state.settings.over);
  if (next.paint.every((owner, at) => owner === doc.paint[at])) {
    if (!pixels.length || pixels.every(at => doc.paint[at] === active)) return;
    say(erase ? t("nothingpainted", active ? state.parts[active - 1].name : t("air")) : t("protected"));
    return;
  }
  change(next, key);
}

/** @param {{x: number, y: number}} at */
function begin(at, erase, straight) {
  const design = shown(), index = at.y * state.width + at.x;
  if (state.tool === "pick") { if (design && inside(at)) choose(compose(design)[index]); return; }
  strokes += 1;
  if (state.tool === "fill") {
    if (design && inside(at)) {
      const next = painted(state.doc, region(compose(design), index, state.width), state.active, state.settings.over);
      change(next);
    }
    return;
  }
  work(straight && last ? line(last.x, last.y, at.x, at.y) : [[at.x, at.y]], erase);
  last = at;
}

/** The part that tools work on. @param {number} part */
export function choose(part) {
  if (part < 0 || part > state.parts.length || part === state.active) return;
  state.before = state.active;
  state.active = part;
  tell("view");
}

/** @param {number} by */
export function resize(by) {
  const which = state.tool === "eraser" ? "eraser" : "brush", now = SIZES.indexOf(state.settings[which]);
  state.settings[which] = SIZES[Math.max(0, Math.min(SIZES.length - 1, now + by))];
  tell("settings view");
}

export function fit() { view.fitted = true; redraw(); }

/** A sentence over the canvas, for a while. @param {string} text */
export function say(text) {
  const hint = /** @type {HTMLElement} */ (document.getElementById("hint"));
  hint.textContent = text;
  hint.hidden = false;
  clearTimeout(Number(hint.dataset.timer));
  hint.dataset.timer = String(setTimeout(() => { hint.hidden = true; }, 4000));
}

canvas.addEventListener("pointerdown", event => {
  if (event.button > 1 || !state.ready) return;
  canvas.setPointerCapture(event.pointerId);
  byKeys = false;
  const at = pixelAt(event), pan = event.button === 1 || space ? {x: event.clientX - view.x, y: event.clientY - view.y} : null;
  if (event.ctrlKey && !pan) { const design = shown(); if (design && inside(at)) choose(compose(design)[at.y * state.width + at.x]); return; }
  erasing = event.altKey;
  stroke = {erase: erasing || state.tool === "eraser", pan, id: event.pointerId};
  if (!pan) begin(at, stroke.erase, event.shiftKey);
  event.preventDefault();
  canvas.focus();
});

canvas.addEventListener("pointermove", event => {
  byKeys = false;
  erasing = event.altKey;
  const at = pixelAt(event);
  cursor = inside(at) ? at : null;
  readout();
  redraw();
  if (!stroke || event.pointerId !== stroke.id) return;
  if (stroke.pan) { Object.assign(view, {x: event.clientX - stroke.pan.x, y: event.clientY - stroke.pan.y, fitted: false}); return; }
  if (state.tool === "fill" || state.tool === "pick" || !last) return;
  const path = [], events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) {
    const next = pixelAt(each);
    path.push(...line(last.x, last.y, next.x, next.y));
    last = next;
  }
  work(path, stroke.erase);
});

for (const kind of ["pointerup", "pointercancel"])
  canvas.addEventListener(kind, () => {
    if (!stroke) return;
    stroke = null;
    history.seal();
    tell("rest");
  });

canvas.addEventListener("pointerleave", () => { if (!byKeys) cursor = null; readout(); redraw(); });
canvas.addEventListener("contextmenu", event => event.preventDefault());

canvas.addEventListener("wheel", event => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
  const scale = Math.max(2, Math.min(80, view.scale * 1.15 ** -Math.sign(event.deltaY))), by = scale / view.scale;
  Object.assign(view, {scale, x: px - (px - view.x) * by, y: py - (py - view.y) * by, fitted: false});
  redraw();
}, {passive: false});

const MOVES = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
let held = false;

canvas.addEventListener("keydown", event => {
  const move = MOVES[event.key];
  if (move && !event.ctrlKey && !event.metaKey) {
    const by = event.shiftKey ? 5 : 1, from = cursor ?? {x: state.width >> 1, y: state.height >> 1};
    cursor = byKeys ? {x: Math.max(0, Math.min(state.width - 1, from.x + by * move[0])), y: Math.max(0, Math.min(state.height - 1, from.y + by * move[1]))} : from;
    byKeys = true;
    if (held && last) { work(line(last.x, last.y, cursor.x, cursor.y), state.tool === "eraser" || event.altKey); last = cursor; }
    readout();
    redraw();
  } else if (event.key === " ") {
    space = true;
    if (byKeys && cursor && !held) { held = true; erasing = event.altKey; begin(cursor, state.tool === "eraser" || event.altKey, event.shiftKey); }
  } else return;
  event.preventDefault();
});

canvas.addEventListener("keyup", event => {
  if (event.key !== " ") return;
  space = false;
  if (held) { held = false; history.seal(); tell("rest"); }
});
canvas.addEventListener("blur", () => { space = held = false; });

// --- readout ----------------------------------------------------------------------------------------------------------

function readout() {
  const box = /** @type {HTMLElement} */ (document.getElementById("readout"));
  box.ariaLive = byKeys ? "polite" : "off";  // spoken to those who draw without a mouse
  if (!cursor || !state.ready) { box.textContent = "\u00a0"; return; }
  const per = state.settings.unit === "mm" ? state.settings.scale_mm : 1, at = cursor.y * state.width + cursor.x;
  const design = shown(), words = [`${figure((cursor.x + 0.5) * per, 4)}, ${figure((cursor.y + 0.5) * per, 4)} ${state.settings.unit}`];
  const {answer} = state, name = part => part ? state.parts[part - 1].name : t("air");
  if (answer?.counts && !state.found) {
    const shares = [0, ...state.parts.map((_, c) => c + 1)].map(part => [part, Math.round(share(at, part) * answer.draws)]).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    words.push(shares.map(([part, n]) => t("drawsay", name(part), n, answer.draws)).join(", "));
    if (answer.nearest) words.push(t("nearestdraws", answer.draws));
  } else if (design) words.push(name(compose(design)[at]));
  box.textContent = words.join(" · ");
}

on("doc answer view run settings hello", () => { readout(); redraw(); });
new ResizeObserver(([{contentRect}]) => { box = contentRect; redraw(); }).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { cache.answer = null; tokens.clear(); tell("theme view kept"); });
