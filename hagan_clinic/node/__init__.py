"""The DICOM node: receives series, translates them, sends the results, and loses nothing."""
