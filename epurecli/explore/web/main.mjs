// The page: one state, and views that draw it.
import { compare } from "./compare.mjs";
import { csv, faults, load } from "./data.mjs";
import { detail } from "./detail.mjs";
import { byId, el, save } from "./dom.mjs";
import { grid } from "./grid.mjs";
import { keys } from "./keys.mjs";
import { parallel } from "./parallel.mjs";
import { scatter } from "./scatter.mjs";
import { fresh, read, shown, written } from "./state.mjs";

const WAIT = 250;  // ms until the address follows: browsers refuse to write it too often

function say(text) {
  byId("said").textContent = text;
}

async function start() {
  const data = await load();
  const app = { data, state: fresh(data), rows: [], say };
  let timer = 0, views = [];

  app.change = (changes) => {
    Object.assign(app.state, changes);
    const rows = shown(data, app.state);
    if (String(rows) !== String(app.rows)) app.rows = rows;
    draw();
    clearTimeout(timer);
    timer = setTimeout(remember, WAIT);
  };
  app.go = (i) => app.change({ current: i });
  app.step = (by) => {
    const at = app.rows.indexOf(app.state.current), to = app.rows[at < 0 ? 0 : at + by];
    if (to !== undefined) app.go(to);
  };
  app.star = (i) => {
    const stars = new Set(app.state.stars);
    if (!stars.delete(i)) stars.add(i);
    app.change({ stars });
    say(`${data.names[i]} ${stars.has(i) ? "starred" : "is not starred any more"}`);
  };
  app.note = (i, text) => {
    const notes = new Map(app.state.notes);
    if (text) notes.set(i, text);
    else notes.delete(i);
    app.change({ notes });
  };
  app.compare = (i) => {
    const { compared } = app.state;
    if (!compared.includes(i) && compared.length === 4) return say("four designs are compared: take one out first");
    app.change({ compared: compared.includes(i) ? compared.filter((other) => other !== i) : [...compared, i] });
    return say(`${app.state.compared.length} of at most 4 designs are compared`);
  };

  function draw() {
    const { state, rows } = app, count = data.count.toLocaleString("en");
    byId("counts").textContent = `${rows.length.toLocaleString("en")} of ${count} designs shown`;
    byId("feasible").checked = state.feasible;
    byId("starred").checked = state.starred;
    byId("falling").checked = state.falling;
    byId("sort").value = state.sort;
    if (document.activeElement !== byId("find")) byId("find").value = state.find;
    byId("save").textContent = state.stars.size ? `save ${state.stars.size} starred as selection.csv` : `save ${rows.length} shown as selection.csv`;
    byId("to-compare").hidden = !state.compared.length;
    byId("to-compare").textContent = `to the comparison (${state.compared.length})`;
    byId("clear").hidden = rows.length === data.count;
    for (const view of views) view.draw();
  }

  function remember() {
    clearTimeout(timer);
    const text = written(data, app.state);
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  function recall() {
    const state = read(data, location.hash.slice(1));
    if (state === null) say("the link is of another file: its stars and notes do not fit these designs");
    app.change(state ?? fresh(data));
  }

  function selection() {
    const { stars, notes } = app.state, rows = stars.size ? [...stars].sort((a, b) => a - b) : app.rows;
    save("selection.csv", csv(data, rows, stars, notes), "text/csv");
  }

  async function copy() {
    remember();
    try {
      await navigator.clipboard.writeText(location.href);
      say("the link is in the clipboard: it holds filters, stars and notes");
    } catch {
      byId("address").value = location.href;
      byId("link").showModal();
      byId("address").select();
    }
  }

  const flip = (key) => () => app.change({ [key]: !app.state[key] });
  byId("sort").append(el("option", { value: -1 }, "as in the folder"),
    ...data.columns.map((column, k) => el("option", { value: k }, column.name)));
  byId("sort").addEventListener("change", (event) => app.change({ sort: Number(event.target.value) }));
  for (const key of ["feasible", "starred", "falling"]) byId(key).addEventListener("change", flip(key));
  byId("find").addEventListener("input", (event) => app.change({ find: event.target.value }));
  byId("clear").addEventListener("click", () => app.change({ feasible: false, starred: false, find: "", ranges: new Map() }));
  byId("save").addEventListener("click", selection);
  byId("copy").addEventListener("click", copy);
  byId("link-close").addEventListener("click", () => byId("link").close());
  const toCompare = () => {
    if (!app.state.compared.length) return say("no design is compared: C adds the current one");
    byId("compare").scrollIntoView();
    return byId("compare-title").focus();
  };
  byId("to-compare").addEventListener("click", toCompare);

  const tiles = grid(app), one = detail(app);
  views = [tiles, parallel(app), scatter(app), one, compare(app)];
  byId("axis-menu").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    byId("axis-menu").open = false;
    byId("axis-menu").firstChild.focus();
  });
  byId("skip").addEventListener("click", tiles.focus);
  keys([
    ["g", "to the designs", tiles.focus],
    ["s", "star the current design", () => app.star(app.state.current)],
    ["n", "write a note on it", one.write],
    ["c", "compare it, or take it out", () => app.compare(app.state.current)],
    ["d", "to the comparison and the differences", toCompare],
    ["v", "save it as SVG", one.svg],
    ["f", "feasible designs only", flip("feasible")],
    ["o", "starred designs only", flip("starred")],
    ["/", "find a name or a note", () => byId("find").focus()],
    ["l", "copy the link", copy],
    ["x", "save the selection as CSV", selection],
    ["?", "this list", () => byId("keys").showModal()],
  ]);
  const feasible = data.valid.reduce((sum, ok) => sum + ok, 0);
  byId("facts").textContent = `${data.count.toLocaleString("en")} designs, ${feasible.toLocaleString("en")} feasible`;
  recall();
  window.addEventListener("hashchange", recall);
  new ResizeObserver(draw).observe(byId("axes"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.documentElement.dataset.ready = "";
}

if (typeof DecompressionStream === "undefined") {
  byId("counts").textContent = "This browser is too old for this file: it needs Chrome or Edge 80, Firefox 113, or Safari 16.4.";
} else {
  start().catch((error) => {
    byId("counts").textContent = `This file is damaged: ${error.message}`;
    throw error;
  });
}
