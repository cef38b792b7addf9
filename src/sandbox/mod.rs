//! A resolved plan into isolated processes.
