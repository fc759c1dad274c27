// @ts-check
// Two to four kept designs: side by side on one scale, flickering, their difference, a table; and all designs as lines.

import {paintSmall} from "./canvas.mjs";
import {byId, dialog, el, svg} from "./dom.mjs";
import {hasMajority, numberOf, state, variants} from "./store.mjs";
import {figure, t} from "./texts.mjs";
import {asks} from "./variants.mjs";

let open = false;
/** @type {Record<string, [number, number]>} */ let limits = {};

export function compare() {
  const chosen = state.kept.filter(one => state.chosen.has(one.id));
  if (chosen.length < 2 || chosen.length > 4) return asks.say(t("choosetwo"));
  open = true;
  const side = chosen.map(one => figureOf(one.labels, one.name));
  const [a, b] = chosen;
  const flick = figureOf(a.labels, a.name), canvas = flick.firstChild, name = flick.lastChild;
  const turn = to => { paintSmall(/** @type {any} */ (canvas), to.labels); /** @type {any} */ (name).textContent = to.name; };
  const hold = el("button", {onpointerdown: () => turn(b), onpointerup: () => turn(a), onpointerleave: () => turn(a),
    onkeydown: e => { if (e.key === " " || e.key === "Enter") turn(b); }, onkeyup: () => turn(a)}, t("flicker"));
  const box = dialog(t("compare"), t("close"), el("div", {className: "side"}, ...side), el("div", {className: "side"}, el("div", {}, flick, hold), differing(a, b)), el("div", {id: "facts-table"}), el("h3", {}, t("axes")), el("div", {id: "lines"}));
  box.addEventListener("close", () => { open = false; }, {once: true});
  limits = {};
  refreshCompare();
}

/** Facts arrive after the pictures. */
export function refreshCompare() {
  if (!open) return;
  byId("facts-table").replaceChildren(table(state.kept.filter(one => state.chosen.has(one.id))));
  showLines();
}

function figureOf(labels, name) {
  const canvas = el("canvas", {className: "pixels"});
  paintSmall(/** @type {any} */ (canvas), labels);
  return el("figure", {}, canvas, el("figcaption", {}, name));
}

/** Only A, only B, in the parts' colours; what both have is pale. */
function differing(a, b) {
  const pair = [[a, b], [b, a]].map(([one, other]) => figureOf(one.labels.map((owner, at) => owner === other.labels[at] ? 0 : owner), t("onlyin", one.name)));
  const pixels = a.labels.reduce((sum, owner, at) => sum + (owner !== b.labels[at] ? 1 : 0), 0);
  return el("div", {}, el("div", {className: "side"}, ...pair), el("p", {}, `${t("difference")}: ${t("pixels", pixels)}`));
}

function wishText(wish) {
  return !wish || wish.mode === "free" ? "–" : wish.mode === "target" ? figure(wish.value) : `${figure(wish.low)} … ${figure(wish.high)}`;
}

function table(chosen) {
  const line = (name, of) => el("tr", {}, el("th", {scope: "row"}, name), ...chosen.map(one => el("td", {}, of(one))));
  const rows = state.columns.flatMap(({name}, c) => [
    line(`${name}, ${t("wanted")}`, one => wishText(one.document.brief[c])),
    line(`${name}, ${t("measured")} / ${t("predicted")}`, one => [one.facts?.measured?.[name] ? figure(one.facts.measured[name][0]) : "", one.predicted?.[name] ? `${figure(one.predicted[name][0][0])} [${figure(one.predicted[name][0][1])}, ${figure(one.predicted[name][0][2])}]` : ""].filter(Boolean).join(" / ") || "–")]);
  return el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...chosen.map(one => el("th", {scope: "col"}, one.name)))), el("tbody", {}, ...rows,
    line(t("valid"), one => one.facts ? one.facts.valid[0] ? "✓" : `✗ ${t("objects", one.facts.objects[0])}, ${t("stray", one.facts.stray[0])}, ${t("gaps", one.facts.gaps[0])}` : "…"),
    line(t("nearest", "…").replace(": …", "").replace(" … px", ""), one => one.facts?.nearest ? `${one.facts.nearest[0]} px` : "–"),
    ...state.parts.map(({name}, c) => line(name, one => one.facts ? t("pixels", one.facts.areas[0][c]) : "–")),
    line(t("seedof", ""), one => one.how === "drawn" || one.how === "search" ? "–" : `${one.document.seed} · ${one.number}`)));
}

// --- parallel coordinates ---------------------------------------------------------------------------------------------

/** Everything that is known of the variants and of what is kept, one line a design. */
function lines() {
  const known = (facts, predicted, i, more) => {
    const values = {...Object.fromEntries(state.columns.map(({name}) => [name, facts?.measured?.[name]?.[i] ?? predicted?.[name]?.[i]?.[0]])), "Δ px": facts?.nearest?.[i]};
    return {...more, valid: facts?.valid?.[i], values};
  };
  const offset = hasMajority() ? 1 : 0;
  return [...variants().map((labels, i) => known(state.facts, state.predicted, i + offset, {labels, name: t("design", numberOf(i)), kept: false})),
    ...state.kept.map(one => known(one.facts, one.predicted, 0, {labels: one.labels, name: one.name, kept: true}))];
}

function showLines() {
  const box = byId("lines"), all = lines(), names = [...state.columns.map(c => c.name), "Δ px"].filter(name => all.some(line => Number.isFinite(line.values[name])));
  if (names.length < 2) return box.replaceChildren();
  const wide = 150 * (names.length - 1), high = 180, range = {};
  for (const name of names) {
    const values = all.map(line => line.values[name]).filter(Number.isFinite), low = Math.min(...values), high = Math.max(...values);
    range[name] = [low, high > low ? high : low + 1];
  }
  const x = i => 30 + i * wide / (names.length - 1), y = (name, v) => 10 + high * (1 - (v - range[name][0]) / (range[name][1] - range[name][0]));
  const picture = svg("svg", {viewBox: `0 0 ${wide + 110} ${high + 30}`, role: "img", "aria-label": t("axes")});
  const within = line => names.every(name => !limits[name] || (line.values[name] >= limits[name][0] && line.values[name] <= limits[name][1])) && (!onlyValid || line.valid !== false);
  const seen = el("div", {className: "seen"});
  for (const line of all) {
    const points = names.map((name, i) => Number.isFinite(line.values[name]) ? `${x(i)},${y(name, line.values[name])}` : "").filter(Boolean).join(" ");
    const shape = svg("polyline", {points, class: `path${line.kept ? " kept" : ""}${within(line) ? "" : " off"}`});
    shape.addEventListener("pointerenter", () => { seen.replaceChildren(figureOf(line.labels, line.name)); shape.classList.add("on"); });
    shape.addEventListener("pointerleave", () => shape.classList.remove("on"));
    picture.append(shape);
  }
  names.forEach((name, i) => {
    picture.append(svg("line", {class: "axis", x1: x(i), x2: x(i), y1: 10, y2: 10 + high}));
    for (const [v, at] of [[range[name][1], 8], [range[name][0], high + 20]]) {
      const text = svg("text", {x: x(i) + 4, y: at + 2});
      text.textContent = figure(v);
      picture.append(text);
    }
  });
  const rows = names.map(name => el("fieldset", {}, el("legend", {}, name), ...[0, 1].map(k => el("input", {type: "number", step: "any", className: "short", placeholder: figure(range[name][k]), value: limits[name] && Math.abs(limits[name][k]) < 1e300 ? String(limits[name][k]) : "",
    "aria-label": `${t("brushaxis", name)} ${t(k ? "high" : "low")}`, onchange: e => {
      const now = limits[name] ?? [-1e308, 1e308];
      limits[name] = /** @type {any} */ (now.with(k, e.target.value === "" ? (k ? 1e308 : -1e308) : Number(e.target.value)));
      showLines();
    }}))));
  const valid = el("label", {}, el("input", {type: "checkbox", checked: onlyValid, onchange: e => { onlyValid = e.target.checked; showLines(); }}), " ", t("feasible"));
  const focus = [...box.querySelectorAll("input")].indexOf(document.activeElement);
  box.replaceChildren(el("div", {className: "limits"}, ...rows, valid), el("div", {className: "side"}, picture, seen));
  if (focus >= 0) /** @type {any} */ (box.querySelectorAll("input")[focus])?.focus();
}
let onlyValid = false;
