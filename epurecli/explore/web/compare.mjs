// Two to four designs side by side, and where two of them differ.
import { faults, number } from "./data.mjs";
import { byId, el } from "./dom.mjs";
import { swatch } from "./detail.mjs";
import { drawing, mirrored } from "./section.mjs";

const LETTERS = "ABCD";

/** What one section has and the other has not, part by part; and the union of both, to be seen behind it. */
export function only(mine, other) {
  return { ...mine, labels: mine.labels.map((label, at) => (label === other.labels[at] ? 0 : label)) };
}

export function compare(app) {
  const { data } = app, home = byId("compared"), table = byId("difference-table"), hold = byId("hold");
  let pair = [0, 1], drawn = "";
  const section = (i) => mirrored(data.map(i), data.height, data.width, data.side);
  const named = (k) => `${LETTERS[k]}: ${data.names[app.state.compared[k]]}`;
  const figure = (svg, words, ...more) => el("figure", {}, svg, el("figcaption", {}, words, ...more));

  function sideBySide() {
    const { compared } = app.state;
    home.replaceChildren(...compared.map((i, k) => figure(drawing(section(i), data, `section of ${named(k)}`, true), named(k),
      el("button", { type: "button", "aria-label": `take ${named(k)} out`, onclick: () => app.compare(i) }, "take out"))));
    const heads = el("tr", {}, el("th", { scope: "col" }, ""),
      ...compared.map((_, k) => el("th", { scope: "col" }, named(k))));
    const line = (name, cells) => el("tr", { class: new Set(cells).size > 1 ? "" : "same" },
      el("th", { scope: "row" }, name), ...cells.map((cell) => el("td", {}, cell)));
    byId("compare-table").replaceChildren(el("thead", {}, heads), el("tbody", {},
      line("feasible", compared.map((i) => (data.valid[i] ? "✓ yes" : `✗ ${faults(data, i)}`))),
      ...data.columns.map((column) => line(column.name, compared.map((i) => number(column.values[i])))),
      ...data.words.map((column) => line(column.name, compared.map((i) => column.values[i]))),
      line("note", compared.map((i) => app.state.notes.get(i) ?? ""))));
  }

  function choosers() {
    pair = pair.map((k, at) => (k < app.state.compared.length ? k : at));
    if (pair[0] === pair[1]) pair = [0, 1];
    ["first", "second"].forEach((id, at) => {
      const chooser = byId(id);
      chooser.replaceChildren(...app.state.compared.map((_, k) => el("option", { value: k }, named(k))));
      chooser.value = pair[at];
    });
  }

  function differences() {
    const [a, b] = pair.map((k) => section(app.state.compared[k])), [first, second] = pair.map((k) => LETTERS[k]);
    const onlyA = only(a, b), onlyB = only(b, a);
    const count = (labels, part) => labels.reduce((sum, label) => sum + (label === part), 0);
    const panel = (mine, base, words) => {
      const svg = drawing(mine, data, words, false);
      const behind = drawing(base, data, words, false);
      behind.querySelectorAll("path").forEach((path) => path.classList.add("behind"));
      svg.prepend(...behind.querySelectorAll("path"));
      return figure(svg, words);
    };
    byId("differences").replaceChildren(panel(onlyA, a, `only in ${first}`), panel(onlyB, b, `only in ${second}`));
    table.replaceChildren(
      el("thead", {}, el("tr", {}, ...["part", first, second, `only ${first}`, `only ${second}`].map((word) =>
        el("th", { scope: "col" }, word)))),
      el("tbody", {}, ...data.components.map((part, k) => el("tr", {}, el("th", { scope: "row" }, swatch(part, k), ` ${part.name}`),
        ...[a.labels, b.labels, onlyA.labels, onlyB.labels].map((labels) => el("td", {}, String(count(labels, k + 1))))))));
    flicker(false);
  }

  function flicker(held) {
    const k = pair[held ? 1 : 0];
    byId("flicker").replaceChildren(figure(drawing(section(app.state.compared[k]), data, named(k), false), named(k)));
  }

  ["first", "second"].forEach((id, at) => byId(id).addEventListener("change", (event) => {
    pair[at] = Number(event.target.value);
    differences();
  }));
  hold.addEventListener("pointerdown", () => flicker(true));
  for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) {
    hold.addEventListener(end, () => app.state.compared.length > 1 && flicker(false));
  }
  const pressed = (event) => event.key === " " || event.key === "Enter";
  hold.addEventListener("keydown", (event) => {
    if (!pressed(event)) return;
    event.preventDefault();
    flicker(true);
  });
  hold.addEventListener("keyup", (event) => pressed(event) && flicker(false));

  function draw() {
    const { compared, notes } = app.state, count = compared.length;
    const look = JSON.stringify([compared, compared.map((i) => notes.get(i))]);
    if (look === drawn) return;
    drawn = look;
    byId("compare").hidden = count === 0;
    byId("pair").hidden = count < 2;
    byId("one-more").hidden = count !== 1;
    if (count) sideBySide();
    if (count > 1) {
      choosers();
      differences();
    }
  }

  return { draw };
}
