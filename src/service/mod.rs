//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.

pub mod reaction;
