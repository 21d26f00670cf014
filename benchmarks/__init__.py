"""The product beside a naive script, as ratios of two things measured in one run."""
