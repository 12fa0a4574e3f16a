// The channels of chat, and their names.

import { t } from "../lib/i18n.js";

export const CHANNELS = ["web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"];

/** Return the name of a channel; of an unknown one, its identifier. */
export const getChannelName = (channel) => (CHANNELS.includes(channel) ? t(`historyChannel_${channel}`) : channel);
