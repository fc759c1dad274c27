// @ts-check
// The grid of variants, and the shelf of designs that are kept.

import {accepted} from "./brush.mjs";
import {paintSmall} from "./canvas.mjs";
import {byId, el} from "./dom.mjs";
import {allGiven, change, hasMajority, numberOf, on, run, shown, state, tell, variants} from "./store.mjs";
import {figure, t} from "./texts.mjs";
import {base64} from "./wire.mjs";

const grid = byId("grid"), shelf = byId("shelf");
/** @type {{keep: (one: any) => void, drop: (id: string) => void, say: (text: string) => void}} */
export const asks = {keep: () => {}, drop: () => {}, say: () => {}};

/** What each small canvas shows. @type {WeakMap<HTMLCanvasElement, Uint8Array>} */ let painted = new WeakMap();

/** Place of variant i in the facts. */
const fact = i => i + (hasMajority() ? 1 : 0);

/** Whether what is known of a variant agrees with the brief: sizes within a pixel, predictions with their interval. */
function inside(i) {
  return state.columns.every(({name, low, high}, c) => {
    const wish = state.doc.brief[c], measured = state.facts?.measured?.[name]?.[fact(i)], predicted = state.predicted?.[name]?.[fact(i)];
    if (wish.mode === "free" || (measured === undefined && !predicted)) return true;
    const [from, to] = wish.mode === "target" ? [wish.value, wish.value] : [wish.low, wish.high];
    if (measured !== undefined) return measured >= from - 1 && measured <= to + 1;
    return predicted[2] >= from && predicted[1] <= to;
  });
}

function showGrid() {
  if (!state.ready) return;
  const designs = allGiven() ? [] : variants(), facts = state.facts;
  if (state.selected >= designs.length) Object.assign(state, {selected: 0, preview: false});
  while (grid.children.length > designs.length) grid.lastChild.remove();
  while (grid.children.length < designs.length) grid.append(cell(grid.children.length));
  designs.forEach((labels, i) => {
    const box = grid.children[i], canvas = box.firstChild, looked = i === state.selected && (state.preview || !hasMajority());
    if (painted.get(canvas) !== labels) { paintSmall(canvas, labels); painted.set(canvas, labels); }
    box.setAttribute("aria-selected", String(looked));
    box.tabIndex = i === state.selected ? 0 : -1;
    const valid = facts?.valid?.[fact(i)], near = facts?.nearest?.[fact(i)];
    const off = (byId("onlyvalid").checked && valid === false) || (byId("onlyinside").checked && !inside(i));
    box.classList.toggle("off", off);
    box.lastChild.textContent = `${numberOf(i)}${valid === false ? " ✗" : ""}`;
    box.setAttribute("aria-label", `${t("design", numberOf(i))}${valid === false ? `, ${t("invalid")}` : ""}${near === undefined || near === null ? "" : `, ${t("nearest", near)}`}`);
    box.title = box.getAttribute("aria-label") ?? "";
  });
  const note = byId("novariants");
  note.hidden = !allGiven();
  note.textContent = t("allgiven");
  const {answer, doc} = state;
  byId("which").textContent = !answer || allGiven() ? "" : state.found ? t("foundof") : answer.nearest ? t("nearestof", doc.seed) : answer.draws ? t("drawsof", answer.draws, doc.seed) : t("seedof", doc.seed);
  byId("like").hidden = !doc.like && !state.found;
  byId("like").textContent = t(state.found ? "unfound" : "unlike");
  byId("leave").hidden = !(state.preview && hasMajority());
  for (const id of ["more", "accept"]) byId(id).disabled = !designs.length;
}

function cell(i) {
  return el("button", {role: "option", className: "cell", onclick: () => look(i), ondblclick: accept}, el("canvas", {width: 2 * state.width, height: state.height}), el("span", {}));
}

/** Look at a variant: no step, nothing to undo. @param {number} i */
export function look(i) {
  const count = variants().length;
  if (!count) return;
  state.selected = Math.max(0, Math.min(count - 1, i));
  state.preview = true;
  tell("view");
  grid.children[state.selected]?.focus();
}

export function leave() { if (state.preview) { state.preview = false; tell("view"); } }

/** The shown design becomes the drawing: one step. */
export function accept() {
  const design = shown();
  if (!design || allGiven()) return;
  state.preview = false;
  state.found = false;
  change(accepted(state.doc, design));
}

export function moreLike() {
  const design = shown();
  if (design && !allGiven()) { Object.assign(state, {selected: 0, preview: false, found: false}); change({like: design.slice()}); }
}

export const reseed = () => { state.found = false; change({seed: state.doc.seed + 1}); };

/** Keep the shown design; nothing has to be accepted for it. */
export function keep() {
  const design = shown();
  if (!design) return;
  const most = hasMajority() && !state.preview, {answer, doc} = state;
  const how = allGiven() ? "drawn" : state.found ? "search" : answer?.nearest ? "guided" : most ? "majority" : answer?.draws ? "draw" : "sample";
  const number = most || allGiven() ? 0 : numberOf(state.selected), id = crypto.randomUUID?.() ?? String(Date.now());
  const names = new Set(state.kept.map(one => one.name));
  let n = state.kept.length + 1;
  while (names.has(String(n))) n++;
  const one = {id, name: String(n), run: run().path.slice(0, 120), labels: design.slice(), document: {...doc}, how, number, note: ""};
  state.kept = [...state.kept, one];
  asks.keep(one);
  asks.say(t("keptas", one.name));
  tell("kept");
}

/** A kept design as it travels. */
export const packed = one => ({id: one.id, name: one.name, run: one.run, labels: base64(one.labels), how: one.how, number: one.number, note: one.note,
  document: packedDocument(one.document)});

export const packedDocument = doc => ({...doc, paint: base64(doc.paint), like: doc.like && base64(doc.like)});

function letGo(one) {
  const before = state.kept;
  state.kept = state.kept.filter(each => each.id !== one.id);
  state.chosen.delete(one.id);
  asks.drop(one.id);
  tell("kept");
  byId("keptcount").replaceChildren(t("dropped", one.name) + " ", el("button", {onclick: () => { state.kept = before; asks.keep(one); tell("kept"); }}, t("bringback")));
}

function showShelf() {
  if (!state.ready) return;
  const focus = document.activeElement?.closest?.("[data-id]");
  if (focus && document.activeElement?.tagName === "INPUT" && /** @type {any} */ (document.activeElement).type === "text") return;
  const id = focus?.dataset.id, index = focus ? [...focus.querySelectorAll("button, input")].indexOf(document.activeElement) : -1;
  byId("nokept").hidden = state.kept.length > 0;
  byId("keptcount").textContent = state.kept.length ? String(state.kept.length) : "";
  byId("compare").disabled = state.chosen.size < 2 || state.chosen.size > 4;
  byId("compare").title = t("choosetwo");
  shelf.replaceChildren(...state.kept.map(one => {
    const canvas = el("canvas"), facts = one.facts;
    paintSmall(/** @type {any} */ (canvas), one.labels);
    const change = parts => { Object.assign(one, parts); asks.keep(one); };
    const open = () => { state.found = false; tell("view"); changeTo(one); };
    return el("div", {className: "keptrow", data: {id: one.id}},
      el("input", {type: "checkbox", checked: state.chosen.has(one.id), "aria-label": t("choose", one.name), onchange: e => { e.target.checked ? state.chosen.add(one.id) : state.chosen.delete(one.id); tell("kept"); }}),
      canvas,
      el("div", {className: "about"},
        el("input", {type: "text", value: one.name, maxLength: 60, "aria-label": t("rename", one.name), onchange: e => { if (e.target.value.trim()) change({name: e.target.value.trim()}); }}),
        el("input", {type: "text", value: one.note, maxLength: 500, placeholder: t("note"), "aria-label": `${t("note")} ${one.name}`, onchange: e => change({note: e.target.value})}),
        el("span", {className: "quiet"}, facts ? [facts.valid[0] ? "✓" : `✗ ${t("invalid")}`, ...Object.entries(facts.measured).map(([name, values]) => `${name} ${figure(values[0])}`), facts.nearest ? `Δ ${facts.nearest[0]} px` : ""].filter(Boolean).join(" · ") : "…")),
      el("div", {className: "stack"}, el("button", {onclick: open, "aria-label": `${t("load")} ${one.name}`}, t("load")), el("button", {onclick: () => letGo(one), "aria-label": `${t("drop")} ${one.name}`}, t("drop"))));
  }));
  if (id) /** @type {any} */ (shelf.querySelector(`[data-id="${CSS.escape(id)}"]`)?.querySelectorAll("button, input")[index])?.focus();
}

/** Open a kept design: its document, as it was when it was kept. One step. */
function changeTo(one) {
  const last = one.how === "drawn" || one.how === "search" || one.how === "guided" ? accepted(one.document, one.labels) : {...one.document};
  if (one.how === "sample") state.selected = one.number;
  if (one.how === "draw") Object.assign(state, {selected: one.number, preview: true});
  change(last);
}

const COLUMNS = () => Math.max(1, getComputedStyle(grid).gridTemplateColumns.split(" ").length);

grid.addEventListener("keydown", event => {
  const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS(), ArrowDown: COLUMNS()}[event.key] ?? (event.key === "Home" ? -1e3 : event.key === "End" ? 1e3 : 0);
  if (!by) return;
  const next = state.selected + by;
  look(Math.abs(by) === 1e3 ? next : next < 0 || next >= variants().length ? state.selected : next);
  event.preventDefault();
});

for (const id of ["onlyvalid", "onlyinside"]) byId(id).addEventListener("change", showGrid);
on("theme", () => { painted = new WeakMap(); });
on("answer view hello", showGrid);
on("kept hello", showShelf);
