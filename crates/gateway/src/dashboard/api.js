// Requests to the gateway. The token is kept in this tab's session storage and nowhere else.

const KEY = "wellspring-token";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  read: () => sessionStorage.getItem(KEY),
  keep: (secret) => sessionStorage.setItem(KEY, secret),
  forget: () => sessionStorage.removeItem(KEY),
};

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (token.read()) headers["Wellspring-Token"] = token.read();
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The gateway cannot be reached.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const message = body?.error?.message ?? `The gateway answered ${response.status}.`;
  if (response.status === 401) document.dispatchEvent(new CustomEvent("token-needed"));
  throw new ApiError(response.status, message.charAt(0).toUpperCase() + message.slice(1));
}

export function get(path, parameters = {}, signal) {
  const search = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  return send(search.size ? `${path}?${search}` : path, { signal });
}

export const post = (path, body, signal) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });

/** Asks for confirmation before something is done that cannot be undone. */
export function confirmed(title, text, action) {
  const dialog = document.getElementById("confirm-dialog");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-yes").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
