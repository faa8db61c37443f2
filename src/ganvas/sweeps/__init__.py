"""Many runs as one job: tuning through Optuna."""
