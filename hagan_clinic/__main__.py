"""`python -m hagan_clinic` is `hagan-clinic`."""

from hagan_clinic.cli import main

main(prog_name="hagan-clinic")
