//! Texts of notifications in an `alertmanager.yml`.
