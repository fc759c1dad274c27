// What the keyboard does. The list that people read is made from the table that binds.
import { byId, el } from "./dom.mjs";

const FIELDS = ["INPUT", "TEXTAREA", "SELECT"];

/** @param actions [key, what it does, function][] */
export function keys(actions) {
  const dialog = byId("keys"), on = byId("keys-on");
  const fixed = [["arrows, Home, End, Page keys", "move among the designs; in the scatter plot, to the next point"],
    ["Tab", "from one control to the next"], ["Esc", "leave this list, or a field"]];
  byId("key-list").replaceChildren(...[...actions.map(([key, words]) => [key.toUpperCase(), words]), ...fixed].map(([key, words]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, key)), el("td", {}, words))));
  document.addEventListener("keydown", (event) => {
    const field = FIELDS.includes(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key === "Escape" && field) event.target.blur();
    if (field || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const found = actions.find(([key]) => key === event.key.toLowerCase());
    if (!found || (!on.checked && event.key !== "?")) return;
    event.preventDefault();
    found[2]();
  });
  byId("keys-close").addEventListener("click", () => dialog.close());
  byId("help").addEventListener("click", () => dialog.showModal());
}
