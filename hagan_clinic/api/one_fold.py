"""One fold of a cross-validation: trained and evaluated here, or in a process that a worker starts.

A worker's own process may have no children, which read volumes for a training, and what trained in
it would hold its memory. So a worker starts this module as a program, which ends when it is done,
or when the worker does.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hagan_clinic.api.evaluating import Kind, evaluate
from hagan_clinic.cluster import asked_to_stop, own_threads
from hagan_clinic.errors import (
    DeviceError,
    HaganClinicError,
    InputError,
    ModelError,
    OutputError,
)
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import config_from_dict
from hagan_clinic.training.run import run_training

EVALUATION = "evaluation"
LOG = "log.txt"
PARTS, SEED = 2, 0
"""Of `evaluate synthesis`, of few patients: the smallest folds that a distance is defined on."""

_STOPPED, _KILLED = 130, -9
_LOOK_SECONDS = 0.5
_ERRORS = {error.exit_code: error for error in (InputError, ModelError, DeviceError, OutputError)}


@dataclass(frozen=True)
class Fold:
    """A fold to do.

    Attributes:
        number: From 1.
        base: The folder that relative paths begin at.
        place: Its folder.
        run: Its run folder.
        settings: Of its training, with its split.
        kinds: Its evaluations.
        init: As of `train`.
        cache: As of `train`.
    """

    number: int
    base: Path
    place: Path
    run: Path
    settings: TrainingConfig
    kinds: tuple[Kind, ...]
    init: str | None
    cache: Path

    @property
    def is_done(self) -> bool:
        """Whether it has been evaluated."""
        return is_evaluated(self.place, self.kinds)

    def do(self, say: Callable[[str], None]) -> None:
        """Train it, or resume its training, and evaluate its model on the patients it holds out.

        Raises:
            HaganClinicError: As `run_training` and `evaluate`.
        """
        run_training(self.settings, self.run, init=self.init, cache=self.cache, say=say)
        (self.place / EVALUATION).mkdir(exist_ok=True)
        for kind in self.kinds:
            if not is_evaluated(self.place, [kind]):
                self._evaluate(kind, say)

    def _evaluate(self, kind: Kind, say: Callable[[str], None]) -> None:
        options: dict[str, Any] = {"folds": PARTS, "seed": SEED} if kind == "synthesis" else {}
        found = evaluate(
            self.run,
            self.settings.data,
            self.place / EVALUATION / kind,
            kind=kind,
            split=self.settings.split,
            mask=self.settings.mask or None,
            device=self.settings.device,
            overwrite=True,
            **options,
        )
        for warning in found.warnings:
            say(f"warning: {warning}")


def is_evaluated(place: Path, kinds: Sequence[str]) -> bool:
    """Whether the fold of a folder has been evaluated."""
    return all((place / EVALUATION / kind / f"{kind}.md").exists() for kind in kinds)


def do_in_own_process(fold: Fold) -> bool:
    """Do a fold in a worker; whether it was done, and not stopped after a checkpoint.

    Raises:
        HaganClinicError: As `Fold.do`; the fold's log has the whole.
    """
    if not fold.base.is_dir():
        raise InputError(
            f"{fold.base} is not on {platform.node()}: run the command in a folder that all "
            "machines share"
        )
    threads = str(own_threads())
    order = {**asdict(fold), "settings": fold.settings.to_json()}
    path = fold.base / fold.place / LOG
    with (
        path.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "hagan_clinic.api.one_fold"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            cwd=fold.base,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here
        ) as process,
    ):
        assert process.stdin is not None  # a pipe
        process.stdin.write(json.dumps(order, default=str) + "\n")
        process.stdin.flush()
        asked = False
        while process.poll() is None:
            if asked_to_stop() and not asked:
                _stop(process)
                asked = True
            try:
                process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    if process.returncode and not asked:
        raise _failure(process.returncode, path)
    return not process.returncode


def _stop(process: subprocess.Popen[str]) -> None:
    """Have a checkpoint saved; on Windows, which has no such signal, the last one has to do."""
    try:
        process.send_signal(signal.SIGINT)
    except ValueError:
        process.terminate()


def _failure(code: int, log: Path) -> HaganClinicError:
    """What a fold's process ended by, given its exit code, which is -9 for SIGKILL."""
    lines = log.read_text("utf-8").splitlines()
    last = f"{lines[-1] if lines else 'no output'} (more in {log})"
    if code in _ERRORS:
        return _ERRORS[code](last)
    if code == _KILLED:
        return DeviceError(
            "its process was killed by signal 9, as the system does where memory runs out; give "
            f"fewer --workers or a smaller --batch-size. Its last line: {last}"
        )
    how = f"ended by signal {-code}" if code < 0 else f"crashed with exit code {code}"
    return HaganClinicError(f"its process {how}. Its last line: {last}")


def _from_json(order: dict[str, Any]) -> Fold:
    paths = {name: Path(order[name]) for name in ("base", "place", "run", "cache")}
    settings = config_from_dict(json.loads(order["settings"]), "the fold's settings")
    return Fold(**{**order, **paths, "settings": settings, "kinds": tuple(order["kinds"])})


def _main() -> None:
    order = json.loads(sys.stdin.readline())
    # The pipe ends with the worker; another then does the fold, in the same folder.
    threading.Thread(target=lambda: sys.stdin.read() or os._exit(1), daemon=True).start()
    # Workers of one machine ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _from_json(order).do(lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    except HaganClinicError as error:
        print(f"{error}", flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main()
