// Records of runs.

import { get } from "../lib/api.js";

/** Return the run *runId* of the session *sessionId* with its nodes. Raises ApiError or NetworkError. */
export const loadRun = (sessionId, runId) => get(`/agent/sessions/${encodeURIComponent(sessionId)}/runs/${encodeURIComponent(runId)}`);
