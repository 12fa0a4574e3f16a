// Entry of the console. The browser loads it after the page; see ../domain/assets.py.

document.body.textContent = "AI Agent System";
