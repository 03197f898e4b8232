//! `/metrics`, the HTTP API and the pages.
