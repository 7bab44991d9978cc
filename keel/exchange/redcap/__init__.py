"""REDCap: its data dictionary (`dictionary`) and its data (`data`), both ways."""
