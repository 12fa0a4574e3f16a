// English texts of files that are being added.

import { plural } from "../lib/i18n.js";

export default {
  removeFromList: (name) => `Remove ${name} from the list`,
  filePassword: "Password of the file",
  stageWaiting: "Waiting",
  stageSending: (percent) => `Sending, ${percent}`,
  stageQueued: "Waiting for processing",
  stageExtracting: "Reading",
  stageExtractingPage: (page, pages) => `Reading page ${page} of ${pages}`,
  stageChunking: "Splitting into passages",
  stageEmbedding: "Indexing",
  stageIndexing: "Indexing",
  stageReady: "Ready",
  stageDuplicate: "Already added",
  stageFailed: "Failed",
  uploadError_empty_file: "The file is empty. Choose another file.",
  uploadError_too_large: "The file is too large. Split it, or ask an administrator to raise the limit.",
  uploadError_unsupported_document: "This file type is not supported. Convert the file to PDF, Office, HTML or text.",
  uploadError_unreadable_document: "The file is damaged or does not match its type. Save it again in its program, then add it.",
  uploadError_password_required: "The file is encrypted. Enter its password.",
  uploadError_wrong_password: "The password is wrong. Enter the password of the file.",
  uploadError_read_only: "You can read this collection, but not add documents. Choose another collection.",
  uploadError_queue_full: "Too many documents are waiting. Try again in a few minutes.",
  uploadError_no_text: "The file contains no text, and no text was recognised in its images. Add a version with text.",
  uploadError_too_slow: "Reading the file took too long. Split it into smaller files.",
  uploadError_too_complex: "The file is too complex. Save it in a simpler form, for example as PDF.",
  uploadError_too_much_text: "The file contains too much text. Split it into smaller files.",
  uploadError_encrypted_office: "This Office file is encrypted. Save it without a password, then add it.",
  retryInterrupted: (count) => plural(count, { one: "Send # interrupted file again", other: "Send # interrupted files again" }),
};
