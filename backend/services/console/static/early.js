// Runs before the first paint, while the modules are loaded: sets the theme, and for a signed-in user
// shows the frame of the shell and requests the account. A classic script, because modules wait.

try {
  const { theme, has_session: hasSession } = window.localStorage;
  if (theme) document.documentElement.dataset.theme = theme;
  if (hasSession) {
    document.documentElement.classList.add("has-session");
    // model/session.js reads the response.
    window.earlyAccount = fetch("/auth/me", { headers: { "X-Requested-With": "console" } });
    window.earlyAccount.catch(() => {});
  }
} catch {
  // Storage is blocked.
}
