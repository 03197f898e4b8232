//! Ticks rule groups and writes their results back.
