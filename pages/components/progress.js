// The guesses of finished lessons in the browser's storage: {lesson: guess}.
const NAME = "distill-lab-lessons";

let unstored = {}; // where the browser stores nothing, they live as long as the page

function read() {
  try {
    const found = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch { return unstored; }
}

export default function ({ data, setStateValue }) {
  const guesses = { ...read(), ...data.new };
  unstored = guesses;
  try { localStorage.setItem(NAME, JSON.stringify(guesses)); } catch { /* storage is blocked or full */ }
  const text = JSON.stringify(guesses);
  if (text !== (globalThis.distillLessonsSent ?? "{}")) { // the page begins with none: sending none would only run it again
    globalThis.distillLessonsSent = text;
    setStateValue("guesses", guesses);
  }
}
