// Keeps the page of a running extraction current: each event brings the changing part anew.
const part = document.getElementById("extraction");
const events = part.dataset.events && new EventSource(part.dataset.events);
if (events) {
  const show = (event) => {
    part.innerHTML = event.data;
  };
  events.addEventListener("progress", show);
  events.addEventListener("end", (event) => {
    events.close();
    show(event);
  });
}
