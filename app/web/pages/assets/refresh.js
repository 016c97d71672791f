// Keeps a part of a page current while somebody looks at it: `<div data-refresh="ADDRESS">`, until it contains `data-final`.
const EVERY_MS = 5000;
const part = document.querySelector("[data-refresh]");
const state = document.getElementById("state");
const pause = document.getElementById("pause");
let timer = 0;
let paused = false;

/** The place of the focus and of what was scrolled sideways, which survive an update. */
function place() {
  const links = [...part.querySelectorAll("a, [tabindex]")];
  const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  return { focus: links.indexOf(document.activeElement), href: document.activeElement?.getAttribute("href"), scrolled };
}

function restore({ focus, href, scrolled }) {
  part.querySelectorAll(".scroll").forEach((one, index) => {
    one.scrollLeft = scrolled[index] || 0;
  });
  if (focus >= 0) {
    const links = [...part.querySelectorAll("a, [tabindex]")];
    (links.find((one) => href && one.getAttribute("href") === href) || links[Math.min(focus, links.length - 1)])?.focus({ preventScroll: true });
  }
}

async function update() {
  clearTimeout(timer);
  if (paused || document.visibilityState !== "visible" || part.querySelector("[data-final]")) {
    return;
  }
  try {
    const response = await fetch(part.dataset.refresh, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (response.type === "opaqueredirect" || response.status === 401 || response.status === 404) {
      location.reload(); // the session has ended: through the sign-in and back
      return;
    }
    if (!response.ok) {
      throw new Error(`status ${response.status}`);
    }
    const text = await response.text();
    if (!paused && !part.contains(getSelection()?.isCollapsed === false ? getSelection().anchorNode : null)) {
      const before = place();
      part.innerHTML = text;
      restore(before);
    }
    say("");
  } catch {
    say("This is not current: the service does not answer. Trying again.");
  }
  timer = setTimeout(update, EVERY_MS);
}

function say(text) {
  if (state.textContent !== text) {
    state.textContent = text;
  }
}

if (pause) {
  pause.hidden = false;
}
pause?.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Resume updates" : "Pause updates";
  update();
});
document.addEventListener("visibilitychange", update);
timer = setTimeout(update, EVERY_MS);
