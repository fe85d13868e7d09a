"""Scores of classifiers: metrics, thresholds, calibration, patient-level scores."""
