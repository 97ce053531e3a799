// Calls of the service. What goes wrong comes back as an Error whose message a person can read.

const KEY = "lookalike-key";

export class Unanswered extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

function send(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("X-API-Key", key);
  return fetch(path, { ...options, headers });
}

// A picture as a Blob, or null where there is none or the service is busy.
export async function fetchPicture(path) {
  try {
    const response = await send(path);
    return response.ok ? await response.blob() : null;
  } catch {
    return null;
  }
}

export async function call(path, options = {}) {
  let response;
  try {
    response = await send(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unanswered("The service does not answer. Is it still running?", 0);
  }
  if (response.status === 204) return null;
  let said = null;
  try {
    said = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && said) return said;
  const sentence = said && said.error ? said.error : `The service failed (${response.status}).`;
  throw new Unanswered(sentence.charAt(0).toUpperCase() + sentence.slice(1), response.status);
}

export function ask(question, file, signal) {
  if (!file) {
    const body = JSON.stringify(question);
    return call("/search", { method: "POST", body, headers: { "Content-Type": "application/json" }, signal });
  }
  const form = new FormData();
  for (const [name, value] of Object.entries(question)) form.append(name, String(value));
  form.append("image", file);
  return call("/search", { method: "POST", body: form, signal });
}

export function tell(feedback) {
  const body = JSON.stringify(feedback);
  return call("/feedback", { method: "POST", body, headers: { "Content-Type": "application/json" } });
}

// Hex, or null where the browser offers no digest (plain http from another machine).
export async function sha256(file) {
  if (!file || !crypto.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
