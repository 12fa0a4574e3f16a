// Runs before the first paint, while the modules are loaded: sets the theme, and for a signed-in user
// shows the frame of the shell, with the field for questions at addresses of conversations, and requests
// the account. A classic script, because modules wait.

try {
  const { theme, has_session: hasSession } = window.localStorage;
  if (theme) document.documentElement.dataset.theme = theme;
  if (hasSession) {
    document.documentElement.classList.add("has-session");
    if (/^\/console\/?($|c\/)/.test(window.location.pathname)) {
      document.documentElement.classList.add("has-composer");
      document.addEventListener("keydown", completeEarlyText);
    }
    // model/session.js reads the response.
    window.earlyAccount = fetch("/auth/me", { headers: { "X-Requested-With": "console" } });
    window.earlyAccount.catch(() => {});
  }
} catch {
  // Storage is blocked.
}

/** Mark the text of the field as complete. pages/conversation.js keeps what is typed, and sends it if complete. */
function completeEarlyText(event) {
  const field = event.target;
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || !field.matches(".early-composer textarea")) return;
  // The Enter key of a touch screen adds a line.
  if (window.matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  field.readOnly = field.value.trim() !== "";
}
