// One design: its section with numbered parts, its values, a star and a note.
import { faults, number } from "./data.mjs";
import { byId, el, save } from "./dom.mjs";
import { drawing, file, mirrored } from "./section.mjs";

/** A coloured number that stands for a part; the number is what tells them apart. */
export const swatch = (part, k) => {
  const mark = el("span", { class: "swatch" }, String(k + 1));
  mark.style.background = part.colour;
  return mark;
};

export function detail(app) {
  const { data } = app, note = byId("note");
  const section = (i) => mirrored(data.map(i), data.height, data.width, data.side);
  let shown = -1;

  note.addEventListener("input", () => app.note(app.state.current, note.value));
  byId("star").addEventListener("click", () => app.star(app.state.current));
  byId("add").addEventListener("click", () => app.compare(app.state.current));
  byId("svg").addEventListener("click", () => svg());
  byId("previous").addEventListener("click", () => app.step(-1));
  byId("next").addEventListener("click", () => app.step(1));

  function svg() {
    const i = app.state.current;
    save(`${data.names[i]}.svg`, file(section(i), data, data.names[i]), "image/svg+xml");
  }

  function draw() {
    const { state } = app, i = state.current, starred = state.stars.has(i), letter = state.compared.indexOf(i);
    byId("star").textContent = starred ? "★ starred" : "☆ star";
    byId("star").setAttribute("aria-pressed", String(starred));
    byId("add").textContent = letter < 0 ? "compare" : `comparing as ${"ABCD"[letter]}`;
    byId("add").setAttribute("aria-pressed", String(letter >= 0));
    if (document.activeElement !== note || shown !== i) note.value = state.notes.get(i) ?? "";
    if (shown === i) return;
    shown = i;
    const why = faults(data, i);
    byId("name").textContent = data.names[i];
    byId("verdict").textContent = data.valid[i] ? "✓ feasible: one object, no gaps, no overlaps" : `✗ not feasible: ${why}`;
    byId("drawing").replaceChildren(drawing(section(i), data, `section of ${data.names[i]}`, true));
    const counts = data.components.map((_, k) => data.map(i).reduce((sum, label) => sum + (label === k + 1), 0));
    byId("parts").replaceChildren(...data.components.map((part, k) =>
      el("li", {}, swatch(part, k), ` ${part.name} `, el("span", { class: "soft" }, `${counts[k]} px`))));
    byId("values").replaceChildren(...data.columns.map((column) =>
      el("tr", {}, el("th", { scope: "row" }, column.name), el("td", {}, number(column.values[i])))),
    ...data.words.map((column) => el("tr", {}, el("th", { scope: "row" }, column.name), el("td", {}, column.values[i]))));
  }

  return { draw, svg, write: () => note.focus() };
}
