// Texts and formats of the selected language.
//
//   t("signIn")                          text by key; arguments go to texts that are functions
//   await setLocale("de")                load the texts, set lang and dir of the page
//   addBundledTexts("en", english)       texts that are not loaded, because they are loaded already
//   await loadTexts("admin")             add locale/{locale}_admin.js, also after a change of locale
//   formatNumber, formatBytes, formatDate, formatTime, formatDateTime, formatRelativeTime, formatDuration,
//   formatPercent
//   plural(count, { one: "# page", other: "# pages" })    for texts in locale/
//
// A text is read in the current locale: components that show `t(…)` are rendered again when `locale`
// changes, because the application is rendered again.

import { signal } from "./reactive.js";

/** Languages that a user can select: code and own name. */
export const LOCALES = [
  ["en", "English"],
  ["de", "Deutsch"],
];

// The pseudo-locale shows English texts in a right-to-left layout, for tests.
const PSEUDO_LOCALE = "pseudo";
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur", PSEUDO_LOCALE]);

export const locale = signal("en");

// Locales with locale/{locale}_api.js: texts for what the API has in English only.
const API_LOCALES = new Set(["de"]);

const bundledTexts = new Map();
const sections = new Set([""]);
let texts = {};
let apiTexts = {};
let formatLocale = "en";

/** Return the user's preferred language among the available ones. */
export function getPreferredLocale() {
  const codes = LOCALES.map(([code]) => code);
  return navigator.languages.map((tag) => tag.split("-")[0]).find((code) => codes.includes(code)) ?? "en";
}

/** Use *added* as the texts of the locale *code* instead of loading locale/{code}.js. */
export function addBundledTexts(code, added) {
  bundledTexts.set(code, added);
}

/** Load the texts of *code* and use them. */
export async function setLocale(code) {
  const known = code === PSEUDO_LOCALE || LOCALES.some(([each]) => each === code);
  const next = known ? code : "en";
  const [forApi, ...loaded] = await Promise.all([API_LOCALES.has(next) ? importTexts(next, "api") : {}, ...[...sections].map((section) => importTexts(next, section))]);
  texts = Object.assign({}, ...loaded);
  apiTexts = forApi;
  formatLocale = next === PSEUDO_LOCALE ? "en" : next;
  document.documentElement.lang = formatLocale;
  document.documentElement.dir = RIGHT_TO_LEFT.has(next) ? "rtl" : "ltr";
  locale.value = next;
}

/** Add the texts of a *section* that is loaded on demand. */
export async function loadTexts(section) {
  if (sections.has(section)) return;
  const loaded = await importTexts(locale.peek(), section);
  sections.add(section);
  texts = { ...texts, ...loaded };
}

async function importTexts(code, section) {
  const name = code === PSEUDO_LOCALE ? "en" : code;
  if (!section && bundledTexts.has(name)) return bundledTexts.get(name);
  return (await import(`../locale/${name}${section && `_${section}`}.js`)).default;
}

/** Return the text of *key*. A missing text shows its key. */
export function t(key, ...values) {
  const text = texts[key];
  if (typeof text === "function") return text(...values);
  return text ?? key;
}

/** Return the text for *key*, such as the code of an error, in place of an *english* one of the API. */
export function translateApiText(group, key, english) {
  const text = apiTexts[group]?.[key] ?? english;
  return typeof text === "function" ? text(english) : text;
}

/** Return the text for the error *detail* of a field. */
export function translateFieldError(detail) {
  for (const [pattern, translate] of apiTexts.fieldErrors ?? []) {
    const match = pattern.exec(detail);
    if (match) return translate(...match.slice(1));
  }
  return detail;
}

/** True if the current language has a text for *key*. */
export const hasText = (key) => key in texts;

/** Return the form for *count*, with # replaced by the formatted number. */
export function plural(count, forms) {
  const category = cached(Intl.PluralRules, {}).select(count);
  return (forms[category] ?? forms.other).replace("#", formatNumber(count));
}

const formatters = new Map();

function cached(Formatter, options) {
  const key = `${formatLocale} ${Formatter.name} ${JSON.stringify(options)}`;
  if (!formatters.has(key)) formatters.set(key, new Formatter(formatLocale, options));
  return formatters.get(key);
}

export const formatNumber = (value, options = {}) => cached(Intl.NumberFormat, options).format(value);
export const formatPercent = (fraction) => formatNumber(fraction, { style: "percent", maximumFractionDigits: 0 });
export const formatDate = (value) => cached(Intl.DateTimeFormat, { dateStyle: "medium" }).format(new Date(value));
export const formatTime = (value) => cached(Intl.DateTimeFormat, { timeStyle: "short" }).format(new Date(value));
export const formatShortDate = (value) => cached(Intl.DateTimeFormat, { day: "numeric", month: "short" }).format(new Date(value));
export const formatDateTime = (value) => cached(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));

/** Format a size in bytes with a decimal unit: "128 kB". */
export function formatBytes(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return formatNumber(value, { style: "unit", unit: units[power], maximumFractionDigits: power > 1 && value < 100 ? 1 : 0 });
}

/** Format milliseconds as seconds or minutes: "4.4 s" or "2 min". */
export function formatDuration(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds >= 90) return formatNumber(seconds / 60, { style: "unit", unit: "minute", maximumFractionDigits: 0 });
  return `${formatNumber(seconds, { maximumFractionDigits: 1 })}\u00a0s`;
}

const RELATIVE_UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
const MAX_RELATIVE_SECONDS = 7 * 86_400;

/** Format a time near now as "5 minutes ago", an older one as a date. */
export function formatRelativeTime(value) {
  const seconds = (new Date(value).getTime() - Date.now()) / 1000;
  if (Math.abs(seconds) >= MAX_RELATIVE_SECONDS) return formatDate(value);
  const [unit, length] = RELATIVE_UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const relative = cached(Intl.RelativeTimeFormat, { numeric: "auto" });
  return unit === "second" ? relative.format(0, "second") : relative.format(Math.round(seconds / length), unit);
}
