// Requests to this service's own API.
const root = document.body.dataset.root || "";

/** An answer that says what went wrong: RFC 9457, with the `candidates` of ours. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || `The service answered with status ${status}.`);
    this.candidates = document.candidates || [];
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

/** The document at an address of a page. */
export async function page(url, signal) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, signal });
  if (!response.ok) {
    throw new Problem(response.status, {});
  }
  return new DOMParser().parseFromString(await response.text(), "text/html");
}
