// The studio's API: JSON in and out; an answer that is no success is thrown as its sentence.

class Refused extends Error {}

export async function call(path, { method = "GET", json, body, signal } = {}) {
  const headers = json === undefined ? {} : { "content-type": "application/json" };
  const payload = json === undefined ? body : JSON.stringify(json);
  const answer = await fetch(`/api${path}`, { method, headers, body: payload, signal });
  if (answer.ok) return answer;
  let sentence = `The studio answered ${answer.status}.`;
  try {
    sentence = (await answer.json()).detail;
  } catch {
    // an answer without JSON keeps the sentence above
  }
  throw new Refused(sentence);
}

export const get = async (path, options) => (await call(path, options)).json();
export const post = async (path, json) => (await call(path, { method: "POST", json })).json();
// Files and words of a form; an upload that breaks off has no sentence of the studio's.
export async function upload(path, form) {
  try {
    return await (await call(path, { method: "POST", body: form })).json();
  } catch (problem) {
    throw problem instanceof Refused ? problem : new Error("The upload did not succeed; is the studio still running?");
  }
}

// Events of a job or a run until the page lets go: each is an object; returns the function that ends it.
export function events(path, onevent, onerror = () => {}) {
  const source = new EventSource(`/api${path}`);
  source.onmessage = (message) => onevent(JSON.parse(message.data));
  source.onerror = onerror;
  return () => source.close();
}

// Follow a job to its end: `onstate` hears of each change; the answer is the last state, a failure is thrown.
// The function that lets go of it earlier is added to `ends`.
export function follow(id, onstate, ends) {
  return new Promise((resolve, reject) => {
    const end = events(`/jobs/${id}/events`, (now) => {
      onstate(now);
      if (!["done", "failed", "cancelled"].includes(now.status)) return;
      end();
      if (now.status === "failed") reject(new Refused(now.problem));
      else resolve(now);
    });
    ends.push(end);
  });
}

// Let go of whatever a screen listens to.
export function letGo(ends) {
  for (const end of ends) end();
}

export function socket(path) {
  const address = new URL(`/api${path}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const channel = new WebSocket(address);
  channel.binaryType = "arraybuffer";
  return channel;
}

// Save bytes that the page or the API made as a file of the person's.
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
