// A name that only this browser knows, so that after a reload a learner can still stop the run that is theirs.
const NAME = "distill-lab-owner";
const FORM = /^[0-9a-f]{32}$/;

let unkept; // where the browser keeps nothing, the token lives as long as the page

function read() {
  try { return localStorage.getItem(NAME) ?? unkept; } catch { return unkept; }
}

function owner() {
  if (!FORM.test(read() ?? "")) {
    unkept = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    try { localStorage.setItem(NAME, unkept); } catch { /* cookies and storage are blocked */ }
  }
  return FORM.test(read() ?? "") ? read() : unkept;
}

export default function ({ data, setStateValue }) {
  const token = owner();
  if (data.known !== token) setStateValue("token", token);
}
