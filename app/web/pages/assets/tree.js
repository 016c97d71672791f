// Nested lists of links as one tree: a single stop for the tab key, arrow keys within.
// https://www.w3.org/WAI/ARIA/apg/patterns/treeview/
export function makeTree(list, { say }) {
  list.setAttribute("role", "tree");
  const items = [...list.querySelectorAll("li")];
  const levelOf = (item) => (item.parentElement === list ? 1 : 1 + levelOf(item.parentElement.closest("li")));
  for (const nested of list.querySelectorAll("ul")) {
    nested.setAttribute("role", "group");
  }
  for (const item of items) {
    item.setAttribute("role", "treeitem");
    item.tabIndex = -1;
    const siblings = [...item.parentElement.children];
    item.setAttribute("aria-level", String(levelOf(item)));
    item.setAttribute("aria-posinset", String(siblings.indexOf(item) + 1));
    item.setAttribute("aria-setsize", String(siblings.length));
    if (item.querySelector("ul")) {
      item.setAttribute("aria-expanded", "true");
    }
    const link = item.querySelector(":scope > a");
    if (link) {
      link.tabIndex = -1;
    }
    const label = item.querySelector(":scope > a, :scope > .label");
    item.setAttribute("aria-label", label ? label.textContent.trim().replace(/\s+/g, " ") : "");
  }
  let current = items[0];
  if (!current) {
    return;
  }
  current.tabIndex = 0;
  const move = (to) => {
    if (to) {
      current.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
      current = to;
    }
  };
  const visible = () => items.filter((item) => !item.parentElement.closest('[aria-expanded="false"]'));
  const fold = (item, open) => item.setAttribute("aria-expanded", String(open));
  const actions = {
    ArrowDown: () => move(visible()[visible().indexOf(current) + 1]),
    ArrowUp: () => move(visible()[visible().indexOf(current) - 1]),
    Home: () => move(visible()[0]),
    End: () => move(visible().at(-1)),
    ArrowRight: () =>
      current.getAttribute("aria-expanded") === "false" ? fold(current, true) : move(current.querySelector("[role=treeitem]")),
    ArrowLeft: () =>
      current.getAttribute("aria-expanded") === "true" ? fold(current, false) : move(current.parentElement.closest("[role=treeitem]")),
    Enter: () => current.querySelector(":scope > a")?.click(),
  };
  list.addEventListener("keydown", (event) => {
    if (actions[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey) {
      actions[event.key]();
      event.preventDefault();
    }
  });
  list.addEventListener("focusin", (event) => {
    const item = event.target.closest("[role=treeitem]");
    if (item && item !== current) {
      current.tabIndex = -1;
      item.tabIndex = 0;
      current = item;
    }
  });
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=treeitem]");
    if (item?.hasAttribute("aria-expanded") && event.target.classList.contains("label")) {
      fold(item, item.getAttribute("aria-expanded") !== "true");
      say(item.getAttribute("aria-expanded") === "true" ? "Opened." : "Closed.");
    }
  });
}
