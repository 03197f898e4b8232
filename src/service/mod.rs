//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.
