// Dialogs that create and change packages, and add events.

import { t } from "../lib/i18n.js";
import { navigate } from "../lib/router.js";
import { EVENT_CODES, REASONS, addEvent, createPackage, deletePackage, updatePackage } from "../model/packages.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { getCarrierName, getEventName, getReason } from "./package_labels.js";

// An IATA code or an UN/LOCODE.
const PLACE_CODE = /^(?:[A-Z]{3}|[A-Z]{2}[A-Z2-9]{3})$/;
const COORDINATES = /^(-?\d{1,2}(?:\.\d+)?)\s*[,;]\s*(-?\d{1,3}(?:\.\d+)?)$/;

/** Create a package. Resolves to it, or to null. */
export function createPackageDialog(values = {}) {
  let candidates = null;
  const submit = async (fields) => {
    try {
      return await createPackage(toFields(fields, {}));
    } catch (error) {
      candidates = error.code === "carrier_unknown" ? error.errors.map(({ carrier }) => carrier).filter(Boolean) : null;
      if (!candidates?.length) throw withoutPointer(error);
      return { candidates, fields };
    }
  };
  return openFormDialog({ title: t("addPackage"), action: t("addPackage"), fields: [numberField(values), carrierField(values), ...commonFields(values)], submit }).then((result) =>
    result?.candidates ? chooseCarrier(result) : result,
  );
}

/** The error of an unknown carrier points to a field, with no more text than "No candidates." */
function withoutPointer(error) {
  if (error.code === "carrier_unknown") error.errors = [];
  return error;
}

/** Let the user choose one of the carriers that have numbers of this form. */
function chooseCarrier({ candidates, fields }) {
  return openFormDialog({
    title: t("chooseCarrier"),
    text: t("chooseCarrierText", fields.tracking_number),
    action: t("addPackage"),
    fields: [{ name: "carrier", label: t("carrier"), type: "select", value: candidates[0], options: candidates.map((each) => [each, getCarrierName(each)]) }],
    submit: ({ carrier }) => createPackage(toFields({ ...fields, carrier }, {})),
  });
}

/** Change a package. Resolves to it, or to null. */
export function editPackageDialog(shown) {
  const submit = (values) => {
    const changes = toFields(values, shown);
    return Object.keys(changes).length ? updatePackage(shown, changes) : Promise.resolve(true);
  };
  return openFormDialog({ title: t("editPackage", shown.tracking_number), fields: commonFields(shown), submit });
}

/** Add an event to a package. Resolves to the package with it, or to null. */
export async function addEventDialog(shown) {
  const options = EVENT_CODES.map((code) => [code, getEventName(code)]);
  const submit = ({ code, occurred_at: time, place, country, reason, detail }) => {
    const location = toPlace(place, country);
    return addEvent(shown.id, { code, occurred_at: toTime(time), ...(location ? { location } : {}), ...(reason ? { reason } : {}), ...(detail ? { detail } : {}) });
  };
  const result = await openFormDialog({
    title: t("addEventTo", shown.tracking_number),
    action: t("addEvent"),
    fields: [
      { name: "code", label: t("eventKind"), type: "select", value: "arrived", options },
      { name: "occurred_at", label: t("eventTime"), type: "datetime-local", value: toLocal(new Date()), isRequired: true, hint: t("eventTimeHint") },
      { name: "place", label: t("eventPlace"), hint: t("placeHint") },
      { name: "country", label: t("country"), maxlength: 2, hint: t("countryHint") },
      { name: "reason", label: t("reason"), type: "select", options: [["", "–"], ...REASONS.map((each) => [each, getReason(each)])] },
      { name: "detail", label: t("eventDetail"), type: "textarea", maxlength: 2000 },
    ],
    submit,
  });
  if (result?.duplicates) showNotice(t("eventKnown"));
  return result?.package ?? null;
}

/** Delete a package after a confirmation, and return to the list. */
export async function deleteShownPackage(shown) {
  if (!(await confirmAction({ title: t("deletePackage", shown.tracking_number), text: t("deletePackagesText"), action: t("delete"), isDanger: true }))) return;
  const isDeleted = await reportErrors(deletePackage(shown).then(() => true));
  if (isDeleted) navigate("/packages", { replace: true });
}

const numberField = ({ tracking_number: value }) => ({ name: "tracking_number", label: t("trackingNumber"), value, isRequired: true, maxlength: 160 });
const carrierField = ({ carrier: value }) => ({ name: "carrier", label: t("carrier"), value, maxlength: 40, hint: t("carrierHint") });

function commonFields({ reference, service, origin, destination, weight_g: weight, shipped_at: shipped, promised_at: promised, tags = [] }) {
  return [
    { name: "reference", label: t("reference"), value: reference ?? "", maxlength: 128 },
    { name: "origin", label: t("origin"), value: placeToText(origin), hint: t("placeHint") },
    { name: "origin_country", label: t("originCountry"), value: origin?.country ?? "", maxlength: 2, hint: t("countryHint") },
    { name: "destination", label: t("destination"), value: placeToText(destination), hint: t("placeHint") },
    { name: "destination_country", label: t("destinationCountry"), value: destination?.country ?? "", maxlength: 2, hint: t("countryHint") },
    { name: "shipped_at", label: t("shippedAt"), type: "datetime-local", value: toLocal(shipped) },
    { name: "promised_at", label: t("promisedAt"), type: "datetime-local", value: toLocal(promised) },
    { name: "service", label: t("service"), value: service ?? "", maxlength: 64 },
    { name: "weight_g", label: t("weightGrams"), type: "number", value: weight ?? "" },
    { name: "tags", label: t("tags"), value: tags.join(", "), maxlength: 2000, hint: t("tagsHint") },
  ];
}

/** Return the fields of a request: those that differ from *before*. */
function toFields(values, before) {
  const fields = {
    tracking_number: values.tracking_number || undefined,
    carrier: values.carrier || undefined,
    reference: values.reference || null,
    service: values.service || null,
    weight_g: values.weight_g ? Number(values.weight_g) : null,
    shipped_at: changedTime(values.shipped_at, before.shipped_at),
    promised_at: changedTime(values.promised_at, before.promised_at),
    tags: values.tags.split(",").map((tag) => tag.trim()).filter(Boolean),
    origin: changedPlace(values.origin, values.origin_country, before.origin),
    destination: changedPlace(values.destination, values.destination_country, before.destination),
  };
  const isChanged = ([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(before[name] ?? (name === "tags" ? [] : null));
  return Object.fromEntries(Object.entries(fields).filter(isChanged));
}

/** Inputs have minutes only: a time that was not changed keeps its seconds. */
const changedTime = (text, before) => (text === toLocal(before) ? before : text ? toTime(text) : null);

/** A place that was not changed keeps the fields that the form does not show. */
function changedPlace(text, country, before) {
  const isSame = text === placeToText(before) && country.toUpperCase() === (before?.country ?? "");
  return isSame ? (before ?? null) : toPlace(text, country);
}

function placeToText(place) {
  if (!place) return "";
  return place.code ?? place.name ?? (place.lat === undefined || place.lat === null ? (place.postal_code ?? "") : `${place.lat}, ${place.lon}`);
}

/** Read a code, coordinates or a name. Returns null without any. */
export function toPlace(text, country) {
  const place = {};
  const coordinates = COORDINATES.exec(text);
  if (coordinates) Object.assign(place, { lat: Number(coordinates[1]), lon: Number(coordinates[2]) });
  else if (PLACE_CODE.test(text)) place.code = text;
  else if (text) place.name = text;
  if (country) place.country = country.toUpperCase();
  return Object.keys(place).length ? place : null;
}

const toTime = (local) => new Date(local).toISOString();

/** Return a time as an input of type datetime-local has it, or "". */
function toLocal(time) {
  if (!time) return "";
  const date = new Date(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
