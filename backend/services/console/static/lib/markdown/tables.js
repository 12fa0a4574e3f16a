// Tables of GitHub Flavored Markdown.

const DELIMITER_CELL = /^:?-+:?$/;
const MAX_COLUMNS = 64;

/** Return the cells of the table row *line*. `\|` is a bar inside a cell. */
export function splitRow(line) {
  const cells = [];
  let cell = "";
  const text = line.trim();
  for (let at = text[0] === "|" ? 1 : 0; at < text.length; at++) {
    if (text[at] === "\\" && text[at + 1] === "|") {
      cell += "|";
      at++;
    } else if (text[at] === "|") {
      cells.push(cell.trim());
      cell = "";
      if (at === text.length - 1) return cells;
    } else cell += text[at];
  }
  cells.push(cell.trim());
  return cells;
}

/** Return the alignment of each column if lines *at* and *at* + 1 start a table, else null. */
export function readTableHead(lines, at) {
  const [head, delimiters] = [lines[at], lines[at + 1]];
  if (delimiters === undefined || !delimiters.includes("-") || !(head + delimiters).includes("|")) return null;
  if (/^ {4}/.test(head) || /^ {4}/.test(delimiters)) return null;
  const cells = splitRow(delimiters);
  if (cells.length > MAX_COLUMNS || !cells.every((cell) => DELIMITER_CELL.test(cell))) return null;
  return splitRow(head).length === cells.length ? cells.map(alignment) : null;
}

function alignment(cell) {
  if (cell.endsWith(":")) return cell.startsWith(":") ? "center" : "end";
  return cell.startsWith(":") ? "start" : null;
}

/** Read the table at line *at*; *endsTable(line)* is true for a line that starts another block. */
export function readTable(lines, at, endsTable) {
  const align = readTableHead(lines, at);
  if (!align) return null;
  let end = at + 2;
  const rows = [];
  while (end < lines.length && lines[end].trim() && !endsTable(lines[end])) rows.push(fit(splitRow(lines[end++]), align.length));
  return { type: "table", align, head: splitRow(lines[at]), rows, start: at, end };
}

function fit(cells, length) {
  const row = cells.slice(0, length);
  while (row.length < length) row.push("");
  return row;
}
