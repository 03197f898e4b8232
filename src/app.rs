//! The wires: build, run, reload, drain. The only place that names concrete shells.
