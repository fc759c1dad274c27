// @ts-check
// What is asked of each condition, over what the training designs have, beside what is measured and predicted.

import {byId, el, svg} from "./dom.mjs";
import {allGiven, change, hasMajority, history, on, place, run, state} from "./store.mjs";
import {figure, t} from "./texts.mjs";

const BEYOND = 0.15;  // of the training range, on each side
const WIDE = 240, HIGH = 30;
/** @typedef {{name: string, place: number, low: number, high: number, step: number, marks: SVGElement, sliders: any[], boxes: any[],
 *   modes: HTMLElement, aim: any, values: HTMLElement, root: HTMLElement}} Row */
/** @type {Row[]} */ let rows = [];
const KEYS = /** @type {("value" | "low" | "high")[]} */ (["value", "low", "high"]);
/** @type {{fit: (e: Event) => void, search: () => void}} */
export const asks = {fit: () => {}, search: () => {}};

/** Axis of a column. */
function axis(column) {
  const span = column.high - column.low || Math.abs(column.high) || 1;
  const known = run().histograms[column.name], whole = known?.whole && span >= 4;
  let step = whole ? 1 : 10 ** Math.floor(Math.log10(span / 100));
  const low = Math.floor((column.low - BEYOND * span) / step) * step, high = Math.ceil((column.high + BEYOND * span) / step) * step;
  return {low, high, step: Number(step.toPrecision(1)), known};
}

function histogram(column, {low, high, known}) {
  const x = value => (value - low) / (high - low) * WIDE, shapes = [];
  shapes.push(svg("rect", {class: "outside", x: 0, y: 0, width: Math.max(0, x(column.low)), height: HIGH}));
  shapes.push(svg("rect", {class: "outside", x: x(column.high), y: 0, width: Math.max(0, WIDE - x(column.high)), height: HIGH}));
  if (known) {
    const top = Math.max(...known.counts, 1), wide = (known.high - known.low) / known.counts.length;
    known.counts.forEach((n, i) => shapes.push(svg("rect", {class: "bin", x: x(known.low + i * wide), y: HIGH * (1 - n / top), width: Math.max(0.5, x(known.low + wide) - x(known.low) - 0.5), height: HIGH * n / top})));
  }
  return shapes;
}

function build() {
  if (!state.ready) return;
  rows = state.columns.map((column, index) => {
    const where = axis(column), marks = svg("g");
    const picture = svg("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true"}, ...histogram(column, where), marks);
    const bounds = {min: where.low, max: where.high, step: where.step};
    const slider = key => el("input", {type: "range", ...bounds, className: key, "aria-label": `${column.name} ${t(key === "value" ? "wanted" : key)}`,
      oninput: e => set(index, {[key]: Number(e.target.value)}, `slider ${index} ${key}`), onchange: () => history.seal()});
    const box = key => el("input", {type: "number", step: "any", className: `box ${key}`, "aria-label": `${column.name} ${t(key === "value" ? "wanted" : key)}`,
      onchange: e => { const value = Number(e.target.value); if (e.target.value !== "" && Number.isFinite(value)) set(index, {[key]: value}); else refresh(); }});
    const sliders = KEYS.map(slider), boxes = KEYS.map(box);
    const modes = el("span", {className: "group", role: "group", "aria-label": column.name}, ...["free", "target", "range"].map(mode =>
      el("button", {data: {mode}, onclick: () => turn(index, mode)}, t(mode))));
    const aim = el("select", {className: "aim", "aria-label": `${column.name} ${t("aim")}`, onchange: e => set(index, {aim: e.target.value})},
      ...["none", "more", "less"].map(each => el("option", {value: each}, each === "none" ? `${t("aim")} –` : each === "more" ? "↑ max" : "↓ min")));
    const values = el("p", {className: "values"});
    const known = run().columns.includes(column.name);
    const root = el("div", {className: "row", role: "group", "aria-label": column.name},
      el("div", {className: "head"}, el("b", {title: column.name}, column.name), el("span", {className: "grow"}), modes, ...boxes),
      el("div", {className: "track"}, picture, ...sliders), el("div", {className: "head"}, values, aim));
    if (!known) root.append(el("p", {className: "quiet"}, t("otherrun")));
    return {name: column.name, place: index, ...where, marks, sliders, boxes, modes, aim, values, root};
  });
  byId("rows").replaceChildren(...rows.map(row => row.root));
  refresh();
}

/** @param {number} index @param {Partial<import("./brush.mjs").Wish>} parts */
function set(index, parts, key = null) {
  const now = state.doc.brief[index], next = {...now, ...parts};
  if (now.mode === "free" && !("mode" in parts) && !("aim" in parts)) next.mode = "value" in parts ? "target" : "range";
  if ("low" in parts && next.low > next.high) next.high = next.low;
  if ("high" in parts && next.high < next.low) next.low = next.high;
  change({brief: state.doc.brief.with(index, next)}, key);
}

/** @param {number} index @param {string} mode */
function turn(index, mode) {
  const now = state.doc.brief[index], column = state.columns[index], span = column.high - column.low;
  if (mode === now.mode) return;
  const row = rows[index], round = x => Number((Math.round(x / row.step) * row.step).toPrecision(6));
  const middle = now.mode === "target" ? now.value : now.mode === "range" ? (now.low + now.high) / 2 : expected(index) ?? (column.low + column.high) / 2;
  /** @type {any} */ const next = {mode};
  if (mode === "target") next.value = round(middle);
  if (mode === "range") Object.assign(next, {low: round(middle - span / 10), high: round(middle + span / 10)});
  set(index, next);
}

/** What the shown design has of a column. */
function expected(index) {
  const name = state.columns[index].name;
  return state.facts?.measured?.[name]?.[place()] ?? interval(name)?.[0];
}

/** Predicted value and interval of the shown design: over all draws where their majority is shown. */
export function interval(name) {
  if (hasMajority() && !state.preview && !allGiven() && state.spread?.[name]) return state.spread[name];
  return state.predicted?.[name]?.[place()];
}

function refresh() {
  if (!state.ready) return;
  for (const row of rows) {
    const wish = state.doc.brief[row.place], column = state.columns[row.place];
    row.root.dataset.mode = wish.mode;
    const values = {value: wish.mode === "free" ? expected(row.place) ?? (column.low + column.high) / 2 : wish.value, low: wish.low, high: wish.high};
    KEYS.forEach((key, i) => {
      const text = String(Number(values[key].toPrecision(6)));
      row.sliders[i].value = text;
      if (document.activeElement !== row.boxes[i]) row.boxes[i].value = wish.mode === "free" ? "" : text;
    });
    for (const button of /** @type {any} */ (row.modes.children)) button.ariaPressed = String(button.dataset.mode === wish.mode);
    row.aim.value = wish.aim;
    const beyond = wish.mode === "target" ? wish.value < column.low || wish.value > column.high : wish.mode === "range" && (wish.low < column.low || wish.high > column.high);
    const measured = state.facts?.measured?.[row.name]?.[place()], predicted = interval(row.name);
    const words = [];
    if (measured !== undefined) words.push(`${t("measured")} ${figure(measured)}`);
    if (predicted) words.push(`${t("predicted")} ${figure(predicted[0])} [${figure(predicted[1])}, ${figure(predicted[2])}]`);
    if (beyond) words.push(t("extrapolates"));
    row.values.textContent = words.join(" · ") || "\u00a0";
    row.values.classList.toggle("warn", beyond);
    drawMarks(row, wish, measured, predicted);
  }
  notes();
}

function drawMarks(row, wish, measured, predicted) {
  const x = value => Math.max(0, Math.min(WIDE, (value - row.low) / (row.high - row.low) * WIDE)), shapes = [];
  if (wish.mode === "range") shapes.push(svg("rect", {class: "span", x: x(wish.low), y: 0, width: Math.max(1, x(wish.high) - x(wish.low)), height: HIGH}));
  if (predicted) {
    shapes.push(svg("line", {class: "bar", x1: x(predicted[1]), x2: x(predicted[2]), y1: 7, y2: 7}));
    shapes.push(svg("line", {class: "dot", x1: x(predicted[0]) - 2, x2: x(predicted[0]) + 2, y1: 7, y2: 7}));
  }
  if (measured !== undefined) shapes.push(svg("line", {class: "measured", x1: x(measured), x2: x(measured), y1: 0, y2: HIGH}));
  row.marks.replaceChildren(...shapes);
}

function notes() {
  const note = byId("briefnote"), {reason} = run();
  const text = !state.columns.length ? t("noconditions") : reason ? t("nodata", reason) : "";
  note.hidden = !text;
  note.textContent = text;
  const box = byId("search");
  const lines = [];
  const known = new Set(state.columns.map(column => column.name));
  for (const name of Object.keys(state.predicted ?? {}).filter(name => !known.has(name))) {
    const [value, low, high] = interval(name);
    lines.push(el("p", {className: "values"}, el("b", {}, name), ` ${t("predicted")} ${figure(value)} [${figure(low)}, ${figure(high)}]`));
  }
  if (!reason && !run().predicts) lines.push(el("p", {className: "note"}, t("nopredictor") + " ", el("button", {onclick: asks.fit}, t("fit"))));
  if (state.columns.length && !reason) lines.push(el("button", {className: "wide", onclick: asks.search, disabled: box.dataset.busy === "1"}, t(box.dataset.busy === "1" ? "searching" : "search")));
  if (box.dataset.said) lines.push(el("p", {className: "note warn"}, box.dataset.said));
  const focused = box.contains(document.activeElement);
  box.replaceChildren(...lines);
  if (focused) box.querySelector("button")?.focus();
}

byId("open").addEventListener("click", () => {
  if (state.doc.brief.some(wish => wish.mode !== "free" || wish.aim !== "none")) change({brief: state.doc.brief.map(wish => ({...wish, mode: "free", aim: "none"}))});
});

on("hello run language", build);
on("doc answer view", refresh);
