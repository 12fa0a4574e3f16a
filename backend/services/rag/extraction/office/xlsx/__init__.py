"""Parser of XLSX files (SpreadsheetML)."""
