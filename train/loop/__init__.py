"""The training loop: schedule, checkpoints, validation, history."""
