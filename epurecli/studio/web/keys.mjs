// @ts-check
// Every key, in one table: what binds them also lists them. Single letters are off in fields, and can be switched off.

import {byId, dialog, el} from "./dom.mjs";
import {state, tell} from "./store.mjs";
import {t} from "./texts.mjs";

/** @typedef {{keys: string[], text: string, run?: (event: KeyboardEvent) => void, up?: () => void, shown?: string}} Binding */
/** @type {Binding[]} */ let table = [];

/** @param {Binding[]} bindings */
export function bind(bindings) { table = bindings; }

const isField = target => target instanceof HTMLElement && (["SELECT", "TEXTAREA"].includes(target.tagName) ||
  (target instanceof HTMLInputElement && !["checkbox", "range", "button"].includes(target.type)));

/** @param {KeyboardEvent} event */
function named(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return (event.ctrlKey || event.metaKey ? "Ctrl " : "") + (event.shiftKey && (event.ctrlKey || event.metaKey) ? "Shift " : "") + key;
}

function found(event) {
  if (byId("dialog").open || event.defaultPrevented) return undefined;
  const name = named(event), single = name.length === 1;
  if (isField(event.target) && (single || name === "Enter" || name === "Escape" || name.startsWith("Ctrl"))) return undefined;
  if (single && !state.settings.letters && name !== "?") return undefined;
  if (name === "Enter" && event.target instanceof HTMLElement && event.target.closest("button, a, summary") && !event.target.closest("#grid")) return undefined;
  return table.find(binding => binding.keys.includes(name));
}

addEventListener("keydown", event => {
  if (!state.ready) return;
  const binding = found(event);
  if (!binding?.run || (event.repeat && binding.up)) return;
  binding.run(event);
  event.preventDefault();
});
addEventListener("keyup", event => { if (state.ready) table.find(b => b.up && b.keys.includes(named(event)))?.up?.(); });

export function help() {
  const letters = el("input", {type: "checkbox", checked: state.settings.letters, onchange: e => { state.settings.letters = e.target.checked; tell("settings"); }});
  dialog(t("keys"), t("close"), el("p", {}, el("label", {}, letters, " ", t("letters"))),
    el("table", {}, ...table.filter(({text}) => text).map(({keys, text, shown}) => el("tr", {}, el("th", {scope: "row"}, el("kbd", {}, shown ?? keys[0].toUpperCase())), el("td", {}, t(text))))));
}
