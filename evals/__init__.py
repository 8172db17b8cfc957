"""The examiner: scores finished decisions; its scores never reach the investigator."""
