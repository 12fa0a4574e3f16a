// Splits files of lines into parts, so that each can be sent in a request of its own.
//
//   splitLines(text, 1000, { isCsv })    [{ text, offset, lines }]; each part of CSV has the header
//
// A line of a part has the number `offset + n` in the file, where n is its number in the part.

/** @returns {{text: string, offset: number, lines: number}[]} */
export function splitLines(text, size, { isCsv }) {
  const records = isCsv ? readRecords(text) : text.split("\n").map((line) => ({ text: line, lines: 1 }));
  if (records.at(-1)?.text === "") records.pop();
  const header = isCsv ? records.shift() : null;
  if (isCsv && !records.length) return [{ text, offset: 0, lines: 0 }];
  const parts = [];
  let line = header?.lines ?? 0;
  for (let start = 0; start < records.length; start += size) {
    const group = records.slice(start, start + size);
    const body = group.map((record) => record.text).join("\n");
    parts.push({ text: header ? `${header.text}\n${body}\n` : `${body}\n`, offset: line - (header?.lines ?? 0), lines: group.length });
    line += group.reduce((sum, record) => sum + record.lines, 0);
  }
  return parts;
}

/** Return the records of CSV: a quoted cell may contain line ends. */
function readRecords(text) {
  const records = [];
  let open = null;
  for (const line of text.split("\n")) {
    const record = open ? { text: `${open.text}\n${line}`, lines: open.lines + 1 } : { text: line, lines: 1 };
    // A quote inside a quoted cell is doubled, so that an open cell has an odd number.
    const isOpen = ((line.match(/"/g)?.length ?? 0) % 2 === 1) !== (open !== null);
    open = isOpen ? record : null;
    if (!isOpen) records.push(record);
  }
  if (open) records.push(open);
  return records;
}
