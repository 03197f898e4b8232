//! Service hours, holidays, on-call rotas, time intervals. Pure.
