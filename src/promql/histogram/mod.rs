//! Arithmetic on native histograms.
