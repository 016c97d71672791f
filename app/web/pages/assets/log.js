// dbt's log below an extraction, loaded when it is opened, and again while the extraction runs.
const AGAIN_MS = 2000;
const MOST = 400_000;

for (const part of document.querySelectorAll("details[data-log]")) {
  const shown = document.createElement("pre");
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", "dbt's log");
  let begun = false;
  const load = async () => {
    const response = await fetch(part.dataset.log, { headers: { Accept: "text/plain" } });
    const text = response.ok ? await response.text() : "There is no log: dbt has not run, or the log was deleted because of its age.";
    const atEnd = shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 4;
    shown.textContent = text.length > MOST ? `…\n${text.slice(-MOST)}` : text || "(empty)";
    if (atEnd) {
      shown.scrollTop = shown.scrollHeight;
    }
    if (part.open && document.querySelector("#extraction [data-live]")) {
      setTimeout(() => load().catch(() => {}), AGAIN_MS);
    }
  };
  part.addEventListener("toggle", () => {
    if (part.open && !begun) {
      begun = true;
      part.querySelector(".without-script")?.replaceWith(shown);
      load().catch(() => (shown.textContent = "The log could not be loaded. Reload the page to try again."));
    }
  });
}
