//! Views: the dashboard server.
