//! The metrics of a data plane that the tests play themselves.

mod exposition;
mod fake;
mod names;
mod sampler;
