// @ts-check
// Files in and out: PNGs are read by the page itself, and no path ever leaves it; exports are written by the server.

import {UNSAID} from "./brush.mjs";
import {byId, dialog, el} from "./dom.mjs";
import {change, state} from "./store.mjs";
import {t} from "./texts.mjs";

/** @type {{send: (message: any) => number, say: (text: string) => void}} */
export const asks = {send: () => 0, say: () => {}};
let box = /** @type {any} */ (null);

// --- import -----------------------------------------------------------------------------------------------------------

byId("import").addEventListener("click", () => {
  asks.say(t("importask", state.height, state.width, state.parts[0]?.name ?? ""));
  byId("files").click();
});
byId("files").addEventListener("change", async event => {
  await importFiles([...event.target.files]);
  event.target.value = "";
});
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => {
  event.preventDefault();
  if (event.dataTransfer?.files.length && state.ready) importFiles([...event.dataTransfer.files]);
});

/** Each file is one part, given. One step. @param {File[]} files */
export async function importFiles(files) {
  const {width, height, doc} = state, paint = doc.paint.slice(), taken = new Set();
  let states = doc.states, twice = 0;
  for (const file of files) {
    const stem = file.name.replace(/\.png$/i, "");
    const part = 1 + state.parts.findIndex(({name}) => stem === name || stem.endsWith(`_${name}`));
    if (!part) return asks.say(t("importname", file.name, state.parts[0].name));
    const picture = await createImageBitmap(file, {colorSpaceConversion: "none"}).catch(() => null);
    if (!picture || picture.width !== width || picture.height !== height)
      return asks.say(t("importsize", file.name, picture?.width ?? "?", picture?.height ?? "?", width, height));
    const canvas = new OffscreenCanvas(width, height), context = /** @type {any} */ (canvas.getContext("2d"));
    context.drawImage(picture, 0, 0);
    const {data} = context.getImageData(0, 0, width, height);
    paint.forEach((owner, at) => { if (owner === part) paint[at] = UNSAID; });
    for (let at = 0; at < width * height; at++) {
      if (data[4 * at + 3] < 128 || (data[4 * at] + data[4 * at + 1] + data[4 * at + 2]) / 3 < 127.5) continue;
      if (taken.has(at)) twice++;
      else { paint[at] = part; taken.add(at); }
    }
    states = states.with(part - 1, "given");
  }
  change({paint, states});
  asks.say(t("imported", files.length, twice));
}

// --- export -----------------------------------------------------------------------------------------------------------

/** What is kept, as files. */
export function openExport() {
  if (!state.kept.length) return asks.say(t("nothingtoexport"));
  const chosen = state.chosen.size ? state.kept.filter(one => state.chosen.has(one.id)) : state.kept;
  const formats = ["png", "svg", "dxf", "explorer"].map(format => el("label", {}, el("input", {type: "checkbox", value: format, checked: true, disabled: format === "png"}), ` ${format === "explorer" ? "explorer.html" : format.toUpperCase()} `));
  const scale = /** @type {any} */ (el("input", {type: "number", min: "0.001", max: "1000", step: "any", value: state.settings.unit === "mm" ? String(state.settings.scale_mm) : "", className: "short"}));
  const result = el("div", {id: "exported", "aria-live": "polite"});
  const go = el("button", {className: "wide", onclick: () => {
    result.textContent = t("exporting");
    asks.send({kind: "export", ids: chosen.map(one => one.id), formats: formats.map(f => /** @type {any} */ (f.firstChild)).filter(f => f.checked).map(f => f.value), scale_mm: Number(scale.value) > 0 ? Number(scale.value) : null});
  }}, t("exportnow", chosen.length));
  box = dialog(t("export"), t("close"), el("p", {role: "group", "aria-label": t("formats")}, ...formats), el("p", {}, el("label", {}, t("perpixel"), " ", scale)), go, result);
}

/** @param {any} told by the server */
export function exported(told) {
  const result = byId("exported");
  if (!result) return;
  const lines = told.commands.join("\n");
  result.replaceChildren(
    el("p", {}, t("exportedto", told.folder)), ...told.left_out.map(text => el("p", {className: "note warn"}, t("leftout", text))),
    el("p", {}, el("a", {href: `exports/${encodeURIComponent(told.name)}.zip`, download: `${told.name}.zip`}, t("download"))),
    el("h3", {}, t("again")), lines ? el("pre", {tabIndex: 0}, lines) : el("p", {}, t("noagain")),
    lines ? el("button", {onclick: async e => { await navigator.clipboard?.writeText(lines); e.target.textContent = t("copied"); }}, t("copy")) : "");
}

/** @param {string} text */
export function exportFailed(text) { if (box?.open && byId("exported")) byId("exported").textContent = text; }
