// Navigation between the screens of the library: documents, collections, search.

import { t } from "../lib/i18n.js";
import { tabLinks } from "../ui/tab_links.js";

export const libraryTabs = () =>
  tabLinks(t("library"), [
    ["/documents", t("documents")],
    ["/collections", t("collections")],
    ["/search", t("searchTest")],
  ]);
