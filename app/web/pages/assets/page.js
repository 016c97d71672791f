// Updates the page of a running extraction: each event carries the changing part as HTML.
const part = document.getElementById("extraction");
const events = part.dataset.events && new EventSource(part.dataset.events);
if (events) {
  const show = (event) => {
    part.innerHTML = event.data;
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
