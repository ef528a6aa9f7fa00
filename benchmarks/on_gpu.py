"""Everything that a machine with a GPU is wanted for, in one command that ends in time.

    python benchmarks/on_gpu.py --minutes 14 -o OUT --data both.csv --init START.onnx
    python benchmarks/on_gpu.py --restore OUT RUN       # a run folder of the weights in OUT
    python benchmarks/on_gpu.py --minutes 2 -o OUT --device cpu --small     # a trial of all parts

In turn: the tests of CUDA; bytes and products of a step, counted; the cost of a step beside that of
the authors' code; what its time goes into; the cohort's preparation; the speed of training and
its share of waiting; a translation stage by stage; then, for the rest of the time, a generator's
training (or with --trained brain that of brains from noise at 128 cubed and 1.5 mm), whose averaged
weights are written out every half minute.

Each part runs in a process of its own with a limit to its time (`gpu/NAME.py`), tells its rows as
it finds them, and ends nobody else when it fails. OUT holds `results.json`, `results.md` and
`weights.00` and so on, of at most 16 MiB: eight files at most, each whole at every moment.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "gpu"))

from given import TRAINED  # noqa: E402
from results import Results, restore  # noqa: E402

GRACE_S = 8.0
"""What a part may take to end when it is told to, and the last rows to be written."""


@dataclass(frozen=True)
class Part:
    """One of the parts.

    Attributes:
        name: of its file in `gpu/`.
        share: of the time that it and the parts after it have; what one leaves the others get.
        longest: seconds that it may take at most.
        needs: modules that it is skipped without.
    """

    name: str
    share: float
    longest: float
    needs: tuple[str, ...]


TRAINING = ("torch", "torchio", "lightning_fabric", "safetensors", "SimpleITK")
PARTS = (
    Part("tests", 0.15, 150, (*TRAINING, "pytest")),
    Part("counted", 0.05, 60, ("torch",)),
    Part("cost", 0.2, 240, TRAINING),
    Part("profiled", 0.05, 50, TRAINING),
    Part("prepare", 0.1, 180, TRAINING),
    Part("speed", 0.08, 75, TRAINING),
    Part("translate", 0.05, 60, ("onnxruntime", "nibabel", "SimpleITK")),
    Part("train", 0.32, 1e9, TRAINING),
)


def main() -> None:
    """Run the parts in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, help="in which all of it ends")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--data", default="", help="cohort of T1 and FLAIR; made up if not given")
    parser.add_argument("--init", default="", help="first weights of the generator")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="small sizes, for a trial")
    parser.add_argument("--trained", choices=TRAINED, default=TRAINED[0], help="by the last part")
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS))
    parser.add_argument("--restore", nargs=2, type=Path, metavar=("OUT", "RUN"))
    arguments = parser.parse_args()
    if arguments.restore:
        print(restore(*arguments.restore))
        return
    chosen = arguments.parts.split(",")
    unknown = set(chosen) - {part.name for part in PARTS}
    if arguments.minutes is None or arguments.output is None or unknown:
        parser.error(f"no part {', '.join(unknown)}" if unknown else "give --minutes and -o")
    end = time.monotonic() + 60 * arguments.minutes - GRACE_S
    with tempfile.TemporaryDirectory(prefix="on_gpu-") as scratch:
        results = Results(arguments.output, arguments.minutes)
        given = ["--device", arguments.device, "--scratch", scratch, "--out", arguments.output]
        given += [f"--data={arguments.data}", f"--init={arguments.init}"]
        given += ["--trained", arguments.trained]
        given += ["--small"] if arguments.small else []
        ahead = [part for part in PARTS if part.name in chosen]
        while ahead:
            share = ahead[0].share / sum(part.share for part in ahead)
            part = ahead.pop(0)
            seconds = min(share * (end - time.monotonic()), part.longest)
            missing = [name for name in part.needs if importlib.util.find_spec(name) is None]
            if missing:
                results.skip(part.name, f"not installed: {', '.join(missing)}")
            elif seconds < GRACE_S:
                results.skip(part.name, "no time was left")
            else:
                rate = results.figure("speed", "steps/s")
                run(part.name, seconds, [*map(str, given), f"--rate={rate or 0}"], results)
    print(f"{arguments.output}: {', '.join(sorted(p.name for p in arguments.output.iterdir()))}")


def run(name: str, seconds: float, given: list[str], results: Results) -> None:
    """One part in a process of its own; its standard output is a row of JSON a line."""
    command = [sys.executable, str(HERE / "gpu" / f"{name}.py"), *given]
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    began = time.monotonic()
    print(f"{name}: at most {seconds:.0f} s", flush=True)
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        process = subprocess.Popen(
            [*command, f"--seconds={max(seconds - GRACE_S, 1):.0f}"],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        timers = [
            threading.Timer(at, _signalled, (process.pid, number))
            for at, number in ((seconds - GRACE_S / 2, signal.SIGTERM), (seconds, signal.SIGKILL))
        ]
        for timer in timers:
            timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            row = _row(line)
            if row is not None:
                results.add(name, row)
                print("   ", line.rstrip()[:200], flush=True)
        code = process.wait()
        for timer in timers:
            timer.cancel()
        _signalled(process.pid, signal.SIGKILL)  # what it may have left running
        complaints.seek(0)
        last = "\n".join(complaints.read().strip().splitlines()[-6:])
    taken = time.monotonic() - began
    results.end(name, taken, "" if code == 0 else f"ended with {code}: {last[-1500:]}")


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _signalled(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
