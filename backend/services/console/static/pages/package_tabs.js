// Navigation between the screens of packages.

import { t } from "../lib/i18n.js";
import { can } from "../model/session.js";
import { tabLinks } from "../ui/tab_links.js";

export const packageTabs = () =>
  tabLinks(t("packages"), [
    ["/packages", t("packageList")],
    ["/packages/map", t("packageMap")],
    ["/packages/dashboard", t("packageDashboard")],
    ...(can("packages:write") ? [["/packages/import", t("packageImport")], ["/packages/webhooks", t("packageWebhooks")]] : []),
  ]);
