"""DICOM series: found, checked, read and written."""
