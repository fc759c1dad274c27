// The designs as tiles. One of them can be tabbed to; arrows move among them; more are made when they are scrolled to.
import { number, faults } from "./data.mjs";
import { byId, el } from "./dom.mjs";
import { mirrored, picture } from "./section.mjs";

const MORE = 120;
const LETTERS = "ABCD";

export function grid(app) {
  const { data } = app, list = byId("grid"), more = byId("more"), colours = data.components.map((p) => p.colour);
  const longest = Math.max(...Object.values(mirrored(data.map(0), data.height, data.width, data.side)).slice(1));
  const scale = longest > 128 ? 128 / longest : Math.floor(128 / longest);
  const tiles = new Map();
  let made = 0, rows = null;

  function tile(i) {
    if (tiles.has(i)) return tiles.get(i);
    const section = mirrored(data.map(i), data.height, data.width, data.side);
    const marks = el("span", { class: "marks" }), value = el("span", { class: "value" });
    const caption = el("span", { class: "name" }, data.names[i]);
    const open = el("button", { type: "button", class: "open", tabindex: -1, "data-row": i, onclick: () => app.go(i) },
      picture(section, colours, scale), caption, value, marks);
    const star = el("button", { type: "button", class: "star", tabindex: -1, onclick: () => app.star(i) });
    const item = el("li", {}, open, star);
    tiles.set(i, { item, open, star, marks, value });
    return tiles.get(i);
  }

  function dress(i, reached) {
    const { item, open, star, marks, value } = tile(i), { state } = app, column = data.columns[state.sort];
    const why = faults(data, i), letter = LETTERS[state.compared.indexOf(i)], starred = state.stars.has(i);
    const words = [why && `✗ ${why}`, letter && `compare ${letter}`, state.notes.has(i) && "note"];
    marks.textContent = words.filter(Boolean).join(" · ");
    value.textContent = column ? `${column.name} ${number(column.values[i])}` : "";
    star.textContent = starred ? "★" : "☆";
    star.setAttribute("aria-label", `star ${data.names[i]}`);
    star.setAttribute("aria-pressed", String(starred));
    item.className = `${data.valid[i] ? "" : "faulty"} ${i === state.current ? "current" : ""}`;
    open.tabIndex = i === reached ? 0 : -1;
    if (i === state.current) open.setAttribute("aria-current", "true");
    else open.removeAttribute("aria-current");
  }

  /** The tile that Tab reaches: the current design, or the first one where that is not shown. */
  function stop() {
    return app.rows.includes(app.state.current) ? app.state.current : app.rows[0];
  }

  function grow(count) {
    const until = Math.min(app.rows.length, count);
    for (; made < until; made++) list.append(tile(app.rows[made]).item);
    more.hidden = made === app.rows.length;
    more.textContent = `show more (${made} of ${app.rows.length} are there)`;
  }

  function draw() {
    if (rows !== app.rows) {
      rows = app.rows;
      made = 0;
      list.replaceChildren();
      grow(MORE);
      byId("none").hidden = rows.length > 0;
    }
    const reached = stop();
    for (let at = 0; at < made; at++) dress(rows[at], reached);
  }

  function across() {
    const items = list.children, top = items[0]?.offsetTop;
    let count = 0;
    while (count < items.length && items[count].offsetTop === top) count++;
    return Math.max(1, count);
  }

  /** Focus on a design that is shown. */
  function focus(i) {
    const at = rows.indexOf(i);
    if (at < 0) return;
    if (at >= made) grow(at + MORE);
    app.go(i);
    draw();
    tile(i).open.focus({ preventScroll: true });
    tile(i).item.scrollIntoView({ block: "nearest" });
  }

  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.dataset.row ?? event.target.parentElement.firstChild.dataset.row;
    const at = rows.indexOf(Number(row)), last = rows.length - 1;
    const page = 3 * across();
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - across(), ArrowDown: at + across(), Home: 0, End: last,
      PageUp: Math.max(0, at - page), PageDown: Math.min(last, at + page) }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to <= last) focus(rows[to]);
  });
  more.addEventListener("click", () => {
    const first = made;
    grow(made + MORE);
    draw();
    tile(rows[first]).open.focus();
  });
  new IntersectionObserver((seen) => {
    if (seen.some((entry) => entry.isIntersecting) && made < app.rows.length && document.activeElement !== more) {
      grow(made + MORE);
      draw();
    }
  }, { root: byId("tiles"), rootMargin: "400px" }).observe(byId("end"));
  return { draw, focus: () => focus(stop()) };
}
