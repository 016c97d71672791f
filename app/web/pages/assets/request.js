// Requests to this service's own API.
const root = document.body.dataset.root || "";

const TRICKS = /[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A text on one line, without the characters that hide or reorder text. */
export const plain = (text) => text.replace(TRICKS, "");

/** An answer that says what went wrong: RFC 9457, with the `candidates` of ours. */
export class Problem extends Error {
  constructor(status, document) {
    super((document.detail || `The service answered with status ${status}.`).replace(/^`\w+`: |\s*`candidates` lists similar ones\.$/g, ""));
    this.candidates = document.candidates || [];
    this.field = document.field;
    this.status = status;
  }
}

/** The address of a path of this service, with query parameters; lists are repeated, what is empty is left out. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") {
        query.append(name, one);
      }
    }
  }
  const text = query.toString();
  return root + path + (text && `?${text}`);
}

/** The JSON at an address. Throws Problem, or AbortError if `signal` says so. */
export async function json(url, signal) {
  const response = await fetch(url, { headers: { Accept: "application/json" }, signal });
  if (response.ok) {
    return response.json();
  }
  throw new Problem(response.status, await response.json().catch(() => ({})));
}

/** The document at an address of a page. One that leads elsewhere, such as to GitHub's sign-in, is a Problem. */
export async function page(url, signal) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, redirect: "manual", signal });
  if (!response.ok) {
    throw new Problem(response.status, response.type === "opaqueredirect" ? { detail: "Reload the page to sign in again." } : {});
  }
  return new DOMParser().parseFromString(await response.text(), "text/html");
}
