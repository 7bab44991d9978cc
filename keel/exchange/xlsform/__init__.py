"""XLSForm: the spreadsheet of ODK, KoboToolbox and Enketo (`form`), both ways; `workbook` opens it with care."""
