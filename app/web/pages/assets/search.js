// Search as you type: fields become comboboxes (https://www.w3.org/WAI/ARIA/apg/patterns/combobox/), and "/" leads to the one in the header.
import { address, json, plain } from "./request.js";

const WAIT_MS = 120;
const MOST = 8;

let number = 0;

/** An element with a text. */
function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = plain(text);
  return made;
}

export class Combobox {
  constructor(input) {
    number += 1;
    this.input = input;
    this.list = element("ul", "options");
    this.list.id = `options-${number}`;
    this.list.hidden = true;
    this.status = element("span", "unseen");
    this.options = [];
    this.active = -1;
    for (const [name, value] of [["role", "listbox"], ["aria-label", "Results"]]) {
      this.list.setAttribute(name, value);
    }
    this.status.setAttribute("role", "status");
    for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", this.list.id], ["aria-autocomplete", "list"]]) {
      input.setAttribute(name, value);
    }
    input.closest("form").append(this.list, this.status);
    input.addEventListener("input", () => this.wait());
    input.addEventListener("keydown", (event) => this.press(event));
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) {
        location.assign(option.dataset.address);
      }
    });
  }

  /** Search once no more keys come; what was asked before does not matter any more. */
  wait() {
    clearTimeout(this.timer);
    this.asking?.abort();
    if (this.input.value.trim() === "") {
      this.close();
    } else {
      this.timer = setTimeout(() => this.search(), WAIT_MS);
    }
  }

  async search() {
    this.asking = new AbortController();
    const { connection } = this.input.dataset;
    try {
      const found = await json(address("/api/metadata/search", { q: this.input.value, limit: MOST, connection }), this.asking.signal);
      this.show(found.items);
    } catch (error) {
      // Half of a filter is no query yet, and the form works without this list.
      if (error.name !== "AbortError") {
        this.close();
      }
    }
  }

  show(items) {
    if (document.activeElement !== this.input) {
      return;
    }
    this.options = items.map((item, place) => {
      const option = element("li", "");
      option.id = `${this.list.id}-${place}`;
      option.setAttribute("role", "option");
      option.dataset.address = this.address(item);
      const sign = element("span", "sign");
      sign.dataset.kind = item.resource_type;
      sign.setAttribute("aria-hidden", "true");
      const name = item.column ? `${item.name}.${item.column}` : item.name;
      option.append(sign, element("span", "name", name), element("span", "note", ` ${item.resource_type.replace("_", " ")} in ${item.repository}`));
      return option;
    });
    this.list.replaceChildren(...this.options);
    this.list.hidden = items.length === 0;
    this.input.setAttribute("aria-expanded", String(items.length > 0));
    this.status.textContent = items.length === 0 ? "No results" : `${items.length} results, use the arrow keys`;
    this.mark(-1);
  }

  address(item) {
    const path = `/connections/${item.connection_id}`;
    return this.input.dataset.leadsTo === "lineage"
      ? address(`${path}/lineage`, { node: item.unique_id, column: item.column })
      : address(`${path}/nodes/${encodeURIComponent(item.unique_id)}`);
  }

  mark(place) {
    this.active = place;
    for (const [other, option] of this.options.entries()) {
      option.setAttribute("aria-selected", String(other === place));
    }
    const chosen = this.options[place];
    if (chosen) {
      this.input.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  press(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && !this.list.hidden) {
      event.preventDefault();
      this.close();
    } else if (steps && !this.list.hidden) {
      event.preventDefault();
      // One of the places is the field itself.
      const places = this.options.length + 1;
      this.mark(((this.active + 1 + steps + places) % places) - 1);
    } else if (event.key === "Enter" && this.active >= 0) {
      event.preventDefault();
      location.assign(this.options[this.active].dataset.address);
    }
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.options = [];
    this.list.hidden = true;
    this.list.replaceChildren();
    this.status.textContent = "";
    this.input.setAttribute("aria-expanded", "false");
    this.mark(-1);
  }
}

for (const input of document.querySelectorAll("#site-search[data-live], input[data-leads-to]")) {
  new Combobox(input);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  const field = document.getElementById("site-search");
  if (event.key === "/" && field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});
