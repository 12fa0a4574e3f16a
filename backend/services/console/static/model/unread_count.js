// Number of unread notifications, for the menu; model/notifications.js keeps it up to date.

import { signal } from "../lib/reactive.js";

export const unreadCount = signal(0);
