"""From a cohort to training batches: its subjects, their prepared volumes, samples of these."""
