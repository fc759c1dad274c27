// @ts-check
// Puts the page together: what the socket says goes into the store, what changes in the store goes to the socket.

import * as brief from "./brief.mjs";
import {UNSAID, emptyGiven} from "./brush.mjs";
import {choose, fit, redraw, resize, say} from "./canvas.mjs";
import {compare, refreshCompare} from "./compare.mjs";
import {byId, el} from "./dom.mjs";
import * as files from "./files.mjs";
import {bind, help} from "./keys.mjs";
import {lock} from "./parts.mjs";
import {allGiven, begin, change, history, kept_of, on, place, run, state, tell, variants as variants_of} from "./store.mjs";
import {figure, speak, spoken, t, translate} from "./texts.mjs";
import * as variants from "./variants.mjs";
import {Wire, base64} from "./wire.mjs";

const REST = 150;  // milliseconds after the last stroke until the model tries harder
let asked = 0, resting = 0, measuring = /** @type {Map<number, any>} */ (new Map());

const wire = new Wire({
  up() { byId("banner").hidden = true; },
  down(wait) {
    byId("banner").textContent = t("gone", Math.ceil(wait / 1000));
    byId("banner").hidden = false;
  },
  answer(answer) {
    if (answer.seq < asked && answer.seq !== searching) return;
    asked = answer.seq;
    if (state.answer?.labels.length !== answer.labels.length) Object.assign(state, {predicted: null, spread: null});  // else the last ones stay till the next
    Object.assign(state, {answer, facts: null, found: searching === answer.seq});
    byId("honest").textContent = "";
    if (state.found) Object.assign(state, {preview: true, selected: 0});
    tell("answer");
    Object.assign(document.body.dataset, {preview: answer.preview ? "1" : "0", answers: answer.seq});  // for programs that measure
    status();
  },
  told,
});
let searching = -1;

/** @param {any} message */
function told(message) {
  switch (message.kind) {
    case "hello":
      for (const one of begin(message)) variants.asks.keep(one);
      speak(state.settings.language);
      start();
      break;
    case "facts": {
      const kept = measuring.get(message.seq);
      if (kept) { Object.assign(kept, {facts: message.facts, predicted: message.predicted}); tell("kept"); refreshCompare(); break; }
      if (message.seq !== asked) break;
      Object.assign(state, {facts: message.facts, predicted: message.predicted ?? null, spread: message.spread ?? null});
      tell("answer");
      status();
      announce();
      break;
    }
    case "spread":
      if (message.seq === asked) byId("honest").textContent = t("honest", figure(message.ratio, 2), message.designs);
      break;
    case "progress":
      if (message.seq === null) byId("speed").textContent = `${message.what} ${message.done}/${message.total}`;
      else if (message.seq >= asked) byId("speed").textContent = t("step", message.done, message.total);
      break;
    case "run":
      Object.assign(state.hello.runs[message.index], message);
      tell("run");
      draw();
      break;
    case "kept": case "dropped": others(message); break;
    case "backend": state.hello.runs[message.index].backend = message.name; showTitle(); break;
    case "saved": byId("saved").textContent = t("saved"); break;
    case "fitted": say(t("fitted")); break;
    case "designed":
      busy("");
      say(t("found", state.answer?.labels.length ?? 0));
      break;
    case "exported": files.exported(message); break;
    case "error": {
      const text = message.hint ? `${message.message} – ${message.hint}` : message.message;
      if (message.seq === searching) busy(text); else say(text);
      files.exportFailed(text);
      speakLive(text);
      byId("speed").textContent = "";
    }
  }
}

/** What another page has kept, or let go. */
function others(message) {
  const id = message.kind === "kept" ? message.design.id : message.id, one = message.kind === "kept" ? kept_of(message.design) : null;
  const known = state.kept.some(each => each.id === id);
  state.kept = one && known ? state.kept.map(each => each.id === id ? one : each) : [...state.kept.filter(each => each.id !== id), ...(one ? [one] : [])];
  if (one) measure(one);
  tell("kept");
}

// --- asking -----------------------------------------------------------------------------------------------------------

function draw(refine = false) {
  if (!state.ready) return;
  byId("saved").textContent = t("saving");
  const document = variants.packedDocument(state.doc);
  if (emptyGiven(state.doc).length) { wire.send({kind: "save", document}); return; }
  if (allGiven()) {
    wire.send({kind: "save", document});
    wire.flying = wire.next = null;
    Object.assign(state, {answer: null, facts: null, predicted: null, spread: null});
    asked = wire.ask({kind: "measure", run: state.settings.run, labels: base64(state.doc.paint.map(owner => owner === UNSAID ? 0 : owner))});
    tell("answer");
    return;
  }
  wire.draw({kind: "draw", run: state.settings.run, document, first: state.selected, refine}, run().steps > 1);
  if (wire.next) saving ||= window.setTimeout(save, 100);  // what waits to be drawn is not lost with the page
  if (run().steps > 1) byId("speed").textContent = t("drawing");
}

let saving = 0;
function save() {
  saving = 0;
  if (wire.next) wire.send({kind: "save", document: wire.next.document});
}
addEventListener("pagehide", save);

/** Facts of a kept design. */
function measure(one) {
  const seq = wire.ask({kind: "measure", run: state.settings.run, labels: base64(one.labels)});
  measuring.set(seq, one);
}

function atRest() {
  clearTimeout(resting);
  const wishes = state.doc.states.includes("guided") || state.doc.like || state.doc.paint.includes(0);
  if (wishes && run().steps === 1) resting = window.setTimeout(() => draw(true), REST);
}

function busy(said) {
  const box = byId("search");
  box.dataset.busy = "";
  box.dataset.said = said;
  tell("answer");
}

brief.asks.search = () => {
  Object.assign(byId("search").dataset, {busy: "1", said: ""});
  searching = wire.ask({kind: "search", run: state.settings.run, document: variants.packedDocument(state.doc)});
  tell("answer");
};
brief.asks.fit = event => { /** @type {any} */ (event.target).disabled = true; say(t("fitting")); wire.send({kind: "fit", run: state.settings.run}); };
variants.asks.keep = one => { wire.send({kind: "keep", design: variants.packed(one)}); if (!one.facts) measure(one); byId("saved").textContent = t("saving"); };
variants.asks.drop = id => wire.send({kind: "drop", id});
variants.asks.say = text => { say(text); speakLive(text); };
files.asks.send = message => wire.ask(message);
files.asks.say = variants.asks.say;

// --- saying -----------------------------------------------------------------------------------------------------------

function status() {
  const {answer, facts} = state, at = place();
  byId("speed").textContent = !answer ? "" : state.found ? t("found", answer.labels.length) : t("speed", variants_of().length, figure(answer.ms, 2)) + (answer.nearest ? ` · ${t("strokes", Math.round(100 * answer.kept))}` : "");
  const words = [];
  if (facts && facts.valid[at] !== undefined) {
    words.push(facts.valid[at] ? t("valid") : `✗ ${t("invalid")}: ${t(facts.objects[at] === 1 ? "oneobject" : "objects", facts.objects[at])}`, t("stray", facts.stray[at]), t("gaps", facts.gaps[at]));
  }
  byId("nearest").textContent = facts?.nearest?.[at] === undefined ? "" : t("nearest", facts.nearest[at]);
  byId("validity").textContent = words.join(", ");
  byId("validity").classList.toggle("warn", facts?.valid[at] === false);
}

let spokeAt = 0, toSpeak = 0;
/** At most one a second. @param {string} text */
function speakLive(text) {
  clearTimeout(toSpeak);
  toSpeak = window.setTimeout(() => { spokeAt = Date.now(); byId("live").textContent = text; }, Math.max(0, 1000 - (Date.now() - spokeAt)));
}

function announce() {
  const parts = state.columns.map(({name}) => [name, brief.interval(name)]).filter(([, p]) => p).map(([name, p]) => `${t("predicted")} ${name} ${figure(p[0])}, ${figure(p[1])} – ${figure(p[2])}`);
  speakLive([byId("validity").textContent, ...parts].join("; "));
}

function showTitle() {
  const choice = byId("run"), now = run();
  choice.replaceChildren(...state.hello.runs.map((each, i) => el("option", {value: String(i), selected: i === state.settings.run}, `${each.model} · ${each.name}`)));
  byId("facts").textContent = `epoch ${now.epoch} · loss ${figure(now.loss)}`;
  byId("where").textContent = now.backend;
  document.title = `${state.hello.session} – epure studio`;
  byId("language").textContent = spoken() === "fr" ? "EN" : "FR";
  byId("language").lang = spoken() === "fr" ? "en" : "fr";
  byId("language").ariaLabel = spoken() === "fr" ? "English" : "Français";
}

// --- beginning --------------------------------------------------------------------------------------------------------

function start() {
  translate();
  tell("hello settings-shown");
  showTitle();
  buttons();
  draw();
  for (const one of state.kept) measure(one);
}

on("doc", () => { state.found = false; draw(); atRest(); buttons(); });
on("rest", atRest);
on("view", status);
on("settings", () => wire.send({kind: "settings", settings: state.settings}));
on("kept", () => { if (state.ready) buttons(); });

function buttons() {
  byId("undo").disabled = !history.past.length;
  byId("redo").disabled = !history.future.length;
}

/** @param {"undo" | "redo"} which */
function travel(which) {
  const next = history[which](state.doc);
  if (next !== state.doc) { state.doc = next; state.preview = false; tell("doc"); }
}

byId("undo").onclick = () => travel("undo");
byId("redo").onclick = () => travel("redo");
byId("help").onclick = help;
byId("export").onclick = files.openExport;
byId("compare").onclick = compare;
byId("keep").onclick = variants.keep;
byId("more").onclick = variants.moreLike;
byId("accept").onclick = variants.accept;
byId("leave").onclick = variants.leave;
byId("reseed").onclick = variants.reseed;
byId("like").onclick = () => { if (state.found) { state.found = false; draw(); } else change({like: null}); };
byId("run").onchange = event => { state.settings.run = Number(event.target.value); Object.assign(state, {predicted: null, spread: null}); tell("settings run"); showTitle(); draw(); state.kept.forEach(measure); };
byId("language").onclick = () => { state.settings.language = spoken() === "fr" ? "en" : "fr"; speak(state.settings.language); translate(); tell("settings hello run language view kept answer"); showTitle(); status(); };
for (const tab of byId("tabs").children) tab.onclick = () => { document.body.dataset.tab = tab.dataset.to; redraw(); };

const tool = name => () => { state.tool = name; tell("view"); };
bind([
  {keys: ["b"], text: "k_brush", run: tool("brush")},
  {keys: ["e"], text: "k_eraser", run: tool("eraser")},
  {keys: ["f"], text: "k_fill", run: tool("fill")},
  {keys: ["i"], text: "k_pick", run: tool("pick")},
  {keys: ["[", "]"], text: "k_size", shown: "[ ]", run: event => resize(event.key === "[" ? -1 : 1)},
  {keys: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], text: "k_part", shown: "0–9", run: event => choose(Number(event.key))},
  {keys: ["x"], text: "k_swap", run: () => choose(state.active ? 0 : state.before || 1)},
  {keys: ["l"], text: "k_lock", run: () => lock()},
  {keys: ["u"], text: "k_unc", run: () => { state.settings.uncertainty = (state.settings.uncertainty + 1) % 4; tell("settings view"); }},
  {keys: ["h"], text: "k_hide", run: () => { state.quiet = true; redraw(); }, up: () => { state.quiet = false; redraw(); }},
  {keys: ["k"], text: "k_keep", run: variants.keep},
  {keys: ["m"], text: "k_more", run: variants.moreLike},
  {keys: ["r"], text: "k_seeds", run: variants.reseed},
  {keys: ["c"], text: "k_compare", run: compare},
  {keys: ["Enter"], text: "k_enter", run: variants.accept},
  {keys: ["Escape"], text: "k_esc", shown: "Esc", run: variants.leave},
  {keys: ["Ctrl z"], text: "k_undo", shown: "Ctrl Z, Ctrl Y", run: () => travel("undo")},
  {keys: ["Ctrl y", "Ctrl Shift z"], text: "", shown: "", run: () => travel("redo")},
  {keys: ["z"], text: "k_zoom", run: fit},
  {keys: ["arrows"], text: "k_arrows", shown: "← ↑ → ↓"},
  {keys: ["space"], text: "k_space", shown: "Space"},
  {keys: ["shift"], text: "k_shift", shown: "Shift"},
  {keys: ["?"], text: "k_help", run: help},
]);
speak("");
translate();
