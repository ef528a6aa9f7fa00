"""A model's training for the time left, its averaged weights written out as it goes."""

from pathlib import Path

from given import Given, given, tell
from results import AVERAGE, LAST, RUN_FILES, write_weights
from training import figures, train

EVERY_S = 30.0
START_S = 25.0
"""What libraries, cohort and the first steps take."""

VALIDATION_S = 30.0
GUESSED_RATES = {"t1_to_flair": 5.0, "brain": 4.0}


def main() -> None:
    """A row for each checkpoint that is written out."""
    arguments = given()
    run = arguments.scratch / "run"
    of_speed = arguments.rate if arguments.trained == "t1_to_flair" else 0.0
    rate = of_speed or GUESSED_RATES[arguments.trained]
    # The learning rate falls to its end with the last step, so these must fit.
    seconds = max(arguments.left - START_S - VALIDATION_S, 1.0)
    steps = 12 if arguments.small else max(20, int(0.92 * rate * seconds))
    often = max(4 if arguments.small else 10, int(rate * EVERY_S))
    settings = {"steps": steps, "validate_every": steps, "checkpoint_every": often}
    copied = Copied(arguments, run)
    settings = arguments.training | settings
    code = train(arguments, run, settings, 6.0, copied.newest, arguments.config)
    for name in ("psnr", "ssim", "reconstruction_psnr", "ms_ssim_samples"):
        for step, value in figures(run, f"calibration/{name}")[-1:]:
            tell(step=step, **{name: value})
    if not copied.step:
        raise SystemExit(f"no checkpoint was written; training ended with {code}")


class Copied:
    """Writes each new checkpoint of a run to OUT."""

    def __init__(self, arguments: Given, run: Path) -> None:
        self.arguments, self.run = arguments, run
        self.seen = 0.0
        self.step = 0

    def newest(self) -> None:
        """Copy the last checkpoint if it is a new one."""
        from hagan_clinic.training.run_folder import read_state

        state = self.run / LAST / "state.json"
        try:
            written = state.stat().st_mtime
            if written == self.seen:
                return
            content = (self.run / AVERAGE).read_bytes()
            files = {name: (self.run / name).read_text("utf-8") for name in RUN_FILES}
            self.step = int(read_state(self.run / LAST)["step"])
        except FileNotFoundError:
            return  # none yet, or one takes the place of another just now
        self.seen = written
        weights = write_weights(self.arguments.out, content)
        tell(run=files, weights=weights)
        losses = {
            name: value
            for name in ("high", "structure", "reconstruction", "discriminator")
            for _, value in figures(self.run, f"train/{name}")[-1:]
        }
        seconds = round(self.arguments.seconds - self.arguments.left)
        tell(step=self.step, parts=weights["parts"], seconds=seconds, **losses)


if __name__ == "__main__":
    main()
