// CSV (RFC 4180) that spreadsheet programs open without running formulas.

const NEEDS_QUOTES = /[",\r\n]/;
// A cell that starts with one of these is a formula for spreadsheet programs.
const FORMULA_START = /^[=+\-@\t\r]/;

/** Return *rows* of values as CSV. Null and undefined are empty cells. */
export const toCsv = (rows) => `\ufeff${rows.map((row) => row.map(toCell).join(",")).join("\r\n")}\r\n`;

function toCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA_START.test(value) ? `'${value}` : String(value);
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
