// Updates the page of a running extraction: each event carries the changing part as HTML.
const part = document.getElementById("extraction");
const events = part.dataset.events && new EventSource(part.dataset.events);
if (events) {
  const show = (event) => {
    // What had the focus has it again afterwards, if it is still there: the same link, or the button of the same form.
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const name = active?.getAttribute("href") || active?.form?.getAttribute("action");
    part.innerHTML = event.data;
    if (name) {
      const again = [...part.querySelectorAll("a, form")].find((one) => [one.getAttribute("href"), one.getAttribute("action")].includes(name));
      (again?.matches("form") ? again.querySelector("button") : again)?.focus();
    }
  };
  events.addEventListener("progress", show);
  events.addEventListener("error", () => {
    // Refused, such as by a server that stops: the browser does not try again by itself.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(() => location.reload(), 10000);
    }
  });
  events.addEventListener("end", (event) => {
    events.close();
    show(event);
  });
}
