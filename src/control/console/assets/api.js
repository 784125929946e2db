// Talks to the admin API of the process that served this page, and to nobody else.

const TOKEN = "limpet-token";

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(status, problem, etag) {
    super(problem?.detail || problem?.title || `the server answered ${status}`);
    this.status = status;
    this.problems = problem?.problems ?? [];
    this.etag = etag;
  }
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

async function request(method, path, body, etag) {
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (method !== "GET") {
    headers["X-Limpet-Request"] = "1";
    headers["X-Limpet-Actor"] = "console";
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (etag) headers["If-Match"] = etag;
  }
  let response;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "same-origin", redirect: "error",
      signal: AbortSignal.timeout(method === "GET" ? 10_000 : 60_000),
    });
  } catch (cause) {
    throw new ApiError(0, { detail: cause.name === "TimeoutError" ? "limpet did not answer in time." : "limpet cannot be reached." });
  }
  const seen = response.headers.get("ETag");
  const text = await response.text().catch(() => "");
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status || 0, { detail: `The answer was not understood (status ${response.status}).` });
  }
  if (!response.ok) throw new ApiError(response.status, data, seen);
  return { data, etag: seen };
}

/** {data, etag} */
export function get(path) {
  return request("GET", path);
}

/** A write; `etag` is the version that the operator saw, where there is one. */
export async function write(method, path, body, etag) {
  return (await request(method, path, body, etag)).data;
}

/** `at("groups", name, "targets")`: each segment escaped. */
export function at(...segments) {
  return `/v1/${segments.map(encodeURIComponent).join("/")}`;
}
