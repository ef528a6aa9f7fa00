"""What the time of a step goes into, operation by operation."""

from given import given, tell
from torch.profiler import ProfilerActivity, profile

from hagan_clinic.evaluation.cost_step import measured_steps

MOST = 14


def main() -> None:
    """The longest operations of the unconditional step, full and half precision."""
    arguments = given()
    cuda = arguments.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    for precision in ("bf16-mixed", "32-true"):
        watch = profile(activities=activities)
        settings = {
            **arguments.cube,
            "batch_size": 2 if arguments.small else 4,
            "precision": precision,
        }
        measured_steps(settings, arguments.device, 2, watch=watch)
        column = "self_device_time_total" if cuda else "self_cpu_time_total"
        events = sorted(watch.key_averages(), key=lambda event: -getattr(event, column))
        whole = sum(getattr(event, column) for event in events)
        for event in events[:MOST]:
            spent = getattr(event, column)
            tell(
                precision=precision,
                operation=event.key[:90],
                calls=event.count,
                ms_a_step=spent / 2e3,
                share=spent / max(whole, 1),
            )
        if arguments.left < 15:
            return


if __name__ == "__main__":
    main()
