//! Go templates with Prometheus' and Alertmanager's functions. Pure.
