//! Metrics pages: text 0.0.4, text 1.0, OpenMetrics 1.0; out and in. Pure.
