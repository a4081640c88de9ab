//! Durations, sizes and percentages as written in configurations.
