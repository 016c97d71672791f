// Buttons that copy the text of another element: `<button data-copy="ID" hidden>`, shown once this runs.
const SAID_MS = 2000;

async function copy(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  // Only secure contexts have a clipboard, and people also reach a service in their network by http.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done ? undefined : Promise.reject(new Error("refused"));
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const label = button.textContent;
  const source = document.getElementById(button.dataset.copy);
  button.hidden = !source;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try {
      await copy(source.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not allow it";
    }
    setTimeout(() => {
      button.textContent = label;
    }, SAID_MS);
  });
}
