// The server's API, as the pages use it.

const TOKEN = "rillcast.token";

/** An answer that is an error: the problem's words, and its status. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The admin token that was entered in this tab, if one was. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (text) => sessionStorage.setItem(TOKEN, text),
  clear: () => sessionStorage.removeItem(TOKEN),
};

/** The path of a stream below `root`; its name may hold any letter. */
export function streamPath(root, key) {
  return `${root}/${key.split("/").map(encodeURIComponent).join("/")}`;
}

async function call(method, path) {
  const headers = { accept: "application/json" };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(8000) });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, problem.detail ?? `The server answered ${answer.status}.`);
  }
  if (answer.status === 204) return null;
  return answer.json().catch(() => { throw new ApiError(0, "The server's answer was cut off."); });
}

export const streams = () => call("GET", "/api/v1/streams");
export const stream = (key) => call("GET", streamPath("/api/v1/streams", key));
export const kick = (key) => call("DELETE", streamPath("/api/v1/streams", key));
export const plugins = () => call("GET", "/api/v1/plugins");
export const version = () => call("GET", "/api/v1/version");
