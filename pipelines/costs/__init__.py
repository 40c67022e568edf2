"""What a build will take, from costs that were measured: for `--dry-run`."""
