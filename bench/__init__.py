"""Workloads, timing and the demo."""
