// Shows the results of a form while it is filled in: `<form data-filters="results">` replaces the element with that id.
import { page } from "./request.js";

const WAIT_MS = 150;

for (const form of document.querySelectorAll("[data-filters]")) {
  const { filters } = form.dataset;
  let waiting = 0;
  let running = new AbortController();
  const update = async () => {
    running.abort();
    running = new AbortController();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const url = `${location.pathname}?${query}`;
    try {
      const found = await page(url, running.signal);
      document.getElementById(filters).replaceWith(found.getElementById(filters));
      history.replaceState(null, "", url);
    } catch (error) {
      if (error.name !== "AbortError") {
        form.submit();
      }
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, WAIT_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    update();
  });
}
