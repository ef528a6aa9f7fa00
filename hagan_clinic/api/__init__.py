"""The Python API: what the commands of `hagan-clinic` do, as functions.

Import them from `hagan_clinic` itself, which loads no more than what is used.
"""
