"""The speed of the generator's training and its share of waiting for data."""

from given import given, tell
from training import figures, train


def main() -> None:
    """One row: the mean over all that was logged but the first tens of steps."""
    arguments = given()
    run = arguments.scratch / "speed"
    settings = {"steps": 12 if arguments.small else 1_000_000, "validate_every": 1_000_000}
    code = train(arguments, run, settings, until=2.0, watch=lambda: None)
    logged = {
        name: [value for _, value in figures(run, f"speed/{name}")]
        for name in ("steps_per_s", "share_waiting_for_data", "peak_memory_gib")
    }
    rates, waits = logged["steps_per_s"], logged["share_waiting_for_data"]
    if not rates:
        raise SystemExit(f"no step was logged; training ended with {code}")
    first = min(3, len(rates) - 1)
    # Every entry is of ten steps: the mean rate is the harmonic mean.
    rate = (len(rates) - first) / sum(1 / value for value in rates[first:])
    waited = sum(w / r for w, r in zip(waits[first:], rates[first:], strict=True))
    tell(
        **{
            "workers": arguments.generator["workers"],
            "steps": 10 * len(rates),
            "steps/s": rate,
            "waiting": waited / sum(1 / value for value in rates[first:]),
            "peak GiB": logged["peak_memory_gib"][-1],
        }
    )


if __name__ == "__main__":
    main()
