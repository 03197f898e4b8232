//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.

pub mod availability;
pub mod level;
pub mod promise;
pub mod reaction;
