// @ts-check
// What the page knows, and who is told when it changes. The document is the only thing that undo undoes.

import {History} from "./history.mjs";
import {bytes} from "./wire.mjs";

export const history = /** @type {History<import("./brush.mjs").Doc>} */ (new History());

export const state = {
  ready: false,
  /** @type {any} */ hello: null,
  /** @type {{name: string, colour: string}[]} */ parts: [],
  /** @type {{name: string, low: number, high: number}[]} */ columns: [],
  height: 64,
  width: 32,
  /** @type {import("./brush.mjs").Doc} */ doc: /** @type {any} */ (null),
  /** @type {any} */ settings: {},
  /** @type {any[]} */ kept: [],
  /** @type {import("./wire.mjs").Answer | null} */ answer: null,
  found: false,  // whether the variants are a search's
  /** @type {any} */ facts: null,
  /** @type {any} */ predicted: null,
  /** @type {any} */ spread: null,
  selected: 0,  // the variant that is looked at: index into `variants()`
  preview: false,  // whether it is shown in place of the majority
  active: 1,  // part that tools work on; 0 air
  before: 0,  // part that X swaps with
  tool: "brush",
  /** @type {Set<number>} */ hidden: new Set(),
  quiet: false,  // overlays hidden while H is held
  /** @type {Set<string>} */ chosen: new Set(),  // kept designs to compare
};

/** @type {Record<string, (() => void)[]>} */
const listeners = {};

/** Topics: doc (the document), answer (pictures or facts), view (how it is looked at), kept, run, settings, hello.
 * @param {string} topics @param {() => void} heard */
export function on(topics, heard) { for (const topic of topics.split(" ")) (listeners[topic] ??= []).push(heard); }

/** @param {string} topics */
export function tell(topics) { for (const topic of topics.split(" ")) for (const heard of listeners[topic] ?? []) heard(); }

/** A new document, as a step that can be undone. @param {Partial<import("./brush.mjs").Doc>} parts */
export function change(parts, key = null) {
  history.note(state.doc, key);
  state.doc = {...state.doc, ...parts};
  tell("doc");
}

/** @param {any} raw as the server writes it */
export function document_of(raw) {
  return {...raw, paint: bytes(raw.paint), like: raw.like === null ? null : bytes(raw.like)};
}

/** @param {any} raw */
export const kept_of = raw => ({...raw, labels: bytes(raw.labels), document: document_of(raw.document)});

/** Begin, or go on after a break: then the page's own drawing stands. @param {any} hello
 * @returns {any[]} kept designs that the server does not know yet */
export function begin(hello) {
  Object.assign(state, {hello, parts: hello.components, columns: hello.columns, height: hello.size[0], width: hello.size[1]});
  const theirs = hello.kept.map(kept_of), ours = state.kept;
  if (!state.ready) Object.assign(state, {doc: document_of(hello.document), settings: hello.settings});
  if (state.settings.run >= hello.runs.length) state.settings.run = 0;
  const known = new Set(ours.map(one => one.id)), there = new Set(theirs.map(one => one.id));
  state.kept = [...ours, ...theirs.filter(one => !known.has(one.id))];
  state.ready = true;
  return ours.filter(one => !there.has(one.id));
}

export const run = () => state.hello.runs[state.settings.run];

/** Whether the first design of the answer is the majority of the draws that follow. */
export const hasMajority = () => !!state.answer && state.answer.draws > 0 && !state.answer.nearest;

/** Designs of the grid. @returns {Uint8Array[]} */
export const variants = () => state.answer ? state.answer.labels.slice(hasMajority() ? 1 : 0) : [];

/** The number of variant i under its seed. @param {number} i */
export const numberOf = i => state.answer ? state.answer.numbers[i + (hasMajority() ? 1 : 0)] ?? 0 : 0;

/** The design in the middle: what is drawn, a variant, or the majority. @returns {Uint8Array | null} */
export function shown() {
  if (allGiven()) return state.doc.paint.map(owner => owner > state.parts.length ? 0 : owner);
  if (!state.answer) return null;
  if (hasMajority() && !state.preview) return state.answer.labels[0];
  return variants()[state.selected] ?? state.answer.labels[0];
}

/** Where in the answer's facts the shown design stands. */
export function place() {
  if (allGiven()) return 0;
  return hasMajority() ? (state.preview ? state.selected + 1 : 0) : Math.min(state.selected, variants().length - 1);
}

export const allGiven = () => state.doc.states.every(s => s === "given" || s === "none");

/** The name that people call a part by. @param {number} part */
export const nameOf = part => part > 0 && part <= state.parts.length ? state.parts[part - 1].name : "air";
