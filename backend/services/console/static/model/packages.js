// Packages: requests, and a list that is loaded page by page and changes with the events of topics.

import * as api from "../lib/api.js";
import { locale } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { PagedList } from "./paged_list.js";

const PAGE_SIZE = 100;
const MAX_EVENTS = 1000;
const POLL_MS = 2000;
const MAX_POLLS = 60;
// More changed packages than this are loaded with the next events.
const MAX_REFRESHED = 8;

export const STATUSES = ["pre_transit", "in_transit", "out_for_delivery", "attempted", "available_for_pickup", "delivered", "returning", "returned", "exception", "cancelled", "expired"];
export const CLOSED = new Set(["delivered", "returned", "cancelled"]);
export const EVENT_CODES = [
  "announced", "picked_up", "accepted", "departed", "arrived", "customs_held", "customs_released", "out_for_delivery", "delivery_attempted", "available_for_pickup",
  "delivered", "exception", "delayed", "return_started", "returned", "cancelled", "expired", "lost", "note",
];
export const REASONS = ["damaged", "missorted", "address", "refused", "absent", "closed", "customs_documents", "customs_duties", "weather", "security", "capacity", "other"];
/** Parameters of a list; they have the same names in the address and in the API. */
export const FILTERS = ["q", "status", "carrier", "late", "origin", "destination", "tag", "created_since", "created_until", "eta_since", "eta_until", "sort"];
// The gateway serves these routes with this prefix only.
const AGENTS = "/api/v1/agents";
const TIMES = new Set(["created_since", "created_until", "eta_since", "eta_until"]);

const getPackagePath = (id) => `/packages/${encodeURIComponent(id)}`;
const ifMatch = ({ version }) => ({ headers: { "If-Match": `"${version}"` } });

export const getPackage = (id) => api.get(getPackagePath(id));
export const createPackage = (fields) => api.post("/packages", fields);
export const updatePackage = (shown, changes) => api.patch(getPackagePath(shown.id), changes, ifMatch(shown));
export const deletePackage = (shown) => api.remove(getPackagePath(shown.id));
export const addEvent = (id, event) => api.post(`${getPackagePath(id)}/events`, { events: [event] });
export const getStats = (days) => api.get("/packages/stats", { days });
export const getPositions = () => api.get("/packages/positions");
/** Texts of templates are in the language of the console. */
const inLocale = () => ({ headers: { "Accept-Language": locale.peek() } });
export const getInvestigations = (id) => api.get(`${AGENTS}/investigations/${encodeURIComponent(id)}`, {}, inLocale()).then(({ items }) => items);
export const getExportUrl = (format, filter) => api.withQuery("/packages/export", { ...filter, format });

/** Start the search of tours. The result has no tours yet, see getTour. */
export const startTour = (request) => api.post(`${AGENTS}/optimize/tour?wait=0`, request);
export const getTour = (id) => api.get(`${AGENTS}/tours/${encodeURIComponent(id)}`);

const INVESTIGATION_PATHS = { anomaly: "investigate/anomaly", delay: "investigate/delay", prediction: "predict", route: "optimize/route" };

/**
 * Investigate a package and return the result, which takes some seconds. The server completes the
 * investigation also after *isLeft* returns true, but no request waits for it any more.
 */
export async function investigate(id, kind, isLeft) {
  let found = await api.post(`${AGENTS}/${INVESTIGATION_PATHS[kind]}/${encodeURIComponent(id)}`, undefined, inLocale());
  for (let attempt = 0; isUnfinished(found) && attempt < MAX_POLLS; attempt++) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (isLeft()) break;
    found = (await getInvestigations(id)).find((each) => each.id === found.id) ?? found;
  }
  return found;
}

const isUnfinished = ({ state }) => state === "queued" || state === "running";

/** Return the events of a package, oldest first, at most 1000. */
export async function getEvents(id) {
  const events = [];
  for await (const event of api.getAllItems(`${getPackagePath(id)}/events`)) {
    events.push(event);
    if (events.length === MAX_EVENTS) break;
  }
  return events;
}

/** Return the filter of a query string: days of the address become times. */
export function readFilter(query) {
  const entries = FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value);
  return Object.fromEntries(entries.map(([name, value]) => [name, TIMES.has(name) ? toTime(name, value) : value]));
}

/** A day begins at midnight of the user's time zone; `…_until` includes the day. */
function toTime(name, day) {
  const time = new Date(`${day}T00:00`);
  if (Number.isNaN(time.getTime())) return "";
  if (name.endsWith("_until")) time.setDate(time.getDate() + 1);
  return time.toISOString();
}

/** The packages that match a filter. */
export class PackageList extends PagedList {
  /** Number of packages that were created since the list was loaded. */
  created = signal(0);
  #changed = new Set();

  constructor() {
    super("/packages", PAGE_SIZE);
  }

  async load(filter) {
    const isLoaded = await super.load(filter);
    if (isLoaded) {
      this.created.value = 0;
      this.#changed.clear();
    }
    return isLoaded;
  }

  reload() {
    return this.load(this.filter);
  }

  /** Show what has changed on the first page. The pages that were loaded stay. */
  async update() {
    const items = await this.readFirstPage();
    if (items === null) return;
    const versions = new Map((this.items.peek() ?? items).map(({ id, version }) => [id, version]));
    for (const item of items) if (versions.get(item.id) !== item.version) this.apply(item);
    this.created.value = Math.max(this.created.peek(), items.filter(({ id }) => !versions.has(id)).length);
  }

  /** Apply an event of the topic `packages`. Returns true if `refresh` has something to load. */
  applyEvent({ type, data }) {
    const id = data.package_id;
    if (type === "packages.created") this.created.value++;
    else if (type === "packages.deleted") this.drop(new Set([id]));
    else if (this.items.peek()?.some((each) => each.id === id)) this.#changed.add(id);
    return this.#changed.size > 0;
  }

  /** Load packages that have changed. Returns true if there are more. */
  async refresh() {
    const ids = [...this.#changed].slice(0, MAX_REFRESHED);
    for (const id of ids) this.#changed.delete(id);
    await Promise.all(
      ids.map(async (id) => {
        try {
          this.apply(await getPackage(id));
        } catch (error) {
          if (error.status === 404) this.drop(new Set([id]));
        }
      }),
    );
    return this.#changed.size > 0;
  }
}
