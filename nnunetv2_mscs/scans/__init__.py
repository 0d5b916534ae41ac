"""One scan: ADC, DWI and further channels with a lesion mask on one grid - read, checked, harmonised, written."""
