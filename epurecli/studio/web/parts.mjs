// @ts-check
// The tools, and the list of parts: the legend, the state of each, what is painted of it.

import {SIZES, emptyGiven, freed, givenAsDrawn, givenAsShown, wished} from "./brush.mjs";
import {choose, fit, say} from "./canvas.mjs";
import {byId, el, swatch} from "./dom.mjs";
import {change, on, run, shown, state, tell} from "./store.mjs";
import {t} from "./texts.mjs";

/** Give the active part as it is drawn or shown, or free it again. */
export function lock(part = state.active) {
  if (!part) return;
  const now = state.doc.states[part - 1];
  if (now === "given" || now === "none") return change(freed(state.doc, part));
  if (!completes()) return;
  if (now === "guided") return change(givenAsDrawn(state.doc, part));
  const design = shown();
  if (design) change(givenAsShown(state.doc, part, design));
}

function completes() {
  if (run().completes) return true;
  say(t(state.parts.length > 1 ? "nocomplete" : "onepart"));
  return false;
}

function setTo(part, wanted) {
  const now = state.doc.states[part - 1];
  if (wanted === "free") { if (now !== "free") change(freed(state.doc, part)); }
  else if (wanted === "given") { if (now !== "given") lock(part); }
  else { choose(part); if (now === "given") change(wished(state.doc, part)); state.tool = "brush"; tell("view"); }
}

function row(part) {
  const name = part ? state.parts[part - 1].name : t("air"), now = part ? state.doc.states[part - 1] : "";
  const amount = state.doc.paint.reduce((sum, owner) => sum + (owner === part ? 1 : 0), 0);
  const pick = el("button", {className: "part", ariaPressed: String(state.active === part), title: t("part", part, name), onclick: () => choose(part)},
    el("b", {}, String(part)), part ? swatch(state.parts[part - 1].colour) : el("i", {className: "swatch air"}), el("span", {}, name));
  const cells = [pick];
  if (part) {
    const states = ["free", "guided", "given"].map(each =>
      el("button", {ariaPressed: String(now === each || (each === "given" && now === "none")), data: {part: String(part), state: each}, onclick: () => setTo(part, each)}, t(each)));
    cells.push(el("span", {className: "group", role: "group", "aria-label": name}, ...states));
    cells.push(el("button", {className: "eye", ariaPressed: String(state.hidden.has(part)), onclick: () => { state.hidden.has(part) ? state.hidden.delete(part) : state.hidden.add(part); tell("view"); }},
      t(state.hidden.has(part) ? "show" : "hide")));
  }
  const said = [amount ? t("pixels", amount) : "", now === "none" ? t("nonehere") : ""].filter(Boolean).join(" · ");
  cells.push(el("span", {className: "quiet"}, said));
  if (now === "guided" && run().completes) cells.push(el("button", {onclick: () => { const d = shown(); if (d) change(givenAsShown(state.doc, part, d)); }}, t("asshown")));
  if (amount && (!part || now === "guided")) cells.push(el("button", {onclick: () => change(freed(state.doc, part))}, t("clear")));
  return el("div", {className: "partrow", data: {state: now}}, ...cells);
}

function questions() {
  return emptyGiven(state.doc).map(part => el("p", {className: "note warn"}, t("emptygiven", state.parts[part - 1].name) + " ",
    el("button", {onclick: () => change(freed(state.doc, part))}, t("freeit")), " ",
    el("button", {onclick: () => change({states: state.doc.states.with(part - 1, "none")})}, t("confirmnone"))));
}

let seen = /** @type {any[]} */ ([]);

function showParts() {
  if (!state.ready) return;
  const now = [state.doc.paint, state.doc.states, state.active, [...state.hidden].join(), run(), t("free")];
  if (now.every((each, i) => each === seen[i])) return;
  seen = now;
  const box = byId("parts"), focus = [...box.querySelectorAll("button")].indexOf(document.activeElement);
  const rows = [...state.parts.map((_, c) => row(c + 1)), row(0)];
  if (!run().completes) rows.push(el("p", {className: "note"}, t(state.parts.length > 1 ? "nocomplete" : "onepart")));
  box.replaceChildren(...questions(), ...rows);
  if (focus >= 0) box.querySelectorAll("button")[focus]?.focus();
}

// --- tools ------------------------------------------------------------------------------------------------------------

const TOOLS = [["brush", "B"], ["eraser", "E"], ["fill", "F"], ["pick", "I"]];

function showTools() {
  if (!state.ready) return;
  const {settings} = state, which = state.tool === "eraser" ? "eraser" : "brush", box = byId("tools");
  if (box.contains(document.activeElement) && document.activeElement?.tagName === "INPUT") return;
  const focus = [...box.querySelectorAll("button, select")].indexOf(document.activeElement);
  const set = (key, value) => { settings[key] = value; tell("settings view"); };
  box.replaceChildren(...[
    el("span", {className: "group"}, ...TOOLS.map(([tool, key]) => el("button", {ariaPressed: String(state.tool === tool), title: `${t(tool)} (${key})`, data: {tool}, onclick: () => { state.tool = tool; tell("view"); }}, t(tool)))),
    el("span", {className: "group", role: "group", "aria-label": t("size")}, ...SIZES.map(size => el("button", {ariaPressed: String(settings[which] === size), title: `${t("size")} ${size} ([ ])`, onclick: () => set(which, size)}, String(size)))),
    el("label", {}, el("input", {type: "checkbox", checked: settings.over, onchange: e => set("over", e.target.checked)}), " ", t("over")),
    el("span", {className: "grow"}),
    el("label", {}, t("uncertainty"), " ", el("select", {title: "U", onchange: e => set("uncertainty", Number(e.target.value))},
      ...[0, 1, 2, 3].map(mode => el("option", {value: String(mode), selected: settings.uncertainty === mode}, t(`u${mode}`))))),
    el("button", {title: "0", onclick: fit}, t("fitview")),
    el("select", {"aria-label": t("unit"), onchange: e => set("unit", e.target.value)}, ...["px", "mm"].map(unit => el("option", {value: unit, selected: settings.unit === unit}, unit))),
    settings.unit === "mm" && el("input", {type: "number", min: "0.001", max: "1000", step: "any", value: String(settings.scale_mm), "aria-label": t("perpixel"), title: t("perpixel"), className: "short",
      onchange: e => { const value = Number(e.target.value); if (value > 0 && value <= 1000) set("scale_mm", value); }})].filter(Boolean));
  if (focus >= 0) /** @type {HTMLElement} */ (box.querySelectorAll("button, select")[focus])?.focus();
}

on("doc view run hello", showParts);
on("view settings hello", showTools);
