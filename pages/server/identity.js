// A random token in the browser's storage. After a reload it still gives a learner the right to stop their own runs.
const NAME = "distill-lab-owner";
const FORMAT = /^[0-9a-f]{32}$/;

let unstored; // where the browser stores nothing, the token lives as long as the page

function read() {
  try { return localStorage.getItem(NAME) ?? unstored; } catch { return unstored; }
}

function owner() {
  if (!FORMAT.test(read() ?? "")) {
    unstored = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    try { localStorage.setItem(NAME, unstored); } catch { /* cookies and storage are blocked */ }
  }
  return FORMAT.test(read() ?? "") ? read() : unstored;
}

export default function ({ data, setStateValue }) {
  const token = owner();
  if (data.known !== token) setStateValue("token", token);
}
