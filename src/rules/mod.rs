//! Prometheus rule files, alert phases, rule unit tests. Pure.
