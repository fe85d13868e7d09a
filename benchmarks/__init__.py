"""One script per table of docs/benchmarks.md; each writes benchmarks/results/<name>.json."""
