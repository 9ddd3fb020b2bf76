// A random token in the browser's storage and, for the first run of the next page, in a cookie. After a reload it still gives
// a learner the right to stop their own runs.
const NAME = "distill-lab-owner";
const FORMAT = /^[0-9a-f]{32}$/;

let unstored; // where the browser stores nothing, the token lives as long as the page

function read() {
  try { return localStorage.getItem(NAME) ?? unstored; } catch { return unstored; }
}

function readCookie() { // from the server, with the first page
  return document.cookie.split("; ").find((one) => one.startsWith(`${NAME}=`))?.slice(NAME.length + 1) ?? "";
}

function owner() {
  if (!FORMAT.test(read() ?? "")) {
    const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    unstored = FORMAT.test(readCookie()) ? readCookie() : random();
    try { localStorage.setItem(NAME, unstored); } catch { /* cookies and storage are blocked */ }
  }
  return FORMAT.test(read() ?? "") ? read() : unstored;
}

export default function ({ data, setStateValue }) {
  const token = owner();
  if (readCookie() !== token) document.cookie = `${NAME}=${token}; path=/; max-age=31536000; samesite=lax`;
  if (data.known !== token) setStateValue("token", token);
}
