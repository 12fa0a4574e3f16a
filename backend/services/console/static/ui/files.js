// Files that the user chooses or drops, also whole folders.
//
// Items are { file, path }: path is the folder path below the dropped folder, or "".

import { html } from "../lib/dom.js";

const MAX_FILES = 2000;

/** Let the user choose files, or a folder. Calls *onChoose* with items. */
export function chooseFiles(onChoose, { isFolder = false } = {}) {
  const input = html.input({ type: "file", multiple: true, webkitdirectory: isFolder, class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => {
    onChoose([...input.files].slice(0, MAX_FILES).map((file) => ({ file, path: getFolder(file.webkitRelativePath) })));
    input.remove();
  });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}

const getFolder = (path) => path.split("/").slice(0, -1).join("/");

/** Return the files of *entries* ({ entry, file }) of a paste or drop. Folders are read recursively. */
export async function readEntries(entries) {
  const items = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) await readFolder(entry, items);
    else if (file) items.push({ file, path: "" });
  }
  return items.slice(0, MAX_FILES);
}

async function readFolder(folder, items) {
  const reader = folder.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length || items.length >= MAX_FILES) return;
    for (const entry of entries) {
      if (entry.isDirectory) await readFolder(entry, items);
      else items.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: getFolder(entry.fullPath.slice(1)) });
    }
  }
}
